package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"rekindle/internal/pipe"
)

// What integrators hear. The emulator has the stream, the bus, the rule with its
// input transformer, the topic and queues; its pipes know no filter, no input
// template and no bus. So the pipe is played here, by what the transformed
// template says of it, from the deployed pipe's source to its target. What it
// calls is held against its role like a function's calls.

// statusOf is a project's status in one image of a record; empty without one.
func statusOf(record any, image string) string {
	s, _ := at(record, "dynamodb", image, "execution_status", "S").(string)
	return s
}

func (j *journey) events() {
	played := properties(j.template, "EventsPipe")
	var filters []pipe.Pattern
	var patterns []string
	list, _ := at(played, "SourceParameters", "FilterCriteria", "Filters").([]any)
	for _, f := range list {
		text, _ := at(f, "Pattern").(string)
		p, err := pipe.ParsePattern(text)
		j.must("reading the pipe's filter "+text, err)
		filters, patterns = append(filters, p), append(patterns, text)
	}
	input, _ := at(played, "TargetParameters", "InputTemplate").(string)

	name := j.stack.Resources["EventsPipe"].ID
	deployed, err := j.adminDo("pipes", "GET", "/v1/pipes/"+name, nil)
	j.must("looking at the deployed pipe", err)
	if err != nil {
		return
	}
	stream, bus := deployed.text("Source"), deployed.text("Target")
	j.that(bus == j.stack.Outputs["EventBusArn"], "the pipe's target is %s, and the stack says %s", bus, j.stack.Outputs["EventBusArn"])
	heard, mailed := j.listen(j.stack.Outputs["EventBusName"])

	records := j.streamed(stream)
	judged := map[[2]string]bool{}
	var published, failed []string
	for _, r := range records {
		from, to := statusOf(r, "OldImage"), statusOf(r, "NewImage")
		want := to != "" && from != to
		got := slices.ContainsFunc(filters, func(f pipe.Pattern) bool { return f.Takes(r) })
		j.that(got == want, "a write of a project that was %q and is %q: published %t, want %t", from, to, got, want)
		if pair := [2]string{from, to}; !judged[pair] {
			judged[pair] = true
			j.that(j.emulatorTakes(patterns, r) == want, "the emulator's patterns and ours differ about a write from %q to %q", from, to)
		}
		if !got {
			continue
		}
		detail, err := pipe.Template{Text: input}.Render(r, pipe.AsEmptyText)
		j.must("filling in the pipe's input template", err)
		if err != nil {
			continue
		}
		j.pipeCalls = append(j.pipeCalls, call{Action: "events:PutEvents", Resource: bus})
		put, err := j.admin("events", "AWSEvents.PutEvents", map[string]any{"Entries": []any{map[string]any{
			"EventBusName": bus, "Detail": string(detail),
			"Source":     at(played, "TargetParameters", "EventBridgeEventBusParameters", "Source"),
			"DetailType": at(played, "TargetParameters", "EventBridgeEventBusParameters", "DetailType"),
		}}})
		j.must("putting an event on the bus", err)
		j.that(err == nil && put.number("FailedEntryCount") == 0, "the bus refused an event: %.300s", put.raw)
		id, _ := at(r, "eventID").(string)
		published = append(published, id)
		if to == "failed" {
			failed = append(failed, id)
		}
	}
	j.that(len(records)-len(published) > 20 && len(failed) > 5, "the stream has %d records, of which %d were published and %d are failures: want many that are not published, and some failures", len(records), len(published), len(failed))

	// An integrator's queue on the bus has each, in the order of its project.
	events := j.drain(heard, len(published))
	j.that(len(events) == len(published), "a queue on the bus got %d events, want %d", len(events), len(published))
	details := map[string]mapping{}
	last := map[string]int64{}
	for _, e := range events {
		detail, _ := at(e, "detail").(mapping)
		id, _ := detail["event_id"].(string)
		j.that(slices.Contains(published, id) && details[id] == nil, "a queue on the bus got %q, which was not published, or twice", id)
		details[id] = detail
		j.that(at(e, "source") == "rekindle" && at(e, "detail-type") == "Project Execution Status Changed", "an event has the source %v and the type %v", at(e, "source"), at(e, "detail-type"))
		project := text([]any{detail["tenant_id"], detail["project_id"], detail["project_uid"]})
		version, err := json.Number(fmt.Sprint(detail["version"])).Int64()
		j.that(err == nil && version > last[project], "%s: the event with version %v came after that with %d", project, detail["version"], last[project])
		last[project] = version
	}

	// The topic's subscriber has the failed ones, by the rule.
	mails := j.drain(mailed, len(failed))
	j.that(len(mails) == len(failed), "the failures' topic sent %d messages, want %d", len(mails), len(failed))
	rule := properties(j.template, "ProjectFailedRule")
	targets, _ := at(rule, "Targets").([]any)
	mail := pipe.Template{Paths: map[string]string{}}
	mail.Text, _ = at(targets[0], "InputTransformer", "InputTemplate").(string)
	paths, _ := at(targets[0], "InputTransformer", "InputPathsMap").(mapping)
	for n, p := range paths {
		mail.Paths[n] = fmt.Sprint(p)
	}
	var want, got []string
	for _, id := range failed {
		out, err := mail.Render(mapping{"detail": details[id]}, pipe.AsEmptyText)
		j.must("filling in the mail", err)
		want = append(want, compact(string(out)))
	}
	for _, m := range mails {
		message, _ := at(m, "Message").(string)
		got = append(got, compact(message))
	}
	slices.Sort(want)
	slices.Sort(got)
	j.that(slices.Equal(got, want), "the failures' messages are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	j.that(slices.ContainsFunc(got, func(m string) bool { return strings.Contains(m, "ended as timed_out") }), "no message tells of a project that the sweep failed")
	j.that(slices.ContainsFunc(got, func(m string) bool { return strings.Contains(m, text(awkward)) }), "no message has the error %s as it was", text(awkward))
}

// awkward is an error that an input template could break at.
const awkward = "row 7: \"price\" is empty\nsee C:\\logs"

// compact is a JSON text without the space between its parts.
func compact(text string) string {
	var out bytes.Buffer
	if json.Compact(&out, []byte(text)) != nil {
		return text
	}
	return out.String()
}

// emulatorTakes says whether one of the patterns takes an event, as the emulator
// judges.
func (j *journey) emulatorTakes(patterns []string, event any) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		tested, err := j.admin("events", "AWSEvents.TestEventPattern", map[string]string{"EventPattern": p, "Event": text(event)})
		j.must("testing a filter of the pipe", err)
		return err == nil && tested.body["Result"] == true
	})
}

