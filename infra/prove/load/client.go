package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"rekindle/infra/prove/rig"
	"rekindle/internal/project"
	"rekindle/internal/token"
)

// load is what all clients share.
type load struct {
	api      *rig.Client
	keys     *token.Keyring // the stack's own, by which execution tokens are made
	journal  *journal
	measures *measures
	tenants  []string
	seeded   int           // projects of each tenant
	starts   chan struct{} // leave to run or restart, so many a second

	began time.Time

	mu     sync.Mutex
	made   int            // how many projects were to be created
	recent []project.Key  // projects that were started lately
	pool   []project.Key  // projects that were created and not deleted
	wrong  map[string]int // violations, and how often
	order  []string       // in the order of their first time
	swept  int            // executions that the sweeps failed
}

// violation keeps what must not happen.
func (l *load) violation(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrong[text]++; l.wrong[text] == 1 {
		l.order = append(l.order, text)
	}
}

func sessionOf(tenant string) string { return tenant + ".load-session" }
func slug(n int) string              { return fmt.Sprintf("project-%02d", n) }

func projectPath(id string, what ...string) string {
	return path.Join(append([]string{"/api/tenant/projects", id}, what...)...)
}

// call makes a call of a kind, and keeps how it was answered. Answers that no
// caller deserves are violations.
func (l *load) call(ctx context.Context, kind string, c rig.Call, where project.Key) (rig.Answer, bool) {
	began := time.Now()
	answer, err := l.api.Do(ctx, c)
	took := time.Since(began)
	if err != nil {
		if ctx.Err() == nil {
			l.measures.add(kind, 0, took)
			l.violation("%s was not answered: %v", kind, err)
		}
		return answer, false
	}
	l.measures.add(kind, answer.Status, took)
	switch s := answer.Status; {
	case s >= 500:
		l.violation("%s was answered with %d %s", kind, s, answer.Code())
		return answer, false
	case s == http.StatusTooManyRequests, s == http.StatusUnauthorized:
		l.violation("%s was answered with %d %s", kind, s, answer.Code())
		return answer, false
	case s == http.StatusNotFound:
		deleting := false
		l.journal.at(where, func(e *entry) { deleting = e.deleting })
		if !deleting {
			l.violation("%s: %s/%s is not found, and nobody deleted it", kind, where.TenantID, where.ProjectID)
		}
	}
	return answer, true
}

// held is an execution that a client claimed, and plays the runner of.
type held struct {
	ref    project.Ref
	report string
	beats  int // heartbeats that are still to come
}

// client makes calls until the load is over, one after the other. Each that was
// begun is answered: the answer belongs in the journal.
func (l *load) client(during, ctx context.Context) {
	var mine []held
	for during.Err() == nil {
		// A client that has work in hand goes on with it in every third call.
		if len(mine) > 0 && rand.N(3) == 0 {
			mine = l.work(ctx, mine)
			continue
		}
		key := l.any()
		switch n := rand.N(100); {
		case n < 12:
			l.list(ctx, key)
		case n < 45:
			l.status(ctx, key)
		case n < 70:
			if again, ok := l.recently(); ok && n%2 == 0 {
				key = again // it may have failed meanwhile
			}
			if h, ok := l.start(ctx, key); ok {
				mine = append(mine, h)
			}
		case n < 80:
			l.cancel(ctx)
		case n < 86:
			l.create(ctx, key.TenantID)
		case n < 95:
			l.edit(ctx, key)
		default:
			l.delete(ctx)
		}
	}
}

// any returns some project.
func (l *load) any() project.Key {
	tenant := l.tenants[rand.N(len(l.tenants))]
	return project.Key{TenantID: tenant, ProjectID: slug(rand.N(l.seeded))}
}

// recently returns a project that was started lately, if there is one.
func (l *load) recently() (project.Key, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recent) == 0 {
		return project.Key{}, false
	}
	return l.recent[rand.N(len(l.recent))], true
}

