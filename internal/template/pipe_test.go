package template

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// What the pipe publishes is tested in internal/pipe. Here is what keeps it from
// losing anything, and from being more than it need be.

func TestEventsComeFromTheProjectsStreamAndGoToABusOfTheStacksOwn(t *testing.T) {
	root := rawTemplate(t)
	pipe := at(root, "Resources", "EventsPipe", "Properties")
	for path, want := range map[string]string{
		"Source": "ProjectsTable.StreamArn", "Target": "ProjectEvents.Arn", "RoleArn": "EventsPipeRole.Arn",
		"LogConfiguration/Level": "ERROR", "LogConfiguration/CloudwatchLogsLogDestination/LogGroupArn": "EventsLogs.Arn",
		"LogConfiguration/IncludeExecutionData":                               "<nil>", // it would log what tenants' code wrote
		"SourceParameters/DynamoDBStreamParameters/StartingPosition":          "TRIM_HORIZON",
		"SourceParameters/DynamoDBStreamParameters/ParallelizationFactor":     "1",
		"SourceParameters/DynamoDBStreamParameters/DeadLetterConfig/Arn":      "EventFailures.Arn",
		"SourceParameters/DynamoDBStreamParameters/OnPartialBatchItemFailure": "AUTOMATIC_BISECT",
	} {
		if got := fmt.Sprint(at(pipe, strings.Split(path, "/")...)); got != want {
			t.Errorf("the pipe's %s is %s, want %s", path, got, want)
		}
	}
	if got := at(root, "Resources", "ProjectsTable", "Properties", "StreamSpecification", "StreamViewType"); got != "NEW_AND_OLD_IMAGES" {
		t.Errorf("the stream shows %v: without both images the pipe can't tell a change of status", got)
	}
	if name := at(root, "Resources", "ProjectEvents", "Properties", "Name"); name == "default" {
		t.Error("the events go to the account's default bus")
	}
}

// Each bound is AWS's own, in its API's model, or that of what the pipe reads
// and writes.
func TestThePipeKeepsWithinItsBounds(t *testing.T) {
	p := at(rawTemplate(t), "Resources", "EventsPipe", "Properties")
	source := at(p, "SourceParameters")
	stream := at(source, "DynamoDBStreamParameters")
	number := func(name string) int {
		n, ok := at(stream, name).(int)
		if !ok {
			t.Errorf("%s is %v, want a number: without one a record that can't be published holds up its shard for a day", name, at(stream, name))
		}
		return n
	}
	if n := number("BatchSize"); n < 1 || n > 10 {
		t.Errorf("a batch has %d records, and a bus takes 1 to 10 events at a time", n)
	}
	if n := number("MaximumRetryAttempts"); n < 1 || n > 10000 {
		t.Errorf("the pipe tries %d times, want 1 to 10000: -1 is for ever", n)
	}
	// A stream holds a record for 24 hours. Whoever reads the queue needs time.
	if n := number("MaximumRecordAgeInSeconds"); n < 60 || n > 12*60*60 {
		t.Errorf("the pipe tries for %d seconds, want 60 to 43200: the record is gone from the stream after 86400", n)
	}
	filters, _ := at(source, "FilterCriteria", "Filters").([]any)
	if len(filters) < 1 || len(filters) > 5 {
		t.Errorf("there are %d filters, and a pipe has 1 to 5", len(filters))
	}
	for i, f := range filters {
		if n := len(fmt.Sprint(at(f, "Pattern"))); n > 4096 {
			t.Errorf("the pattern %d has %d characters, and AWS takes 4096", i, n)
		}
	}
	if n := len(fmt.Sprint(at(p, "TargetParameters", "InputTemplate"))); n > 8192 {
		t.Errorf("the input template has %d characters, and AWS takes 8192", n)
	}
}

