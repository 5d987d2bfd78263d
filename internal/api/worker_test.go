package api_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/token"
)

// running starts a project through the run function and returns its execution,
// with its execution token.
func (w *world) running(id string) (project.Ref, string) {
	w.t.Helper()
	w.insert(id, project.Pending)
	if a := w.do(w.run, action("run", id)); a.status != 200 {
		w.t.Fatalf("run: %s", a.raw)
	}
	ref := w.db.Read(w.t, key(id)).Ref()
	return ref, w.keys.Mint(token.Execution, ref, "")
}

func (w *world) claimed(id string) (project.Ref, string) {
	w.t.Helper()
	ref, execution := w.running(id)
	a := w.report("claim", ref, execution, `{"runner_id":"runner-1","job_id":"job-1"}`)
	if a.status != 200 {
		w.t.Fatalf("claim: %d %s", a.status, a.raw)
	}
	return ref, fmt.Sprint(a.body["report_token"])
}

func TestClaimGrantsOneRunner(t *testing.T) {
	w := newWorld(t)
	ref, execution := w.running("site")
	const mine = `{"runner_id":"runner-1","job_id":"job-1"}`
	first := w.report("claim", ref, execution, mine)
	if first.status != 200 || first.body["objectives"] != "Home\nAbout" || first.body["name"] != "Name" || first.number("execution_id") != ref.ExecutionID ||
		first.body["times_out_at"] != "2026-03-02T12:00:00Z" || first.number("heartbeat_seconds") != 30 || first.number("attempt") != 1 {
		t.Fatalf("got %d %s", first.status, first.raw)
	}
	w.pass(time.Second)
	if again := w.report("claim", ref, execution, mine); again.raw != first.raw {
		t.Errorf("the same runner again: got %d %s", again.status, again.raw)
	}
	w.want(w.report("claim", ref, execution, `{"runner_id":"runner-2","job_id":"job-2"}`), 409, project.CodeAlreadyClaimed, "")
	if p := w.db.Read(t, key("site")); !p.ClaimedAt.Equal(noon) || p.Attempts[ref.ExecutionID].JobID != "job-1" {
		t.Errorf("got %+v", p.Attempts[ref.ExecutionID])
	}
}

func TestWorkerCallsNeedTheirToken(t *testing.T) {
	w := newWorld(t)
	ref, execution := w.running("site")
	other, otherExecution := w.running("other")
	report := w.keys.Mint(token.Report, ref, "runner-1")
	bodies := map[string]string{
		"claim": `{"runner_id":"runner-1","job_id":"job-1"}`, "heartbeat": `{}`, "result": `{"outcome":"completed","exit_code":0}`,
	}
	for _, c := range []struct{ name, verb, token string }{
		{"none", "claim", ""},
		{"forged", "claim", execution[:len(execution)-2] + "AA"},
		{"cut", "claim", execution[:20]},
		{"another execution's", "claim", otherExecution},
		{"a report token for a claim", "claim", report},
		{"an execution token for a heartbeat", "heartbeat", execution},
		{"an execution token for a result", "result", execution},
		{"another execution's", "result", w.keys.Mint(token.Report, other, "runner-1")},
	} {
		t.Run(c.verb+"/"+c.name, func(t *testing.T) {
			before := w.db.Item(t, key("site"))
			w.want(w.report(c.verb, ref, c.token, bodies[c.verb]), 401, project.CodeTokenInvalid, "")
			if !reflect.DeepEqual(before, w.db.Item(t, key("site"))) {
				t.Error("a refused call changed the item")
			}
		})
	}
}

func TestHeartbeatShowsProgress(t *testing.T) {
	w := newWorld(t)
	ref, report := w.claimed("site")
	w.pass(30 * time.Second)
	a := w.report("heartbeat", ref, report, `{"progress":{"percent":40,"message":"Generating pages"}}`)
	if a.status != 200 || a.body["times_out_at"] != "2026-03-02T12:00:00Z" {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	s := w.do(w.status, action("status", "site"))
	if !strings.Contains(s.raw, `"progress":{"percent":40,"message":"Generating pages"},"heartbeat_at":"2026-03-01T12:00:30.000Z"`) {
		t.Errorf("status: %s", s.raw)
	}
}

func TestResultEndsTheExecution(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		id, body string
		status   project.Status
		outcome  project.Outcome
		err      string
	}{
		{"good", `{"outcome":"completed","exit_code":0}`, project.Completed, project.OutcomeCompleted, ""},
		{"bad", `{"outcome":"failed","exit_code":3,"error":"boom\n"}`, project.Failed, project.OutcomeFailed, "boom"},
		{"mute", `{"outcome":"failed","exit_code":3}`, project.Failed, project.OutcomeFailed, "The command exited with code 3"},
		{"slow", `{"outcome":"timed_out","exit_code":-1,"error":"too slow"}`, project.Failed, project.OutcomeTimedOut, "too slow"},
	} {
		ref, report := w.claimed(c.id)
		first := w.report("result", ref, report, c.body)
		if first.status != 200 || first.body["status"] != string(c.status) {
			t.Errorf("%s: got %d %s", c.id, first.status, first.raw)
		}
		// The runner's answer was lost, and it reports again.
		if again := w.report("result", ref, report, c.body); again.status != 200 || again.raw != first.raw {
			t.Errorf("%s again: got %d %s", c.id, again.status, again.raw)
		}
		p := w.db.Read(t, key(c.id))
		if a := p.Attempts[ref.ExecutionID]; p.Status != c.status || p.Error != c.err || a.Outcome != c.outcome || a.Late != nil || !p.CompletedAt.Equal(noon) {
			t.Errorf("%s: got %s %q, attempt %+v", c.id, p.Status, p.Error, a)
		}
	}
}

