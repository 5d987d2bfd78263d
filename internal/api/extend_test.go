package api_test

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"rekindle/internal/project"
)

func stampOf(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// startedAgo sets how long ago a project was started.
func startedAgo(d time.Duration) func(*project.Project) {
	return func(p *project.Project) { p.StartedAt = noon.Add(-d) }
}

func TestExtensionMovesTheLimitForPortalRunnerAndEngine(t *testing.T) {
	w := newWorld(t)
	ref, report := w.claimed("site")
	w.pass(21 * time.Hour)
	w.session("acme.later", w.clock().Add(project.SessionLife), w.clock())
	later := header("x-session-token", "acme.later")
	started := w.db.Read(t, key("site")).StartedAt
	a := w.do(w.status, action("status", "site", later))
	if a.body["can_extend"] != true || a.body["extendable_at"] != stampOf(started.Add(20*time.Hour)) || a.body["execution_extension_seconds"] != nil {
		t.Errorf("before: got %s", a.raw)
	}
	a = w.do(w.projects, on("POST /extend", "site", later, body(`{"hours":6.5,"expected_attempt":1}`)))
	want := `{"success":true,"message":"Project execution extended","execution_id":` + strconv.FormatInt(ref.ExecutionID, 10) + `,"times_out_at":"` + stampOf(started.Add(30*time.Hour+30*time.Minute)) + `"}`
	if a.status != 200 || a.raw != want {
		t.Fatalf("got %d %s, want %s", a.status, a.raw, want)
	}
	a = w.do(w.status, action("status", "site", later))
	if a.body["can_extend"] != false || a.body["extendable_at"] != nil || a.number("execution_extension_seconds") != 23400 || a.body["times_out_at"] != stampOf(started.Add(30*time.Hour+30*time.Minute)) {
		t.Errorf("after: got %s", a.raw)
	}
	beat := w.report("heartbeat", ref, report, `{}`)
	if got, err := time.Parse(time.RFC3339, beat.body["times_out_at"].(string)); err != nil || !got.Equal(started.Add(30*time.Hour+30*time.Minute)) {
		t.Errorf("the runner is told %s", beat.raw)
	}
}

func TestExtensionIsPossibleInTheLastSixthOfTheLimit(t *testing.T) {
	for _, c := range []struct {
		name string
		ago  time.Duration
		code project.Code
		says string
	}{
		{"early", 20*time.Hour - time.Millisecond, project.CodeExtensionEarly, "This execution can be extended from 2026-03-01T12:00:00.001Z on"},
		{"first", 20 * time.Hour, "", ""},
		{"last", 24*time.Hour - time.Millisecond, "", ""},
		{"late", 24 * time.Hour, project.CodeExtensionLate, "This execution timed out at 2026-03-01T12:00:00.000Z, and can't be extended any more"},
	} {
		w := newWorld(t)
		w.insert(c.name, project.Running, startedAgo(c.ago))
		can := w.do(w.status, action("status", c.name)).body["can_extend"]
		a := w.do(w.projects, on("POST /extend", c.name, body(`{"hours":1}`)))
		if c.code == "" {
			if a.status != 200 || can != true {
				t.Errorf("%s: got %d %s, can_extend %v", c.name, a.status, a.raw, can)
			}
			continue
		}
		if w.want(a, 400, c.code, c.says); can != false {
			t.Errorf("%s: can_extend is %v", c.name, can)
		}
	}
}

func TestExtensionRefusals(t *testing.T) {
	w := newWorld(t)
	for _, status := range []project.Status{project.Pending, project.Completed, project.Failed} {
		w.insert(string(status), status)
		w.want(w.do(w.projects, on("POST /extend", string(status), body(`{"hours":1}`))), 400, project.CodeNotRunning,
			"Only running projects can be extended. Current status: "+string(status))
	}
	w.insert("site", project.Running, startedAgo(21*time.Hour))
	before := w.db.Item(t, key("site"))
	for _, c := range []struct {
		body string
		code project.Code
		want int
	}{
		{``, project.CodeBodyInvalid, 400}, {`{}`, project.CodeBodyInvalid, 400}, {`{"hours":null}`, project.CodeBodyInvalid, 400},
		{`{"hours":0}`, project.CodeBodyInvalid, 400}, {`{"hours":0.99}`, project.CodeBodyInvalid, 400}, {`{"hours":-3}`, project.CodeBodyInvalid, 400},
		{`{"hours":24.01}`, project.CodeBodyInvalid, 400}, {`{"hours":1e300}`, project.CodeBodyInvalid, 400}, {`{"hours":"6"}`, project.CodeBodyInvalid, 400},
		{`{"hours":6,"expected_attempt":2}`, project.CodeAttemptDiffers, 409}, {`{"hours":6,"expected_attempt":-1}`, project.CodeBodyInvalid, 400},
		{`{"hours":6,"minutes":1}`, project.CodeBodyInvalid, 400},
	} {
		w.want(w.do(w.projects, on("POST /extend", "site", body(c.body))), c.want, c.code, "")
	}
	w.want(w.do(w.projects, on("POST /extend", "site", header("x-session-token", foreignToken), body(`{"hours":6}`))), 404, project.CodeProjectNotFound, "")
	if !reflect.DeepEqual(before, w.db.Item(t, key("site"))) {
		t.Error("a refused extension changed the item")
	}
}

func TestExtensionIsGivenOnceAndAnsweredAgain(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Running, startedAgo(21*time.Hour))
	first := w.do(w.projects, on("POST /extend", "site", body(`{"hours":3}`)))
	before := w.db.Item(t, key("site"))
	if again := w.do(w.projects, on("POST /extend", "site", body(`{"hours":3}`))); first.status != 200 || again.status != 200 || again.raw != first.raw {
		t.Errorf("the same again: got %d %s, want %s", again.status, again.raw, first.raw)
	}
	w.want(w.do(w.projects, on("POST /extend", "site", body(`{"hours":4}`))), 409, project.CodeExtended,
		"This execution was extended before, and times out at 2026-03-01T18:00:00.000Z: an execution is extended once")
	if !reflect.DeepEqual(before, w.db.Item(t, key("site"))) {
		t.Error("another extension changed the item")
	}
}

