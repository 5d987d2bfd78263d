package settle_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"rekindle/internal/project"
	"rekindle/internal/secretwatch"
	"rekindle/internal/settle"
	"rekindle/internal/telemetry"
	"rekindle/internal/telemetry/emftest"
	"rekindle/internal/token"
)

const outOfMemory = "The project ran out of memory and was stopped"

// cloud is a fixture whose ends come as events.
type cloud struct {
	*fixture
	h    *settle.Handler
	keys *token.Keyring
	log  bytes.Buffer
}

func newCloud(t *testing.T) *cloud {
	c := &cloud{fixture: newFixture(t), keys: keyring(t, "s")}
	log := secretwatch.New(telemetry.NewHandler(slog.NewJSONHandler(&c.log, &slog.HandlerOptions{Level: slog.LevelDebug}), "Rekindle/test"))
	c.h = settle.NewHandler(settle.New(c.db, c.jobs, nil, log), c.keys, log)
	return c
}

func keyring(t *testing.T, letter string) *token.Keyring {
	t.Helper()
	k, err := token.NewKeyring(strings.Repeat(letter, token.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// event is the shipped sample, a job of execution 77 that ran out of memory,
// with what a test changes of its detail. It repeats the token.
func (c *cloud) event(token string, change func(detail map[string]any)) []byte {
	c.t.Helper()
	text, err := os.ReadFile("../../infra/events/settle-failed.json")
	if err != nil {
		c.t.Fatal(err)
	}
	shipped := regexp.MustCompile(`eyJ[\w-]+\.[\w-]+`)
	if n := len(shipped.FindAll(text, -1)); n != 1 {
		c.t.Fatalf("the sample has a token %d times, want once", n)
	}
	var event map[string]any
	if err := json.Unmarshal(shipped.ReplaceAllLiteral(text, []byte(token)), &event); err != nil {
		c.t.Fatal(err)
	}
	detail := event["detail"].(map[string]any)
	detail["jobName"], detail["jobId"] = "rk-77-u-site", "job-1"
	if change != nil {
		change(detail)
	}
	text, err = json.Marshal(event)
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

func (c *cloud) token(p *project.Project) string { return c.keys.Mint(token.Execution, p.Ref(), "") }

// tell delivers an event that is to be taken, whatever comes of it.
func (c *cloud) tell(payload []byte) {
	c.t.Helper()
	if out, err := c.h.Invoke(c.t.Context(), payload); err != nil || string(out) != "null" {
		c.t.Errorf("got %s, %v", out, err)
	}
}

func (c *cloud) logged(want string) {
	c.t.Helper()
	if !strings.Contains(c.log.String(), want) {
		c.t.Errorf("the log has no %q:\n%s", want, c.log.String())
	}
}

func succeeded(detail map[string]any) {
	detail["status"] = "SUCCEEDED"
	detail["container"].(map[string]any)["exitCode"] = 0
	delete(detail["container"].(map[string]any), "reason")
}

func TestEventOfAFailedJobFailsItsExecutionOnce(t *testing.T) {
	c := newCloud(t)
	p := c.claimed("site")
	event := c.event(c.token(p), nil)
	c.tell(event)
	c.want(p, project.Failed, outOfMemory)
	before := c.db.Item(t, p.Key)
	c.tell(event)
	c.tell(c.event(c.token(p), succeeded)) // out of order, and wrong
	if !reflect.DeepEqual(before, c.db.Item(t, p.Key)) {
		t.Error("an event that came again changed the item")
	}
}

func TestEventsAreCountedOnceAndKnowTheirInvocation(t *testing.T) {
	c := newCloud(t)
	p := c.claimed("site")
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "invocation-1"})
	for range 2 {
		if _, err := c.h.Invoke(ctx, c.event(c.token(p), nil)); err != nil {
			t.Fatal(err)
		}
	}
	if got := emftest.Count(t, c.log.String()); got["Failed Reason=engine"] != 1 || got["Failed"] != 1 || len(got) != 2 {
		t.Errorf("the log counts %v, want one failure by the engine", got)
	}
	for line := range strings.Lines(c.log.String()) {
		if !strings.Contains(line, `"request_id":"invocation-1"`) {
			t.Errorf("a line does not say whose it is: %s", line)
		}
	}
}

func TestEventOfAJobThatNeverStarted(t *testing.T) {
	c := newCloud(t)
	p := c.running("site")
	never := func(detail map[string]any) {
		detail["statusReason"] = "Canceled by JobStateTimeLimit action due to reason: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
		detail["attempts"], detail["isCancelled"] = []any{}, true
		delete(detail, "startedAt")
		for _, name := range []string{"exitCode", "reason", "taskArn", "logStreamName"} {
			delete(detail["container"].(map[string]any), name)
		}
	}
	c.jobs.alive = []string{"job-2"}
	c.tell(c.event(c.token(p), never))
	c.want(p, project.Running, "")
	c.jobs.alive = nil
	c.tell(c.event(c.token(p), never))
	c.want(p, project.Failed, "The project was not started: there was no machine free for it in time. Restart it later")
}

func TestEventOfAnotherJobThanTheClaimingOne(t *testing.T) {
	c := newCloud(t)
	p := c.claimed("site")
	c.tell(c.event(c.token(p), func(detail map[string]any) { detail["jobId"] = "job-2" }))
	c.want(p, project.Running, "")
}

func TestEventOfAJobThatEndedWellWithoutAResult(t *testing.T) {
	c := newCloud(t)
	p := c.claimed("site")
	c.tell(c.event(c.token(p), succeeded))
	c.want(p, project.Failed, "The job ended without reporting a result")
}

func TestLateSucceededAfterASweepChangesNothing(t *testing.T) {
	c := newCloud(t)
	p := c.claimed("site")
	if _, err := c.db.Settle(t.Context(), project.Settlement{Ref: p.Ref(), Event: project.TimeOut, Error: "the limit", At: noon, Token: "sweep"}); err != nil {
		t.Fatal(err)
	}
	before := c.db.Item(t, p.Key)
	c.tell(c.event(c.token(p), succeeded))
	if !reflect.DeepEqual(before, c.db.Item(t, p.Key)) {
		t.Error("a late event changed the item")
	}
	c.want(p, project.Failed, "the limit")
}

func TestLateEventAfterARestartIsNotOfTheNewAttempt(t *testing.T) {
	c := newCloud(t)
	p := c.claimed("site")
	c.tell(c.event(c.token(p), nil))
	if _, err := c.db.Start(t.Context(), project.Start{Project: c.db.Read(t, p.Key), Event: project.Restart, ExecutionID: 78, At: noon, Output: "o", Token: "r"}); err != nil {
		t.Fatal(err)
	}
	c.tell(c.event(c.token(p), nil))
	c.want(p, project.Running, "")
}

func TestEventOfADeletedProject(t *testing.T) {
	c := newCloud(t)
	p := c.claimed("site")
	c.db.Delete(t, p.Key)
	c.tell(c.event(c.token(p), nil))
	c.logged("its project is gone")
	again := *p
	again.UID = "u-2"
	c.db.Insert(t, &again)
	c.tell(c.event(c.token(p), nil))
	c.want(&again, project.Running, "")
}

func TestEventsThatAreNotOursArePassedOver(t *testing.T) {
	c := newCloud(t)
	p := c.claimed("site")
	other := p.Ref()
	other.ExecutionID = 78
	named := func(name string) func(map[string]any) {
		return func(detail map[string]any) { detail["jobName"] = name }
	}
	const name, invalid = "the job's name is none of an execution's", "the job's token is not valid"
	for what, e := range map[string]struct {
		payload []byte
		says    string
	}{
		"another's job":               {c.event(c.token(p), named("nightly-report")), name},
		"a name without a number":     {c.event(c.token(p), named("rk-")), name},
		"a name that is not a number": {c.event(c.token(p), named("rk-77x-u-site")), name},
		"a signed number":             {c.event(c.token(p), named("rk-+77-u-site")), name},
		"a number with zeros":         {c.event(c.token(p), named("rk-077-u-site")), name},
		"a negative number":           {c.event(c.token(p), named("rk--77-u-site")), name},
		"a name without a project":    {c.event(c.token(p), named("rk-77-")), name},
		"another project's job":       {c.event(c.token(p), named("rk-77-u-other")), "the job's token is another execution's"},
		"a number of no size":         {c.event(c.token(p), named("rk-99999999999999999999-u-site")), name},
		"a forged token":              {c.event(keyring(t, "f").Mint(token.Execution, p.Ref(), ""), nil), invalid},
		"a report token":              {c.event(c.keys.Mint(token.Report, p.Ref(), "r"), nil), invalid},
		"an empty token":              {c.event("", nil), invalid},
		"a text that is no token":     {c.event("no-token", nil), invalid},
		"another execution's token":   {c.event(c.keys.Mint(token.Execution, other, ""), nil), "the job's token is another execution's"},
		"no environment": {c.event(c.token(p), func(detail map[string]any) {
			detail["container"].(map[string]any)["environment"] = []any{}
		}), "the job has no token"},
		"no container": {c.event(c.token(p), func(detail map[string]any) { delete(detail, "container") }), "the job has no token"},
		"a job that runs": {c.event(c.token(p), func(detail map[string]any) {
			detail["status"] = "RUNNING"
		}), "the job has not ended"},
	} {
		c.log.Reset()
		if out, err := c.h.Invoke(t.Context(), e.payload); err != nil || string(out) != "null" {
			t.Errorf("%s: got %s, %v", what, out, err)
		}
		if n := strings.Count(c.log.String(), "\n"); n != 1 || !strings.Contains(c.log.String(), "event passed over: "+e.says) {
			t.Errorf("%s: the log says\n%swant %q", what, c.log.String(), e.says)
		}
		c.want(p, project.Running, "")
	}
}

func TestPoisonIsRefused(t *testing.T) {
	c := newCloud(t)
	p := c.claimed("site")
	good := string(c.event(c.token(p), nil))
	for _, payload := range []string{
		"", "secret", "null", "[]", "{}", `"secret"`, `{"detail":"secret"}`, good[:len(good)/2],
		`{"source":"aws.batch","detail-type":"Batch Job Queue Blocked","detail":{"jobId":"1"}}`,
		`{"source":"mine","detail-type":"Batch Job State Change","detail":{"jobId":"1"}}`,
		`{"source":"aws.batch","detail-type":"Batch Job State Change","detail":{"jobName":"rk-77-u-site","status":"FAILED"}}`,
		`{"source":"aws.batch","detail-type":"Batch Job State Change","detail":{"container":{"exitCode":98765432109876543210}}}`,
	} {
		_, err := c.h.Invoke(t.Context(), []byte(payload))
		if err == nil {
			t.Errorf("%.100s was taken", payload)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "9876") {
			t.Errorf("%.100s: the error repeats it: %v", payload, err)
		}
	}
	c.want(p, project.Running, "")
}

func TestFaultsOfAnEventAreErrors(t *testing.T) {
	c := newCloud(t)
	p := c.running("site")
	c.jobs.err = errors.New("throttled")
	if _, err := c.h.Invoke(t.Context(), c.event(c.token(p), nil)); !errors.Is(err, c.jobs.err) {
		t.Errorf("got %v, want the engine's error", err)
	}
	c.want(p, project.Running, "")
	c.jobs.err = nil
	c.tell(c.event(c.token(p), nil))
	c.want(p, project.Failed, outOfMemory)
}

// An event repeats the environment of the container.
func TestNoEnvironmentIsLogged(t *testing.T) {
	c := newCloud(t)
	p := c.claimed("site")
	secret := func(detail map[string]any) {
		container := detail["container"].(map[string]any)
		container["environment"] = append(container["environment"].([]any), map[string]any{"name": "DB_PASSWORD", "value": "hunter2"})
	}
	forged := keyring(t, "f").Mint(token.Execution, p.Ref(), "")
	for _, payload := range [][]byte{
		c.event(forged, secret),
		c.event(c.token(p), func(detail map[string]any) { secret(detail); detail["jobName"] = "rk-78-u-site" }),
		c.event(c.token(p), func(detail map[string]any) { secret(detail); detail["jobName"] = "other" }),
		c.event(c.token(p), func(detail map[string]any) { secret(detail); detail["status"] = "RUNNING" }),
		c.event(c.token(p), func(detail map[string]any) { secret(detail); detail["jobId"] = "job-2" }),
		c.event(c.token(p), secret),
		c.event(c.token(p), secret), // its execution has ended
	} {
		c.tell(payload)
	}
	c.want(p, project.Failed, outOfMemory)
	c.logged("execution failed by the end of its job")
	for _, s := range []string{"hunter2", "DB_PASSWORD", "PROJECT_COMMAND", "rekindle-sample", c.token(p), forged, "REKINDLE_"} {
		if strings.Contains(c.log.String(), s) {
			t.Errorf("the log has %q:\n%s", s, c.log.String())
		}
	}
	for line := range strings.Lines(c.log.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if fields["job_id"] == "" || fields["job_id"] == nil {
			t.Errorf("a line names no job: %s", line)
		}
	}
}