func (l *load) list(ctx context.Context, key project.Key) {
	l.call(ctx, "list", rig.Call{
		Method: http.MethodGet, Path: "/api/tenant/projects" + []string{"", "?limit=100", "?status=failed", "?q=7"}[rand.N(4)], Session: sessionOf(key.TenantID),
	}, key)
}

func (l *load) status(ctx context.Context, key project.Key) (rig.Status, bool) {
	var s rig.Status
	answer, ok := l.call(ctx, "status", rig.Call{Method: http.MethodGet, Path: projectPath(key.ProjectID, "status"), Session: sessionOf(key.TenantID)}, key)
	if !ok || answer.Status != http.StatusOK {
		return s, false
	}
	if err := answer.Into(&s); err != nil {
		l.violation("status: %v", err)
		return s, false
	}
	return s, true
}

// start runs a project or restarts it, as it needs. Half of those who start one
// race its real runner for the claim.
func (l *load) start(ctx context.Context, key project.Key) (held, bool) {
	s, ok := l.status(ctx, key)
	if !ok {
		return held{}, false
	}
	select {
	case <-l.starts:
	default:
		return held{}, false // enough for this second
	}
	operation := "run"
	if s.Attempt > 0 {
		operation = "restart"
	}
	answer, ok := l.call(ctx, operation, rig.Call{Method: http.MethodPost, Path: projectPath(key.ProjectID, operation), Session: sessionOf(key.TenantID)}, key)
	if !ok || answer.Status != http.StatusOK {
		return held{}, false
	}
	var began rig.Started
	if err := answer.Into(&began); err != nil {
		l.violation("%s: %v", operation, err)
		return held{}, false
	}
	l.journal.at(key, func(e *entry) {
		if e.starts[began.ExecutionID] {
			l.violation("%s/%s: execution %d was begun twice", key.TenantID, key.ProjectID, began.ExecutionID)
		}
		e.starts[began.ExecutionID] = true
	})
	l.mu.Lock()
	l.recent = append(l.recent, key)
	l.recent = l.recent[max(0, len(l.recent)-100):]
	l.mu.Unlock()
	if rand.N(2) == 0 {
		return held{}, false
	}
	// …/tenant/project_uid/execution_id/
	ref := project.Ref{Key: key, ProjectUID: path.Base(path.Dir(strings.TrimRight(began.Output, "/"))), ExecutionID: began.ExecutionID}
	return l.claim(ctx, ref)
}

func workerPath(ref project.Ref, what string) string {
	return fmt.Sprintf("/api/worker/executions/%d/%s", ref.ExecutionID, what)
}

// claim asks for an execution as its runner would. The real one may have been
// first.
func (l *load) claim(ctx context.Context, ref project.Ref) (held, bool) {
	answer, ok := l.call(ctx, "claim", rig.Call{
		Method: http.MethodPost, Path: workerPath(ref, "claim"), Bearer: l.keys.Mint(token.Execution, ref, ""),
		Body: project.Claim{RunnerID: project.NewToken(), JobID: "load"},
	}, ref.Key)
	if !ok || answer.Status != http.StatusOK {
		return held{}, false
	}
	var grant project.Grant
	if err := answer.Into(&grant); err != nil {
		l.violation("claim: %v", err)
		return held{}, false
	}
	return held{ref, grant.ReportToken, rand.N(8)}, true
}