// streamed reads a stream to its end, as the pipe's role does.
func (j *journey) streamed(stream string) []any {
	read := func(action string, body mapping) *answer {
		j.pipeCalls = append(j.pipeCalls, call{Action: "dynamodb:" + action, Resource: stream})
		a, err := j.admin("dynamodb", "DynamoDBStreams_20120810."+action, body)
		j.must(action+" of the projects' stream", err)
		return a
	}
	found, _ := read("ListStreams", mapping{"TableName": j.stack.Outputs["ProjectsTableName"]}).body["Streams"].([]any)
	j.that(len(found) == 1 && at(found[0], "StreamArn") == stream, "the projects' table has the streams %s, and the pipe reads %s", text(found), stream)
	shards, _ := at(read("DescribeStream", mapping{"StreamArn": stream}).body["StreamDescription"], "Shards").([]any)
	var all []any
	for _, s := range shards {
		next := read("GetShardIterator", mapping{"StreamArn": stream, "ShardId": at(s, "ShardId"), "ShardIteratorType": "TRIM_HORIZON"}).text("ShardIterator")
		for next != "" && j.ctx.Err() == nil {
			a := read("GetRecords", mapping{"ShardIterator": next})
			records, _ := a.body["Records"].([]any)
			if next = a.text("NextShardIterator"); len(records) == 0 {
				break // an open shard has always a next one
			}
			all = append(all, records...)
		}
	}
	return all
}

// listen makes two queues as integrators would: one that a rule on the bus sends
// everything to, and one that is subscribed to the failures' topic.
func (j *journey) listen(bus string) (heard, mailed string) {
	queue := func(name, service string) (url, arn string) {
		arn = j.cloud.arn("sqs", name)
		policy := text(mapping{"Version": "2012-10-17", "Statement": []any{mapping{
			"Effect": "Allow", "Principal": mapping{"Service": service}, "Action": "sqs:SendMessage", "Resource": arn,
		}}})
		made, err := j.admin("sqs", "AmazonSQS.CreateQueue", mapping{"QueueName": name, "Attributes": mapping{"Policy": policy}})
		j.must("making a queue", err)
		return made.text("QueueUrl"), arn
	}
	heard, heardARN := queue("integrator", "events.amazonaws.com")
	_, err := j.admin("events", "AWSEvents.PutRule", mapping{"Name": "integrator", "EventBusName": bus, "EventPattern": `{"source": ["rekindle"]}`})
	j.must("making an integrator's rule", err)
	_, err = j.admin("events", "AWSEvents.PutTargets", mapping{"Rule": "integrator", "EventBusName": bus, "Targets": []any{mapping{"Id": "queue", "Arn": heardARN}}})
	j.must("making an integrator's target", err)
	mailed, mailedARN := queue("failures", "sns.amazonaws.com")
	form := url.Values{
		"Action": {"Subscribe"}, "Version": {"2010-03-31"}, "TopicArn": {j.stack.Outputs["FailureTopicArn"]}, "Protocol": {"sqs"}, "Endpoint": {mailedARN},
	}
	_, err = j.adminDo("sns", "POST", "/", []byte(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
	j.must("subscribing to the failures", err)
	return heard, mailed
}

// drain takes a queue's messages until there are as many as are wanted and none
// is left, or no more come for some seconds.
func (j *journey) drain(queue string, want int) []any {
	var all []any
	for until := time.Now().Add(10 * time.Second); j.ctx.Err() == nil; {
		got, err := j.admin("sqs", "AmazonSQS.ReceiveMessage", mapping{"QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1})
		j.must("reading a queue", err)
		messages, _ := got.body["Messages"].([]any)
		if err != nil || len(messages) == 0 && (len(all) >= want || time.Now().After(until)) {
			break
		}
		for _, m := range messages {
			body, _ := at(m, "Body").(string)
			var v any
			if json.Unmarshal([]byte(body), &v) != nil {
				v = body
			}
			all = append(all, v)
			_, err := j.admin("sqs", "AmazonSQS.DeleteMessage", mapping{"QueueUrl": queue, "ReceiptHandle": at(m, "ReceiptHandle")})
			j.must("deleting a message", err)
		}
	}
	return all
}
