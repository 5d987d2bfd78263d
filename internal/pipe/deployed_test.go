package pipe_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/pipe"
	"rekindle/internal/project"
)

// The deployed pipe, on records that are made of what the store writes: each
// item is read before and after, as a stream with both images shows it.

// deployed is what template.yaml has of the events.
type deployed struct {
	filters []pipe.Pattern
	event   pipe.Template
	rule    pipe.Pattern
	mail    pipe.Template
	source  string
	kind    string
}

func readDeployed(t *testing.T) deployed {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dynamotest.Root(t), "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var root struct {
		Resources struct {
			EventsPipe struct {
				Properties struct {
					SourceParameters struct {
						FilterCriteria struct {
							Filters []struct {
								Pattern string `yaml:"Pattern"`
							} `yaml:"Filters"`
						} `yaml:"FilterCriteria"`
					} `yaml:"SourceParameters"`
					TargetParameters struct {
						InputTemplate string            `yaml:"InputTemplate"`
						Bus           map[string]string `yaml:"EventBridgeEventBusParameters"`
					} `yaml:"TargetParameters"`
				} `yaml:"Properties"`
			} `yaml:"EventsPipe"`
			ProjectFailedRule struct {
				Properties struct {
					EventPattern any `yaml:"EventPattern"`
					Targets      []struct {
						InputTransformer struct {
							InputPathsMap map[string]string `yaml:"InputPathsMap"`
							InputTemplate string            `yaml:"InputTemplate"`
						} `yaml:"InputTransformer"`
					} `yaml:"Targets"`
				} `yaml:"Properties"`
			} `yaml:"ProjectFailedRule"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	p, r := root.Resources.EventsPipe.Properties, root.Resources.ProjectFailedRule.Properties
	d := deployed{
		event:  pipe.Template{Text: p.TargetParameters.InputTemplate},
		source: p.TargetParameters.Bus["Source"], kind: p.TargetParameters.Bus["DetailType"],
	}
	for _, f := range p.SourceParameters.FilterCriteria.Filters {
		d.filters = append(d.filters, pattern(t, f.Pattern))
	}
	raw, err := json.Marshal(r.EventPattern)
	if err != nil {
		t.Fatal(err)
	}
	d.rule = pattern(t, string(raw))
	if len(r.Targets) != 1 {
		t.Fatalf("the rule has %d targets, want 1", len(r.Targets))
	}
	d.mail = pipe.Template{Text: r.Targets[0].InputTransformer.InputTemplate, Paths: r.Targets[0].InputTransformer.InputPathsMap}
	return d
}

func pattern(t *testing.T, text string) pipe.Pattern {
	t.Helper()
	p, err := pipe.ParsePattern(text)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return p
}

// image is an item as a stream's record has it.
func image(item map[string]types.AttributeValue) map[string]any {
	if item == nil {
		return nil
	}
	all := map[string]any{}
	for name, v := range item {
		all[name] = typed(v)
	}
	return all
}

func typed(v types.AttributeValue) map[string]any {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return map[string]any{"S": v.Value}
	case *types.AttributeValueMemberN:
		return map[string]any{"N": v.Value}
	case *types.AttributeValueMemberBOOL:
		return map[string]any{"BOOL": v.Value}
	case *types.AttributeValueMemberNULL:
		return map[string]any{"NULL": v.Value}
	case *types.AttributeValueMemberM:
		return map[string]any{"M": image(v.Value)}
	case *types.AttributeValueMemberL:
		var list []any
		for _, one := range v.Value {
			list = append(list, typed(one))
		}
		return map[string]any{"L": list}
	}
	panic(fmt.Sprintf("an item has a %T, which the test does not know", v))
}

// record is one record of the stream, and what was written.
type record struct {
	what  string
	event project.Event // the row of the state machine; empty: none
	json  map[string]any
	old   map[string]any
	new   map[string]any
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// written goes through every write that the store makes on a project, of every
// row of the state machine and of all else.
func written(t *testing.T) []record {
	db := dynamotest.Open(t)
	ctx := t.Context()
	var all []record
	write := func(key project.Key, what string, event project.Event, do func() error) {
		t.Helper()
		before := image(db.Item(t, key))
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		after := image(db.Item(t, key))
		if reflect.DeepEqual(before, after) {
			t.Fatalf("%s wrote nothing", what)
		}
		d := map[string]any{
			"ApproximateCreationDateTime": float64(noon.Unix() + int64(len(all))), "Keys": map[string]any{"tenant_id": map[string]any{"S": key.TenantID}, "project_id": map[string]any{"S": key.ProjectID}},
			"SequenceNumber": fmt.Sprintf("%021d", len(all)), "StreamViewType": "NEW_AND_OLD_IMAGES",
		}
		name := "MODIFY"
		if before == nil {
			name = "INSERT"
		} else {
			d["OldImage"] = before
		}
		if after == nil {
			name = "REMOVE"
		} else {
			d["NewImage"] = after
		}
		all = append(all, record{what, event, map[string]any{
			"eventID": fmt.Sprintf("%032x", 0xa1b2c3+len(all)), "eventName": name, "eventVersion": "1.1", "eventSource": "aws:dynamodb",
			"awsRegion": "eu-central-1", "dynamodb": d, "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/projects/stream/2026-03-01T00:00:00.000",
		}, before, after})
	}

	tenant := &project.Tenant{ID: "acme", Name: "SECRET tenant", Slug: "acme", Email: "secret@acme.example", Subscription: project.Active}
	if _, err := db.PutTenant(ctx, tenant); err != nil {
		t.Fatal(err)
	}
	quota, err := project.QuotaOf(tenant)
	if err != nil {
		t.Fatal(err)
	}
	at := noon
	tick := func() time.Time { at = at.Add(time.Minute); return at }

	create := func(id string) project.Key {
		key := project.Key{TenantID: "acme", ProjectID: id}
		write(key, "create "+id, project.Create, func() error {
			_, err := db.CreateProject(ctx, &project.Project{
				Key: key, UID: "uid-of-" + id, Version: 1, Name: "SECRET name", Description: "SECRET description", Objectives: "SECRET objectives",
				CreatedAt: tick(), WrittenBy: "SECRET-writer", Status: project.Pending,
			}, quota)
			return err
		})
		return key
	}
	execution := int64(37158912000)
	start := func(key project.Key, event project.Event) {
		execution += 1024
		write(key, string(event)+" "+key.ProjectID, event, func() error {
			_, err := db.Start(ctx, project.Start{
				Project: db.Read(t, key), Event: event, ExecutionID: execution, At: tick(), Token: "SECRET-token-of-start", KeyHash: "SECRET-key-hash",
				Output: fmt.Sprintf("s3://outputs/acme/uid-of-%s/%d/", key.ProjectID, execution),
			})
			return err
		})
	}
	claim := func(key project.Key) {
		write(key, "claim", "", func() error {
			_, err := db.Claim(ctx, db.Read(t, key).Ref(), project.Claim{RunnerID: "SECRET-runner", JobID: "SECRET-job"}, tick())
			return err
		})
	}
	heartbeat := func(key project.Key, percent int) {
		write(key, "heartbeat", "", func() error {
			_, err := db.Heartbeat(ctx, db.Read(t, key).Ref(), "SECRET-runner", &project.Progress{Percent: percent, Message: "SECRET progress"}, tick())
			return err
		})
	}
	settle := func(key project.Key, event project.Event, why string, swept *project.Swept) {
		write(key, string(event)+" "+key.ProjectID, event, func() error {
			_, err := db.Settle(ctx, project.Settlement{Ref: db.Read(t, key).Ref(), Event: event, Error: why, At: tick(), Token: "SECRET-token-of-end", Swept: swept})
			return err
		})
	}

	site := create("site")
	write(site, "edit", "", func() error {
		_, err := db.EditProject(ctx, db.Read(t, site), project.Draft{Name: "SECRET name", Description: "SECRET again", Objectives: "SECRET too"}, false, "SECRET-edit")
		return err
	})
	if err := db.IssueCode(ctx, project.ActivationCode{Hash: "SECRET-code-hash", Hint: "SECR", IssuedAt: at}); err != nil {
		t.Fatal(err)
	}
	write(site, "activation", "", func() error {
		_, err := db.AssignCode(ctx, db.Read(t, site), "SECRET-code-hash", tick())
		return err
	})
	start(site, project.Run)
	claim(site)
	heartbeat(site, 10)
	heartbeat(site, 40)
	write(site, "extension", "", func() error {
		_, err := db.Extend(ctx, db.Read(t, site).Ref(), 2*time.Hour)
		return err
	})
	late := db.Read(t, site).Ref()
	settle(site, project.Fail, "reading prices.csv\nrow 7: \"price\" is empty", nil)
	write(site, "late result", "", func() error {
		return db.KeepLate(ctx, late, "SECRET-runner", project.Late{Outcome: project.OutcomeCompleted, Error: "SECRET late", ReceivedAt: tick()})
	})
	start(site, project.Restart)
	claim(site)
	settle(site, project.Succeed, "", nil)
	write(site, "revocation", "", func() error { return db.RevokeCode(ctx, "SECRET-code-hash", tick()) })
	write(site, "deletion", "", func() error { return db.DeleteProject(ctx, db.Read(t, site), tenant) })

	stuck := create("stuck")
	start(stuck, project.Run)
	claim(stuck)
	at = at.Add(24*time.Hour + 17*time.Minute)
	settle(stuck, project.TimeOut, "Execution timed out: it was running for more than 24 hours",
		&project.Swept{SweepID: project.SweepIDsAfter(at) + "-4f1c9d20", Cutoff: at.Add(-24 * time.Hour)})
	start(stuck, project.Restart)
	settle(stuck, project.Cancel, "cancelled", nil)

	odd := create("odd")
	start(odd, project.Run)
	settle(odd, project.Fail, hostile, nil)
	start(odd, project.Restart)
	settle(odd, project.Fail, strings.Repeat(`"\`, 4000), nil)

	// The trial slot's way with a start that stalled: it raises the version.
	trial := &project.Tenant{ID: "acme", TrialSlot: &project.TrialSlot{ProjectID: "odd", ProjectUID: "uid-of-odd", ExecutionID: execution + 1024, Token: "SECRET-slot"}}
	write(odd, "voided start", "", func() error {
		p := db.Read(t, odd)
		_, err := db.TakeTrialSlot(ctx, trial, project.Start{Project: p, Event: project.Restart, ExecutionID: execution + 2048, At: tick(), Token: "SECRET-start"})
		if project.CodeOf(err) == project.CodeContended { // the tenant's slot is not as it was said to be
			err = nil
		}
		return err
	})
	return all
}

func TestEachTransitionIsPublishedOnceAndNothingElseIs(t *testing.T) {
	d := readDeployed(t)
	seen := map[project.Event]int{}
	for _, r := range written(t) {
		taken := 0
		for _, f := range d.filters {
			if f.Takes(any(r.json)) {
				taken++
			}
		}
		want := 0
		if r.event != "" {
			seen[r.event]++
			want = 1
		}
		if taken != want {
			t.Errorf("%s: %d filters take it, want %d", r.what, taken, want)
		}
	}
	for _, row := range project.Transitions {
		if seen[row.Event] == 0 {
			t.Errorf("no record of the transition %s was made: the test does not walk the whole table", row.Event)
		}
	}
}

// Every pair of statuses, whether or not there is a way from one to the other.
func TestThePipeKnowsTheStateMachinesRowsAndNoOthers(t *testing.T) {
	d := readDeployed(t)
	rows := map[[2]project.Status]bool{}
	for _, row := range project.Transitions {
		rows[[2]project.Status{row.From, row.To}] = true
	}
	if len(d.filters) != len(rows) {
		t.Errorf("the pipe has %d filters, want one for each of the %d pairs of statuses", len(d.filters), len(rows))
	}
	for _, from := range append([]project.Status{project.None}, project.Statuses...) {
		for _, to := range append([]project.Status{project.None}, project.Statuses...) {
			images := map[string]any{}
			for name, status := range map[string]project.Status{"OldImage": from, "NewImage": to} {
				if status != project.None {
					images[name] = map[string]any{"execution_status": map[string]any{"S": string(status)}}
				}
			}
			got := slices.ContainsFunc(d.filters, func(f pipe.Pattern) bool { return f.Takes(map[string]any{"dynamodb": images}) })
			if want := rows[[2]project.Status{from, to}]; got != want {
				t.Errorf("from %q to %q: published %t, want %t", from, to, got, want)
			}
		}
	}
}

// document is what docs/events.md shows: the schema, and events.
type document struct {
	schema *jsonschema.Schema
	fields []string
	events []map[string]any
	mails  []map[string]any
}

var fence = regexp.MustCompile("(?ms)^```json\n(.*?)^```$")

func readDocument(t *testing.T) document {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dynamotest.Root(t), "docs/events.md"))
	if err != nil {
		t.Fatal(err)
	}
	var doc document
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(m[1]))
		if err != nil {
			t.Fatalf("docs/events.md: %v: %s", err, m[1])
		}
		block, _ := v.(map[string]any)
		switch {
		case block["$schema"] != nil:
			c := jsonschema.NewCompiler()
			if err := c.AddResource("events.json", v); err != nil {
				t.Fatal(err)
			}
			if doc.schema, err = c.Compile("events.json"); err != nil {
				t.Fatal(err)
			}
			properties, _ := block["properties"].(map[string]any)
			doc.fields = slices.Sorted(maps.Keys(properties))
		case block["detail"] != nil:
			doc.events = append(doc.events, block)
		case block["what"] != nil:
			doc.mails = append(doc.mails, block)
		}
	}
	if doc.schema == nil {
		t.Fatal("docs/events.md shows no schema")
	}
	return doc
}