// work goes on with one of the executions that a client plays the runner of.
func (l *load) work(ctx context.Context, mine []held) []held {
	i := rand.N(len(mine))
	h := &mine[i]
	if h.beats > 0 {
		h.beats--
		answer, ok := l.call(ctx, "heartbeat", rig.Call{
			Method: http.MethodPost, Path: workerPath(h.ref, "heartbeat"), Bearer: h.report,
			Body: project.Heartbeat{Progress: &project.Progress{Percent: 100 - 10*h.beats, Message: "Working"}},
		}, h.ref.Key)
		if !ok || answer.Status == http.StatusOK {
			return mine
		}
		// Its attempt is closed. A runner's result may come late all the same.
	}
	result := project.Result{Outcome: project.OutcomeFailed, ExitCode: 3, Error: "no luck"}
	if rand.N(4) == 0 {
		result = project.Result{Outcome: project.OutcomeCompleted}
	}
	answer, ok := l.call(ctx, "result", rig.Call{Method: http.MethodPost, Path: workerPath(h.ref, "result"), Bearer: h.report, Body: result}, h.ref.Key)
	if ok {
		l.journal.at(h.ref.Key, func(e *entry) {
			switch answer.Status {
			case http.StatusOK:
				e.results[h.ref.ExecutionID] = result.Outcome
			case http.StatusConflict:
				e.late[h.ref.ExecutionID] = result.Outcome
			}
		})
	}
	mine[i] = mine[len(mine)-1]
	return mine[:len(mine)-1]
}

// cancel cancels the attempt that one of the recent projects is running.
func (l *load) cancel(ctx context.Context) {
	key, ok := l.recently()
	if !ok {
		return
	}
	s, ok := l.status(ctx, key)
	if !ok || s.Status != string(project.Running) && rand.N(10) > 0 {
		return
	}
	answer, ok := l.call(ctx, "cancel", rig.Call{
		Method: http.MethodPost, Path: projectPath(key.ProjectID, "cancel"), Session: sessionOf(key.TenantID),
		Body: map[string]int{"expected_attempt": s.Attempt},
	}, key)
	if ok && answer.Status == http.StatusOK {
		l.journal.at(key, func(e *entry) { e.cancelled[s.Attempt] = true })
	}
}

func (l *load) create(ctx context.Context, tenant string) {
	l.mu.Lock()
	l.made++
	name := fmt.Sprintf("Load %d", l.made)
	l.mu.Unlock()
	answer, ok := l.call(ctx, "create", rig.Call{
		Method: http.MethodPost, Path: "/api/tenant/projects", Session: sessionOf(tenant),
		Body: map[string]string{"name": name, "description": "Made under load", "objectives": "fail"},
	}, project.Key{TenantID: tenant})
	if !ok || answer.Status != http.StatusCreated {
		return
	}
	var made rig.Status
	if err := answer.Into(&made); err != nil {
		l.violation("create: %v", err)
		return
	}
	key := project.Key{TenantID: tenant, ProjectID: made.ProjectID}
	l.journal.at(key, func(*entry) {})
	l.mu.Lock()
	l.pool = append(l.pool, key)
	l.mu.Unlock()
}

func (l *load) edit(ctx context.Context, key project.Key) {
	answer, ok := l.call(ctx, "get", rig.Call{Method: http.MethodGet, Path: projectPath(key.ProjectID), Session: sessionOf(key.TenantID)}, key)
	if !ok || answer.Status != http.StatusOK {
		return
	}
	var draft struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Objectives  string `json:"objectives"`
	}
	if err := answer.Into(&draft); err != nil {
		l.violation("get: %v", err)
		return
	}
	draft.Description = "Edited " + project.NewToken()
	l.call(ctx, "edit", rig.Call{
		Method: http.MethodPut, Path: projectPath(key.ProjectID), Session: sessionOf(key.TenantID), IfMatch: answer.ETag, Body: draft,
	}, key)
}

// delete deletes a project that was created under load, or now and then one that
// was there before.
func (l *load) delete(ctx context.Context) {
	var key project.Key
	l.mu.Lock()
	if n := len(l.pool); n > 0 {
		key, l.pool = l.pool[n-1], l.pool[:n-1]
	}
	l.mu.Unlock()
	if key.ProjectID == "" || rand.N(8) == 0 {
		key = l.any()
	}
	l.journal.at(key, func(e *entry) { e.deleting = true })
	answer, ok := l.call(ctx, "delete", rig.Call{Method: http.MethodDelete, Path: projectPath(key.ProjectID), Session: sessionOf(key.TenantID)}, key)
	if ok && answer.Status == http.StatusNoContent {
		l.journal.at(key, func(e *entry) { e.deleted = true })
	}
}
