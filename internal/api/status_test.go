package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"rekindle/internal/project"
)

func TestStatusOfEachState(t *testing.T) {
	w := newWorld(t)
	for status, want := range map[project.Status]string{
		project.Pending: `{"project_id":"pending","name":"Name","execution_status":"pending","execution_id":null,"attempt":0,` +
			`"execution_started_at":null,"claimed_at":null,"execution_completed_at":null,"execution_error":null,"output_folder_path":null,` +
			`"progress":{"percent":0,"message":""},"heartbeat_at":null,"times_out_at":null,"execution_outcome":null,"sweep_id":null,"execution_extension_seconds":null,"extendable_at":null,"can_extend":false,"can_run":true,"can_restart":false,"blocked_reason":null,"blocked_code":null,"attempts":[]}`,
		project.Running: `{"project_id":"running","name":"Name","execution_status":"running","execution_id":77,"attempt":1,` +
			`"execution_started_at":"2026-03-01T11:30:00.000Z","claimed_at":null,"execution_completed_at":null,"execution_error":null,"output_folder_path":"/out/acme/uid-running/77/",` +
			`"progress":{"percent":0,"message":""},"heartbeat_at":null,"times_out_at":"2026-03-02T11:30:00.000Z","execution_outcome":null,"sweep_id":null,"execution_extension_seconds":null,"extendable_at":"2026-03-02T07:30:00.000Z","can_extend":false,"can_run":false,"can_restart":false,` +
			`"blocked_reason":"Only pending projects can be run. Current status: running","blocked_code":"project_not_pending",` +
			`"attempts":[{"execution_id":77,"attempt":1,"started_at":"2026-03-01T11:30:00.000Z","claimed_at":null,"completed_at":null,"outcome":null,"error":null,"output_folder_path":"/out/acme/uid-running/77/","heartbeat_at":null,"extension_seconds":null,"swept":null,"late_result":null}]}`,
		project.Failed: `{"project_id":"failed","name":"Name","execution_status":"failed","execution_id":77,"attempt":1,` +
			`"execution_started_at":"2026-03-01T11:30:00.000Z","claimed_at":null,"execution_completed_at":"2026-03-01T11:59:00.000Z","execution_error":"it broke","output_folder_path":"/out/acme/uid-failed/77/",` +
			`"progress":{"percent":0,"message":""},"heartbeat_at":null,"times_out_at":null,"execution_outcome":"failed","sweep_id":null,"execution_extension_seconds":null,"extendable_at":null,"can_extend":false,"can_run":false,"can_restart":true,"blocked_reason":null,"blocked_code":null,` +
			`"attempts":[{"execution_id":77,"attempt":1,"started_at":"2026-03-01T11:30:00.000Z","claimed_at":null,"completed_at":"2026-03-01T11:59:00.000Z","outcome":"failed","error":"it broke","output_folder_path":"/out/acme/uid-failed/77/","heartbeat_at":null,"extension_seconds":null,"swept":null,"late_result":null}]}`,
		project.Completed: `{"project_id":"completed","name":"Name","execution_status":"completed","execution_id":77,"attempt":1,` +
			`"execution_started_at":"2026-03-01T11:30:00.000Z","claimed_at":null,"execution_completed_at":"2026-03-01T11:59:00.000Z","execution_error":null,"output_folder_path":"/out/acme/uid-completed/77/",` +
			`"progress":{"percent":100,"message":""},"heartbeat_at":null,"times_out_at":null,"execution_outcome":"completed","sweep_id":null,"execution_extension_seconds":null,"extendable_at":null,"can_extend":false,"can_run":false,"can_restart":false,` +
			`"blocked_reason":"Only pending projects can be run. Current status: completed","blocked_code":"project_not_pending",` +
			`"attempts":[{"execution_id":77,"attempt":1,"started_at":"2026-03-01T11:30:00.000Z","claimed_at":null,"completed_at":"2026-03-01T11:59:00.000Z","outcome":"completed","error":null,"output_folder_path":"/out/acme/uid-completed/77/","heartbeat_at":null,"extension_seconds":null,"swept":null,"late_result":null}]}`,
	} {
		w.insert(string(status), status)
		a := w.do(w.status, action("status", string(status)))
		if a.status != 200 || a.raw != want {
			t.Errorf("%s: got %d\n%s\nwant\n%s", status, a.status, a.raw, want)
		}
	}
}

