package api_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"rekindle/internal/project"
)

// Tail says what it was asked for, in text that is not all UTF-8.
func (o *outputs) Tail(_ context.Context, ref project.Ref, stream string, lines int) (string, error) {
	if o.text != "" {
		return o.text, o.err
	}
	return fmt.Sprintf("%s %s %s %d %s %d\xff\n", ref.TenantID, ref.ProjectID, ref.ProjectUID, ref.ExecutionID, stream, lines), o.err
}

func (o *outputs) Download(_ context.Context, ref project.Ref, name string) (project.Link, error) {
	return project.Link{
		URL:  fmt.Sprintf("https://files/%s/%s/%d", ref.TenantID, ref.ProjectUID, ref.ExecutionID),
		Size: 12, Name: name, ExpiresAt: noon.Add(5 * time.Minute),
	}, o.err
}

// reading is a tenant's call for what one of acme's projects wrote.
func reading(what, id string, query map[string]string, more ...func(*call)) call {
	c := action(what, id, more...)
	c.route, c.query = "GET "+tenantPath+what, query
	return c
}

func TestLogOfTheAttemptAskedFor(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Running, func(p *project.Project) {
		p.Attempt, p.ExecutionID = 2, 78
		first := p.Attempts[77]
		first.Outcome, first.Error = project.OutcomeFailed, "it broke"
		first.Late = &project.Late{Outcome: project.OutcomeCompleted, ReceivedAt: noon}
		p.Attempts = map[int64]project.Attempt{77: first, 78: {ExecutionID: 78, Number: 2, StartedAt: p.StartedAt, StartedBy: "seed"}}
	})
	for _, c := range []struct {
		name               string
		query              map[string]string
		attempt, execution int64
		lines              int
	}{
		{"present", nil, 2, 78, 200},
		{"empty parameters", map[string]string{"tail": "", "attempt": ""}, 2, 78, 200},
		{"named", map[string]string{"attempt": "2", "tail": "1"}, 2, 78, 1},
		{"an earlier one, with a late result", map[string]string{"attempt": "1", "tail": "1000"}, 1, 77, 1000},
	} {
		a := w.do(w.projects, reading("log", "site", c.query))
		want := func(stream string) string {
			return fmt.Sprintf("acme site uid-site %d %s %d\ufffd\n", c.execution, stream, c.lines)
		}
		if a.status != 200 || a.number("attempt") != c.attempt || a.number("execution_id") != c.execution ||
			a.body["stdout"] != want("stdout") || a.body["stderr"] != want("stderr") || len(a.body) != 4 {
			t.Errorf("%s: got %d %s", c.name, a.status, a.raw)
		}
	}
}

func TestLogRefusals(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Running)
	w.insert("new", project.Pending)
	for _, attempt := range []string{"2", "9999999"} {
		a := w.do(w.projects, reading("log", "site", map[string]string{"attempt": attempt}))
		w.want(a, 404, project.CodeAttemptUnknown, "The project does not remember attempt "+attempt)
	}
	a := w.do(w.projects, reading("log", "new", nil))
	w.want(a, 404, project.CodeAttemptUnknown, "")
	if a.number("attempt") != 0 {
		t.Errorf("never run: got %s", a.raw)
	}
	for _, c := range []struct{ parameter, value string }{
		{"tail", "0"}, {"tail", "-1"}, {"tail", "1001"}, {"tail", "all"}, {"tail", "1e3"}, {"tail", "99999999999999999999"},
		{"attempt", "0"}, {"attempt", "-1"}, {"attempt", "last"}, {"attempt", "1,2"},
	} {
		a := w.do(w.projects, reading("log", "site", map[string]string{c.parameter: c.value}))
		w.want(a, 400, project.CodeQueryInvalid, "")
		if a.body["parameter"] != c.parameter || a.body["problem"] == "" {
			t.Errorf("%s=%s: got %s", c.parameter, c.value, a.raw)
		}
	}
	w.outputs.err = &project.Error{Code: project.CodeUnavailable}
	w.want(w.do(w.projects, reading("log", "site", nil)), 503, project.CodeUnavailable, "")
}

func TestDownloadGivesALink(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Completed)
	a := w.do(w.projects, reading("download", "site", nil))
	const want = `{"url":"https://files/acme/uid-site/77","expires_at":"2026-03-01T12:05:00.000Z","size":12,"name":"site.zip"}`
	if a.status != 200 || a.raw != want || a.headers["location"] != "" {
		t.Errorf("got %d %s, want 200 %s", a.status, a.raw, want)
	}
	w.outputs.err = project.Refuse(project.CodeOutputMissing, nil)
	w.want(w.do(w.projects, reading("download", "site", nil)), 404, project.CodeOutputMissing, "")
}

func TestDownloadRefusesWhatIsNotCompleted(t *testing.T) {
	w := newWorld(t)
	for _, s := range []project.Status{project.Pending, project.Running, project.Failed} {
		w.insert(string(s), s)
		a := w.do(w.projects, reading("download", string(s), nil))
		w.want(a, 400, project.CodeNotCompleted, "Only completed projects can be downloaded. Current status: "+string(s))
		if a.body["status"] != string(s) {
			t.Errorf("got %s", a.raw)
		}
	}
}

func TestOutputsAreTheTenantsAlone(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Completed)
	for _, what := range []string{"log", "download"} {
		foreign := w.do(w.projects, reading(what, "site", nil, header("x-session-token", foreignToken)))
		w.want(foreign, 404, project.CodeProjectNotFound, "Project not found")
		if none := w.do(w.projects, reading(what, "none", nil, header("x-session-token", foreignToken))); none.raw != foreign.raw {
			t.Errorf("%s: another tenant's %s, none at all %s", what, foreign.raw, none.raw)
		}
		w.want(w.do(w.projects, reading(what, "../site", nil)), 400, project.CodeProjectIDInvalid, "")
		w.want(w.do(w.projects, reading(what, "site", nil, header("x-session-token", ""))), 401, project.CodeSessionMissing, "")
	}
	w.pass(project.SessionLife)
	for _, what := range []string{"log", "download"} {
		w.want(w.do(w.projects, reading(what, "site", nil)), 401, project.CodeSessionExpired, "")
	}
}