func TestPublishedEventsKeepToTheDocumentedSchema(t *testing.T) {
	d, doc := readDeployed(t), readDocument(t)
	for _, r := range written(t) {
		if r.event == "" {
			continue
		}
		for _, absent := range []pipe.Absent{pipe.AsEmptyText, pipe.LeftOut} {
			out, err := d.event.Render(any(r.json), absent)
			if err != nil {
				t.Errorf("%s: %v", r.what, err)
				continue
			}
			detail, err := jsonschema.UnmarshalJSON(strings.NewReader(string(out)))
			if err != nil {
				t.Fatal(err)
			}
			if err := doc.schema.Validate(detail); err != nil {
				t.Errorf("%s, absent as %d: %v\n%s", r.what, absent, err, out)
			}
			got := slices.Sorted(maps.Keys(detail.(map[string]any)))
			if absent == pipe.AsEmptyText && !slices.Equal(got, doc.fields) {
				t.Errorf("%s: the fields are\n%v, and documented are\n%v", r.what, got, doc.fields)
			}
			if strings.Contains(string(out), "SECRET") || strings.Contains(strings.ToLower(string(out)), "secret") {
				t.Errorf("%s: what is not documented got out: %s", r.what, out)
			}
			if n := len(out); n > 8<<10 {
				t.Errorf("%s: the event has %d bytes, want far less than the 262144 of a bus", r.what, n)
			}
		}
	}
}