func TestStatusSaysWhyAProjectIsBlocked(t *testing.T) {
	w := newWorld(t)
	for id, change := range map[string]func(*project.Project){
		"a code":       func(p *project.Project) { p.ActivationCode = "" },
		"a revoked":    func(p *project.Project) { p.ActivationCodeRevokedAt = noon },
		"a objectives": func(p *project.Project) { p.Objectives = "" },
	} {
		id = strings.ReplaceAll(id, " ", "-")
		w.insert(id, project.Failed, change)
		status := w.do(w.status, action("status", id))
		restart := w.do(w.restart, action("restart", id))
		if status.body["blocked_reason"] != restart.detail() || status.body["blocked_code"] != restart.code() || status.body["can_restart"] != false {
			t.Errorf("%s: status says %v %v, restart refuses with %s %q", id, status.body["blocked_code"], status.body["blocked_reason"], restart.code(), restart.detail())
		}
	}
	w.tenant("late", project.PastDue)
	w.session("late.x", noon.Add(time.Hour), noon)
	w.db.Insert(t, &project.Project{Key: project.Key{TenantID: "late", ProjectID: "site"}, UID: "u", Name: "N", Description: "D", Objectives: "O", ActivationCode: "h", Status: project.Pending})
	a := w.do(w.status, action("status", "site", header("x-session-token", "late.x")))
	if a.body["blocked_code"] != string(project.CodeSubscriptionPastDue) || a.body["can_run"] != false {
		t.Errorf("got %s", a.raw)
	}
}

func TestStatusListsTenAttemptsNewestFirst(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Failed)
	for i := range 12 {
		if a := w.do(w.restart, action("restart", "site")); a.status != 200 {
			t.Fatalf("restart %d: %s", i, a.raw)
		}
		p := w.db.Read(t, key("site"))
		if _, err := w.db.Settle(t.Context(), project.Settlement{Ref: p.Ref(), Event: project.Fail, Error: fmt.Sprint("e", i), At: noon, Token: "t"}); err != nil {
			t.Fatal(err)
		}
	}
	var s struct {
		Attempts []struct {
			Attempt int
			Error   string
		}
	}
	if err := json.Unmarshal([]byte(w.do(w.status, action("status", "site")).raw), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Attempts) != 10 || s.Attempts[0].Attempt != 13 || s.Attempts[9].Attempt != 4 || s.Attempts[0].Error != "e11" {
		t.Errorf("got %+v", s.Attempts)
	}
}

func TestRoundTrips(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	w.insert("failed", project.Failed)
	w.tenant("try", project.Trialing)
	w.session("try.x", noon.Add(time.Hour), noon)
	for _, id := range []string{"one", "two"} {
		w.db.Insert(t, &project.Project{Key: project.Key{TenantID: "try", ProjectID: id}, UID: "u" + id, Name: "N", Description: "D", Objectives: "O", ActivationCode: "h", Status: project.Pending})
	}
	as := header("x-session-token", "try.x")
	end := func() {
		ref := w.db.Read(t, project.Key{TenantID: "try", ProjectID: "one"}).Ref()
		if _, err := w.db.Settle(t.Context(), project.Settlement{Ref: ref, Event: project.Fail, Error: "e", At: noon, Token: "t"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, verb, id string
		as             func(*call)
		before         func()
		want           int
	}{
		{"status", "status", "site", func(*call) {}, nil, 1},
		{"run", "run", "site", func(*call) {}, nil, 2},
		{"restart", "restart", "failed", func(*call) {}, nil, 2},
		{"a refused restart", "restart", "site", func(*call) {}, nil, 1},
		{"a trial's first run", "run", "one", as, nil, 3},
		{"a trial's restart", "restart", "one", as, end, 3},
		{"a trial's run of another project", "run", "two", as, end, 4},
	} {
		if c.before != nil {
			c.before()
		}
		w.db.Wire.Set(nil)
		a := w.do(w.handler(c.verb), action(c.verb, c.id, c.as))
		calls, sum := w.db.Wire.Calls(), 0
		for _, n := range calls {
			sum += n
		}
		if c.name == "a refused restart" {
			sum -= calls["GetItem"] // none is expected; it would show below
		} else if a.status != 200 {
			t.Errorf("%s: got %d %s", c.name, a.status, a.raw)
		}
		if sum != c.want || calls["GetItem"] != 0 {
			t.Errorf("%s: got %v, want %d calls", c.name, calls, c.want)
		}
	}
}

func TestLogLinesNameTheRequestAndNoSecret(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	w.do(w.run, action("run", "site", header("idempotency-key", "very-secret-key"), body(`{"expected_attempt":0}`)))
	w.do(w.status, action("status", "site", header("x-session-token", "acme.wrong-secret")))
	p := w.db.Read(t, key("site"))
	execution := w.keys.Mint("execution", p.Ref(), "")
	grant := w.report("claim", p.Ref(), execution, `{"runner_id":"r","job_id":"j"}`)
	w.report("result", p.Ref(), fmt.Sprint(grant.body["report_token"]), `{"outcome":"completed","exit_code":0}`)
	logs := w.logs.String()
	for _, secret := range []string{sessionToken, "wrong-secret", "very-secret-key", execution, fmt.Sprint(grant.body["report_token"]), "About"} {
		if strings.Contains(logs, secret) {
			t.Errorf("the log has %q:\n%s", secret, logs)
		}
	}
	for line := range strings.Lines(logs) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("not a JSON line: %s", line)
		}
		if entry["request_id"] != "req-1" {
			t.Errorf("no request id, only %v: %s", slices.Sorted(maps.Keys(entry)), line)
		}
	}
}