func TestOneOfManyExtensionsCounts(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Running, startedAgo(21*time.Hour))
	wantTally(t, w.together(24, func(i int) call { return on("POST /extend", "site", body(`{"hours":`+strconv.Itoa(i+1)+`}`)) }),
		map[string]int{"200": 1, "409 extension_used": 23})
}

// An extension that lost a race does not extend an execution that began since.
func TestExtensionNeverMeetsTheNextAttempt(t *testing.T) {
	w := newWorld(t)
	p := w.insert("site", project.Running, startedAgo(21*time.Hour))
	raced := false
	w.db.Wire.Set(func(op string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
		if op == "UpdateItem" && !raced {
			raced = true
			failed, err := w.db.Settle(t.Context(), project.Settlement{Ref: p.Ref(), Event: project.Fail, Error: "it broke", At: noon, Token: "t"})
			if err != nil {
				t.Error(err)
				return next()
			}
			if _, err := w.db.Start(t.Context(), project.Start{Project: failed, Event: project.Restart, ExecutionID: 78, At: noon.Add(-21 * time.Hour), Output: "o", Token: "t2"}); err != nil {
				t.Error(err)
			}
		}
		return next()
	})
	w.want(w.do(w.projects, on("POST /extend", "site", body(`{"hours":1}`))), 409, project.CodeAttemptDiffers, "")
	if now := w.db.Read(t, key("site")); now.Extension != 0 {
		t.Errorf("the next attempt was extended by %s", now.Extension)
	}
}

func TestExtensionSurvivesALostReply(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Running, startedAgo(21*time.Hour))
	w.db.Wire.LoseReply("UpdateItem", 1)
	if a := w.do(w.projects, on("POST /extend", "site", body(`{"hours":1}`))); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.raw)
	}
}

func TestRestartBeginsWithoutAnExtension(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Running, startedAgo(21*time.Hour))
	if a := w.do(w.projects, on("POST /extend", "site", body(`{"hours":1}`))); a.status != 200 {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	w.do(w.projects, on("POST /cancel", "site"))
	if a := w.do(w.restart, action("restart", "site")); a.status != 200 {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	a := w.do(w.status, action("status", "site"))
	if a.body["execution_extension_seconds"] != nil || a.body["times_out_at"] != stampOf(noon.Add(24*time.Hour)) || a.body["execution_outcome"] != nil {
		t.Errorf("got %s", a.raw)
	}
	attempts := a.body["attempts"].([]any)
	if first := attempts[1].(map[string]any); !strings.Contains(a.raw, `"extension_seconds":3600`) || first["outcome"] != "cancelled" {
		t.Errorf("its first attempt is %v", first)
	}
}

func TestStatusTellsTheSweepThatFailedIt(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Failed, func(p *project.Project) {
		p.SweepID, p.Outcome = "sweep-1", project.OutcomeTimedOut
		a := p.Attempts[77]
		a.Outcome, a.HeartbeatAt = project.OutcomeTimedOut, noon.Add(-3*time.Hour)
		a.Swept = &project.Swept{SweepID: "sweep-1", Cutoff: noon.Add(-24 * time.Hour)}
		p.Attempts[77] = a
	})
	a := w.do(w.status, action("status", "site"))
	for _, want := range []string{
		`"execution_outcome":"timed_out"`, `"sweep_id":"sweep-1"`, `"heartbeat_at":"2026-03-01T09:00:00.000Z"`,
		`"swept":{"sweep_id":"sweep-1","at":"2026-03-01T11:59:00.000Z","cutoff":"2026-02-28T12:00:00.000Z","silent":false}`,
	} {
		if !strings.Contains(a.raw, want) {
			t.Errorf("no %s in %s", want, a.raw)
		}
	}
}