// What an event says is what the item has.
func TestPublishedEventsSayWhatWasWritten(t *testing.T) {
	d := readDeployed(t)
	value := func(image map[string]any, name string) string {
		v, _ := image[name].(map[string]any)
		for _, kind := range []string{"S", "N"} {
			if s, ok := v[kind].(string); ok {
				return s
			}
		}
		return ""
	}
	failures := 0
	for _, r := range written(t) {
		if r.event == "" {
			continue
		}
		out, err := d.event.Render(any(r.json), pipe.AsEmptyText)
		if err != nil {
			t.Fatalf("%s: %v", r.what, err)
		}
		var got map[string]string
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: a field is no text: %v: %s", r.what, err, out)
		}
		row := r.event.Leaves()
		want := map[string]string{
			"schema_version": "1", "event_id": r.json["eventID"].(string), "previous_status": string(row.From), "status": string(row.To),
		}
		for field, attribute := range map[string]string{
			"tenant_id": "tenant_id", "project_id": "project_id", "project_uid": "project_uid", "version": "version", "execution_id": "execution_id",
			"attempt": "attempt", "outcome": "execution_outcome", "error": "execution_error", "sweep_id": "sweep_id", "output_folder_path": "output_folder_path",
			"created_at": "created_at", "started_at": "execution_started_at", "completed_at": "execution_completed_at",
		} {
			want[field] = value(r.new, attribute)
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", r.what, got, want)
		}
		if outcome := string(r.event.Outcome()); got["outcome"] != outcome {
			t.Errorf("%s: the outcome is %q, want %q", r.what, got["outcome"], outcome)
		}
		if (got["sweep_id"] != "") != (r.event == project.TimeOut) {
			t.Errorf("%s: the sweep is %q: want one where the sweep did it, and there alone", r.what, got["sweep_id"])
		}
		if got["error"] == project.ClipError(hostile) {
			failures++
		}
	}
	if failures != 1 {
		t.Errorf("%d events bear the hostile error text as it was written, want 1", failures)
	}
}