func TestThePipesRoleReachesItsOwnResourcesAlone(t *testing.T) {
	role := at(rawTemplate(t), "Resources", "EventsPipeRole", "Properties")
	trust, _ := at(role, "AssumeRolePolicyDocument", "Statement").([]any)
	if len(trust) != 1 {
		t.Fatalf("the role's trust has %d statements, want 1", len(trust))
	}
	if got := at(trust[0], "Condition", "StringEquals", "aws:SourceAccount"); got != "AWS::AccountId" {
		t.Errorf("pipes of the account %v may take the role, want the stack's own account's", got)
	}
	const arn = "arn:${AWS::Partition}:pipes:${AWS::Region}:${AWS::AccountId}:pipe/${AWS::StackName}-events"
	if got := at(trust[0], "Condition", "ArnEquals", "aws:SourceArn"); got != arn {
		t.Errorf("the pipe %v may take the role, want %s", got, arn)
	}
	if got := at(rawTemplate(t), "Resources", "EventsPipe", "Properties", "Name"); got != "${AWS::StackName}-events" {
		t.Errorf("the pipe is named %v, which its role does not trust", got)
	}
	got := map[string][]string{}
	policies, _ := at(role, "Policies").([]any)
	for _, policy := range policies {
		list, _ := at(policy, "PolicyDocument", "Statement").([]any)
		for _, s := range list {
			for _, action := range texts(at(s, "Action")) {
				got[action] = append(got[action], texts(at(s, "Resource"))...)
			}
		}
	}
	want := map[string][]string{
		"dynamodb:DescribeStream": {"ProjectsTable.StreamArn"}, "dynamodb:GetRecords": {"ProjectsTable.StreamArn"},
		"dynamodb:GetShardIterator": {"ProjectsTable.StreamArn"}, "dynamodb:ListStreams": {"${ProjectsTable.Arn}/stream/*"},
		"events:PutEvents": {"ProjectEvents.Arn"}, "sqs:SendMessage": {"EventFailures.Arn"},
		"logs:CreateLogStream": {"EventsLogs.Arn"}, "logs:PutLogEvents": {"EventsLogs.Arn"},
	}
	if !maps.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("the role allows\n%v, want\n%v", got, want)
	}
}

func TestFailedProjectsAreMailedByARuleThatLosesNothing(t *testing.T) {
	root := rawTemplate(t)
	rule := at(root, "Resources", "ProjectFailedRule", "Properties")
	if got := at(rule, "EventBusName"); got != "ProjectEvents" {
		t.Errorf("the rule listens to the bus %v, want the stack's own", got)
	}
	targets, _ := at(rule, "Targets").([]any)
	if len(targets) != 1 {
		t.Fatalf("the rule has %d targets, want 1", len(targets))
	}
	for path, want := range map[string]string{"Arn": "FailureTopic", "DeadLetterConfig/Arn": "EventFailures.Arn", "RetryPolicy/MaximumRetryAttempts": "24"} {
		if got := fmt.Sprint(at(targets[0], strings.Split(path, "/")...)); got != want {
			t.Errorf("the target's %s is %s, want %s", path, got, want)
		}
	}
	for id, action := range map[string]string{"FailureTopicPolicy": "sns:Publish", "EventFailuresPolicy": "sqs:SendMessage"} {
		list, _ := at(root, "Resources", id, "Properties", "PolicyDocument", "Statement").([]any)
		if len(list) != 1 {
			t.Errorf("%s has %d statements, want 1", id, len(list))
			continue
		}
		for path, want := range map[string]string{
			"Effect": "Allow", "Principal/Service": "events.amazonaws.com", "Action": action, "Condition/ArnEquals/aws:SourceArn": "ProjectFailedRule.Arn",
		} {
			if got := fmt.Sprint(at(list[0], strings.Split(path, "/")...)); got != want {
				t.Errorf("%s: %s is %s, want %s", id, path, got, want)
			}
		}
	}
	if got := at(root, "Resources", "FailureSubscription", "Condition"); got != "HasFailureEmail" {
		t.Errorf("the mail's subscription depends on %v: an empty FailureEmail would break the deployment", got)
	}
}