func TestBadReportsAreRefused(t *testing.T) {
	w := newWorld(t)
	ref, report := w.claimed("site")
	before := w.db.Item(t, key("site"))
	for verb, bodies := range map[string][]string{
		"heartbeat": {`{"progress":7}`, `{"progress":{"percent":"x"}}`, `[`},
		"result":    {``, `{}`, `{"outcome":"cancelled"}`, `{"outcome":"completed","status":"x"}`},
	} {
		for _, b := range bodies {
			w.want(w.report(verb, ref, report, b), 400, project.CodeBodyInvalid, "")
		}
	}
	if !reflect.DeepEqual(before, w.db.Item(t, key("site"))) {
		t.Error("a bad report changed the item")
	}
	for _, id := range []string{"x", "-1", "0", "99999999999999999999", "1.5", ""} {
		a := w.do(w.worker, call{
			route: "POST /api/worker/executions/{execution_id}/heartbeat", params: map[string]string{"execution_id": id},
			headers: map[string]string{"authorization": "Bearer " + report}, body: "{}",
		})
		w.want(a, 400, project.CodeExecutionIDWrong, "")
	}
}

// (gitlab-org/gitlab-ce 22087; taranis-ai PR 966)
func TestResultAfterTheSweepIsKeptAsLate(t *testing.T) {
	w := newWorld(t)
	ref, report := w.claimed("site")
	w.pass(24*time.Hour + time.Second)
	if _, err := w.db.Settle(t.Context(), project.Settlement{
		Ref: ref, Event: project.TimeOut, Error: project.TimedOut(project.DefaultTimeout), At: w.clock(), Token: "sweep",
	}); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Second)
	w.want(w.report("heartbeat", ref, report, `{}`), 409, project.CodeAttemptClosed, "")
	for range 2 {
		w.want(w.report("result", ref, report, `{"outcome":"completed","exit_code":0}`), 409, project.CodeAttemptClosed, "")
	}
	w.session("acme.new", w.clock().Add(time.Hour), w.clock())
	s := w.do(w.status, action("status", "site", header("x-session-token", "acme.new")))
	if s.body["execution_status"] != "failed" || !strings.Contains(s.raw, `"late_result":{"outcome":"completed","error":null,"received_at":"2026-03-02T12:00:02.000Z"}`) {
		t.Errorf("got %s", s.raw)
	}
}

// (oban-bg/oban 532)
func TestReportOfAnEarlierAttemptIsRefusedAndKept(t *testing.T) {
	w := newWorld(t)
	first, firstReport := w.claimed("site")
	if _, err := w.db.Settle(t.Context(), project.Settlement{Ref: first, Event: project.TimeOut, Error: "limit", At: noon, Token: "sweep"}); err != nil {
		t.Fatal(err)
	}
	if a := w.do(w.restart, action("restart", "site")); a.status != 200 {
		t.Fatal(a.raw)
	}
	second := w.db.Read(t, key("site")).Ref()
	grant := w.report("claim", second, w.keys.Mint(token.Execution, second, ""), `{"runner_id":"runner-2","job_id":"job-2"}`)
	if a := w.report("result", second, fmt.Sprint(grant.body["report_token"]), `{"outcome":"completed","exit_code":0}`); a.status != 200 {
		t.Fatal(a.raw)
	}
	w.want(w.report("result", first, firstReport, `{"outcome":"failed","exit_code":1,"error":"late"}`), 409, project.CodeAttemptClosed, "")
	p := w.db.Read(t, key("site"))
	if p.Status != project.Completed || p.Error != "" || p.Attempts[second.ExecutionID].Late != nil {
		t.Errorf("got %s %q", p.Status, p.Error)
	}
	if late := p.Attempts[first.ExecutionID].Late; late == nil || late.Error != "late" {
		t.Errorf("attempt 1's late result: got %+v", late)
	}
}

func TestReportsOfADeletedProjectAreClosed(t *testing.T) {
	w := newWorld(t)
	ref, report := w.claimed("site")
	w.db.Delete(t, key("site"))
	w.want(w.report("heartbeat", ref, report, `{}`), 409, project.CodeAttemptClosed, "")
	w.want(w.report("result", ref, report, `{"outcome":"completed","exit_code":0}`), 409, project.CodeAttemptClosed, "")
	w.want(w.report("claim", ref, w.keys.Mint(token.Execution, ref, ""), `{"runner_id":"r","job_id":"j"}`), 409, project.CodeAttemptClosed, "")
	if w.db.Item(t, key("site")) != nil {
		t.Error("a report made an item")
	}
}