// onBus is what the bus has of a record.
func (d deployed) onBus(t *testing.T, r record) map[string]any {
	t.Helper()
	out, err := d.event.Render(any(r.json), pipe.AsEmptyText)
	if err != nil {
		t.Fatalf("%s: %v", r.what, err)
	}
	return map[string]any{
		"version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "detail-type": d.kind, "source": d.source, "account": "123456789012",
		"time": "2026-03-01T12:07:01Z", "region": "eu-central-1", "resources": []any{}, "detail": decode(t, string(out)),
	}
}

func TestFailedProjectsAloneAreMailedInReadableText(t *testing.T) {
	d := readDeployed(t)
	doc := readDocument(t)
	outcomes, shown := map[string]bool{}, false
	for _, r := range written(t) {
		if r.event == "" {
			continue
		}
		event := d.onBus(t, r)
		detail := event["detail"].(map[string]any)
		if got, want := d.rule.Takes(any(event)), r.event.Leaves().To == project.Failed; got != want {
			t.Errorf("%s: mailed %t, want %t", r.what, got, want)
		} else if !got {
			continue
		}
		out, err := d.mail.Render(any(event), pipe.AsEmptyText)
		if err != nil {
			t.Errorf("%s: %v", r.what, err)
			continue
		}
		var mail struct{ What, Why, Which, Next string }
		if err := json.Unmarshal(out, &mail); err != nil {
			t.Errorf("%s: %v: %s", r.what, err, out)
			continue
		}
		want := fmt.Sprintf("Project %s of tenant acme ended as %s at %s.", detail["project_id"], detail["outcome"], detail["completed_at"])
		if mail.What != want {
			t.Errorf("%s: the mail says %q, want %q", r.what, mail.What, want)
		}
		if mail.Why != detail["error"] {
			t.Errorf("%s: the mail's reason is %q, want %q", r.what, mail.Why, detail["error"])
		}
		outcomes[fmt.Sprint(detail["outcome"])] = true
		shown = shown || len(doc.mails) == 1 && reflect.DeepEqual(decode(t, string(out)), any(doc.mails[0]))
	}
	if !shown {
		t.Errorf("docs/events.md shows the mails %v, want one that is among those", doc.mails)
	}
	if want := map[string]bool{"failed": true, "timed_out": true, "cancelled": true}; !maps.Equal(outcomes, want) {
		t.Errorf("mails were made of the outcomes %v, want %v", outcomes, want)
	}
	other := d.onBus(t, record{})
	other["source"] = "another"
	other["detail"] = map[string]any{"status": "failed"}
	if d.rule.Takes(any(other)) {
		t.Error("the rule takes another source's events")
	}
}

// The document's events are those that the writes above make.
func TestDocumentedEventsAreWhatIsPublished(t *testing.T) {
	d, doc := readDeployed(t), readDocument(t)
	byRow := map[project.Event]map[string]any{}
	for _, r := range written(t) {
		if r.event != "" && byRow[r.event] == nil {
			byRow[r.event] = d.onBus(t, r)
		}
	}
	shown := map[project.Event]bool{}
	for _, e := range doc.events {
		detail, _ := e["detail"].(map[string]any)
		found := false
		for event, want := range byRow {
			if reflect.DeepEqual(want["detail"], any(detail)) {
				shown[event], found = true, true
				// One is shown whole.
				for name, v := range e {
					if name != "detail" && !reflect.DeepEqual(want[name], v) {
						t.Errorf("the %s event's %s is documented as %v, want %v", event, name, v, want[name])
					}
				}
			}
		}
		if !found {
			raw, _ := json.Marshal(detail)
			t.Errorf("docs/events.md shows an event that none of the writes makes: %s", raw)
		}
	}
	for _, row := range project.Transitions {
		if !shown[row.Event] {
			raw, _ := json.MarshalIndent(map[string]any{"detail": byRow[row.Event]["detail"]}, "", "  ")
			t.Errorf("docs/events.md does not show the event of %s:\n%s", row.Event, raw)
		}
	}
}
