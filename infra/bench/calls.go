package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"rekindle/internal/api"
	"rekindle/internal/project"
	"rekindle/internal/sweep"
	"rekindle/internal/token"
)

// world is the functions over a metered database, with an engine that does
// nothing and a clock that stands at noon.
type world struct {
	*database
	keys   *token.Keyring
	hasher *project.Hasher

	run, restart, status, worker, projects *api.Handler
}

// idleEngine launches and stops nothing: what the execution engine would take is
// not Rekindle's.
type idleEngine struct{}

func (idleEngine) Launch(context.Context, project.Ref) (string, error) {
	return "3f0b8f1c-5a0e-4c57-9d0e-6a3c2b9d7e10", nil
}
func (idleEngine) Lookup(context.Context, project.Ref) ([]string, error)   { return nil, nil }
func (idleEngine) Stop(context.Context, project.Ref, string, string) error { return nil }

const outputBase = "s3://rekindle-output-123456789012"

func openWorld(ctx context.Context, folder string) (*world, error) {
	d, err := openDatabase(ctx, folder, true)
	if err != nil {
		return nil, err
	}
	w := &world{database: d}
	if w.keys, err = token.NewKeyring(strings.Repeat("k", token.MinSecret)); err != nil {
		return nil, errors.Join(err, d.close())
	}
	if w.hasher, err = project.NewHasher(strings.Repeat("h", 32)); err != nil {
		return nil, errors.Join(err, d.close())
	}
	o := api.Options{Budget: time.Minute, Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)}
	w.run = api.NewRun(d.store, idleEngine{}, outputBase, o)
	w.restart = api.NewRestart(d.store, idleEngine{}, outputBase, o)
	w.status = api.NewStatus(d.store, project.DefaultTimeout, o)
	w.worker = api.NewWorker(d.store, api.WorkerConfig{Keys: w.keys, Timeout: project.DefaultTimeout, Heartbeat: 30 * time.Second}, o)
	w.projects = api.NewProjects(d.store, idleEngine{}, w.hasher, api.ProjectsConfig{Timeout: project.DefaultTimeout}, o)
	return w, nil
}

// tenant makes a tenant with a session that was used so long ago, and returns the
// session's token.
func (w *world) tenant(ctx context.Context, id string, subscription project.Subscription, idle time.Duration) (string, error) {
	if _, err := w.store.PutTenant(ctx, &project.Tenant{ID: id, Name: "A tenant of the bench", Slug: id, Email: id + "@example.com", Subscription: subscription}); err != nil {
		return "", err
	}
	session := project.NewSessionToken(id)
	_, err := w.store.PutSession(ctx, &project.Session{
		TokenHash: project.Hash(session), TenantID: id, ExpiresAt: noon.Add(project.SessionLife / 2), LastSeen: noon.Add(-idle),
	}, noon)
	return session, err
}

// shape is how much text a project has, and how much history.
type shape struct {
	description, objectives string
	attempts                int // that it had before the present one
	failure                 string
}

var (
	// small is an everyday project: a page of objectives, one failure.
	small = shape{strings.Repeat("A site for the bench. ", 5), strings.Repeat("An objective of some length.\n", 15), 0, "The command exited with code 3: no luck"}
	// large has all the text that a project may have, and ten attempts whose
	// errors are as long as errors are kept.
	large = shape{strings.Repeat("d", project.MaxDescription), strings.Repeat("o", project.MaxObjectives), project.MaxAttempts - 1, strings.Repeat("e", project.MaxError)}
)

// project makes one in a status, as the functions would have left it.
func (s shape) project(key project.Key, status project.Status, startedAt time.Time) *project.Project {
	p := &project.Project{
		Key: key, UID: project.NewToken(), Version: 3, Name: "Corporate site", Description: s.description, Objectives: s.objectives,
		CreatedAt: startedAt.Add(-time.Hour), WrittenBy: project.NewToken(), Status: status,
		ActivationCode: project.Hash("code of " + key.ProjectID), ActivationCodeHint: "2222", Attempts: map[int64]project.Attempt{},
	}
	if status == project.Pending {
		return p
	}
	id := int64(0)
	for n := 1; n <= s.attempts+1; n++ {
		at := startedAt.Add(time.Duration(n-s.attempts-1) * time.Hour)
		id = project.NextExecutionID(id, at)
		out := fmt.Sprintf("%s/%s/%s/%d/", outputBase, key.TenantID, p.UID, id)
		a := project.Attempt{
			ExecutionID: id, Number: n, StartedAt: at, ClaimedAt: at.Add(time.Minute), Output: out, Operation: project.Restart,
			RunnerID: project.NewToken(), JobID: "3f0b8f1c-5a0e-4c57-9d0e-6a3c2b9d7e10", StartedBy: project.NewToken(),
		}
		if n <= s.attempts || status != project.Running {
			a.CompletedAt, a.Outcome, a.Error, a.SettledBy = at.Add(30*time.Minute), project.OutcomeFailed, s.failure, project.NewToken()
		}
		p.Attempts[id] = a
		p.ExecutionID, p.Attempt, p.StartedAt, p.ClaimedAt, p.Output = id, n, at, a.ClaimedAt, out
		p.HeartbeatAt, p.Progress = at.Add(20*time.Minute), project.Progress{Percent: 40, Message: "Generating pages"}
		p.CompletedAt, p.Error = a.CompletedAt, a.Error
	}
	return p
}

func (w *world) insert(ctx context.Context, p *project.Project) error {
	inserted, err := w.store.PutProject(ctx, p)
	if err == nil && !inserted {
		err = fmt.Errorf("project %s was there already", p.ProjectID)
	}
	return err
}

// call is a request that is ready to be made.
type call struct {
	handler *api.Handler
	event   events.APIGatewayV2HTTPRequest
	// only is whose use counts, as the meter names it ("UpdateItem
	// SessionsTable"); empty is all of it.
	only string
}

const (
	projectRoute = "/api/tenant/projects/{project_id}"
	workerRoute  = "/api/worker/executions/{execution_id}"
)

// tenants are calls about a project; verb is empty for the list of them.
func tenants(h *api.Handler, method, verb, projectID, session string) call {
	c := call{handler: h}
	c.event = events.APIGatewayV2HTTPRequest{Version: "2.0", RouteKey: method + " " + path.Join(projectRoute, verb), Headers: map[string]string{"x-session-token": session}}
	if projectID == "" {
		c.event.RouteKey = method + " " + path.Dir(projectRoute)
		return c
	}
	c.event.PathParameters = map[string]string{"project_id": projectID}
	return c
}

// runners are calls of a runner.
func (w *world) runners(verb string, purpose token.Purpose, p *project.Project, body any) (call, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return call{}, err
	}
	ref := p.Ref()
	runner := ""
	if purpose == token.Report {
		runner = p.Attempts[p.ExecutionID].RunnerID
	}
	c := call{handler: w.worker}
	c.event = events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "POST " + path.Join(workerRoute, verb), Body: string(text),
		Headers:        map[string]string{"authorization": "Bearer " + w.keys.Mint(purpose, ref, runner), "content-type": "application/json"},
		PathParameters: map[string]string{"execution_id": fmt.Sprint(p.ExecutionID)},
	}
	return c, nil
}

// costed is a request whose cost is measured. Prepare makes a tenant and a
// project for it, named by id, and the request.
type costed struct {
	name    string
	prepare func(ctx context.Context, w *world, id string) (call, error)
}

// asTenant prepares a call about a new project in some status, by a new tenant.
func asTenant(subscription project.Subscription, s shape, status project.Status, method, verb string) func(context.Context, *world, string) (call, error) {
	return func(ctx context.Context, w *world, id string) (call, error) {
		session, err := w.tenant(ctx, "tenant-"+id, subscription, 0)
		if err != nil {
			return call{}, err
		}
		p := s.project(project.Key{TenantID: "tenant-" + id, ProjectID: "project-" + id}, status, noon.Add(-time.Hour))
		handler := map[string]*api.Handler{"run": w.run, "restart": w.restart, "status": w.status, "cancel": w.projects}[verb]
		return tenants(handler, method, verb, p.ProjectID, session), w.insert(ctx, p)
	}
}

// again prepares the restart of a trialing tenant whose slot was taken before: by
// the same project, or by another one.
func again(other bool) func(context.Context, *world, string) (call, error) {
	return func(ctx context.Context, w *world, id string) (call, error) {
		restart, err := asTenant(project.Trialing, small, project.Failed, http.MethodPost, "restart")(ctx, w, id)
		if err != nil {
			return call{}, err
		}
		key := project.Key{TenantID: "tenant-" + id, ProjectID: "project-" + id}
		before := restart
		if other {
			key.ProjectID = "another-" + id
			if err := w.insert(ctx, small.project(key, project.Failed, noon.Add(-time.Hour))); err != nil {
				return call{}, err
			}
			session := restart.event.Headers["x-session-token"]
			before = tenants(w.restart, http.MethodPost, "restart", key.ProjectID, session)
		}
		if err := before.make(ctx); err != nil {
			return call{}, err
		}
		p, err := w.store.Get(ctx, key)
		if err != nil {
			return call{}, err
		}
		_, err = w.store.Settle(ctx, project.Settlement{Ref: p.Ref(), Event: project.Fail, Error: small.failure, At: noon, Token: project.NewToken()})
		return restart, err
	}
}

// asRunner prepares a call about a project that runs.
func asRunner(s shape, verb string, purpose token.Purpose, body any) func(context.Context, *world, string) (call, error) {
	return func(ctx context.Context, w *world, id string) (call, error) {
		p := s.project(project.Key{TenantID: "tenant-" + id, ProjectID: "project-" + id}, project.Running, noon.Add(-time.Hour))
		if purpose == token.Execution { // not claimed yet
			a := p.Attempts[p.ExecutionID]
			a.RunnerID, a.JobID, a.ClaimedAt = "", "", time.Time{}
			p.Attempts[p.ExecutionID], p.ClaimedAt, p.HeartbeatAt, p.Progress = a, time.Time{}, time.Time{}, project.Progress{}
		}
		if err := w.insert(ctx, p); err != nil {
			return call{}, err
		}
		return w.runners(verb, purpose, p, body)
	}
}

// extended prepares the extension of an execution whose limit is near.
func extended(ctx context.Context, w *world, id string) (call, error) {
	session, err := w.tenant(ctx, "tenant-"+id, project.Active, 0)
	if err != nil {
		return call{}, err
	}
	p := small.project(project.Key{TenantID: "tenant-" + id, ProjectID: "project-" + id}, project.Running, noon.Add(time.Hour-project.DefaultTimeout))
	c := tenants(w.projects, http.MethodPost, "extend", p.ProjectID, session)
	c.event.Headers["content-type"], c.event.Body = "application/json", `{"hours":2}`
	return c, w.insert(ctx, p)
}

// listed prepares the list of a tenant's twenty projects.
func listed(s shape) func(context.Context, *world, string) (call, error) {
	return func(ctx context.Context, w *world, id string) (call, error) {
		session, err := w.tenant(ctx, "tenant-"+id, project.Active, 0)
		for n := 0; n < 20 && err == nil; n++ {
			key := project.Key{TenantID: "tenant-" + id, ProjectID: fmt.Sprintf("project-%02d", n)}
			err = w.insert(ctx, s.project(key, project.Failed, noon.Add(-time.Duration(n+1)*time.Hour)))
		}
		return tenants(w.projects, http.MethodGet, "", "", session), err
	}
}

// touched prepares a status by a session that was not used for six minutes, of
// which the recording of its use alone counts.
func touched(ctx context.Context, w *world, id string) (call, error) {
	c, err := asTenant(project.Active, small, project.Failed, http.MethodGet, "status")(ctx, w, id)
	if err != nil {
		return call{}, err
	}
	session := project.NewSessionToken("tenant-" + id)
	_, err = w.store.PutSession(ctx, &project.Session{
		TokenHash: project.Hash(session), TenantID: "tenant-" + id, ExpiresAt: noon.Add(project.SessionLife / 2), LastSeen: noon.Add(-6 * time.Minute),
	}, noon)
	c.event.Headers["x-session-token"] = session
	c.only = "UpdateItem " + sessionsTable
	return c, err
}

var (
	beat   = project.Heartbeat{Progress: &project.Progress{Percent: 50, Message: "Generating page 120 of 240"}}
	claim  = project.Claim{RunnerID: project.NewToken(), JobID: "3f0b8f1c-5a0e-4c57-9d0e-6a3c2b9d7e10"}
	result = project.Result{Outcome: project.OutcomeCompleted}
)

var costs = []costed{
	{"status", asTenant(project.Active, small, project.Failed, http.MethodGet, "status")},
	{"status/large", asTenant(project.Active, large, project.Failed, http.MethodGet, "status")},
	{"session-touch", touched},
	{"run", asTenant(project.Active, small, project.Pending, http.MethodPost, "run")},
	{"run/trial", asTenant(project.Trialing, small, project.Pending, http.MethodPost, "run")},
	{"restart", asTenant(project.Active, small, project.Failed, http.MethodPost, "restart")},
	{"restart/large", asTenant(project.Active, large, project.Failed, http.MethodPost, "restart")},
	{"restart/trial/own-slot", again(false)},
	{"restart/trial/other-slot", again(true)},
	{"cancel", asTenant(project.Active, small, project.Running, http.MethodPost, "cancel")},
	{"extend", extended},
	{"claim", asRunner(small, "claim", token.Execution, claim)},
	{"heartbeat", asRunner(small, "heartbeat", token.Report, beat)},
	{"heartbeat/large", asRunner(large, "heartbeat", token.Report, beat)},
	{"result", asRunner(small, "result", token.Report, result)},
	{"result/large", asRunner(large, "result", token.Report, result)},
	{"list-20", listed(small)},
	{"list-20/large", listed(large)},
}

// make makes the call; any answer but 200 is an error.
func (c call) make(ctx context.Context) error {
	payload, err := json.Marshal(c.event)
	if err != nil {
		return err
	}
	text, err := c.handler.Invoke(ctx, payload)
	if err != nil {
		return err
	}
	var out events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(text, &out); err != nil {
		return fmt.Errorf("an answer that is none of a function: %w", err)
	}
	if out.StatusCode != http.StatusOK {
		return fmt.Errorf("%s was answered with %d %.300s", c.event.RouteKey, out.StatusCode, out.Body)
	}
	return nil
}

// runCalls measures what requests cost in calls and capacity of the database.
func runCalls(ctx context.Context, e *env) (rows []row, err error) {
	w, err := openWorld(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	n := 20
	if e.quick {
		n = 3
	}
	for i, c := range costs {
		var sum usage
		for j := range n {
			ready, err := c.prepare(ctx, w, fmt.Sprintf("%02d-%02d", i, j))
			if err != nil {
				return rows, fmt.Errorf("%s: preparing it: %w", c.name, err)
			}
			w.meter.reset()
			if err := ready.make(ctx); err != nil {
				return rows, fmt.Errorf("%s: %w", c.name, err)
			}
			used := w.meter.reset()
			if ready.only == "" {
				sum = sum.plus(total(used))
				continue
			}
			if used[ready.only].Calls != 1 {
				return rows, fmt.Errorf("%s: got %v, want one %s", c.name, used, ready.only)
			}
			sum = sum.plus(used[ready.only])
		}
		rows = append(rows, e.cost(c.name, n, sum.each(n)))
	}
	swept, err := w.sweepCosts(ctx, e, 5*n)
	e.note("Units by DynamoDB's documented rules, from the items read and written, with the template's two indexes. wcu is wcu-table and wcu-index together; item is the largest item met. A large project has all the text and history that one may have. session-touch comes on top of another call, at most once in five minutes.")
	return append(rows, swept...), err
}

// cost makes a row, and notes where the local database counts otherwise.
func (e *env) cost(name string, n int, u usage) row {
	if said := u.difference(); said != "" {
		e.note("%s: the local database says %s, the rules say %s and %s in the table.", name, said, thousands(u.Read), thousands(u.Table))
	}
	return row{Name: name, N: n, Metrics: u.metrics()}
}

// sweepCosts measures a sweep that finds nothing, and what each project costs
// that one fails.
func (w *world) sweepCosts(ctx context.Context, e *env, stuck int) ([]row, error) {
	s := sweep.New(w.store, idleEngine{}, sweep.Config{Timeout: project.DefaultTimeout}, func() time.Time { return noon.Add(time.Minute) }, slog.New(slog.DiscardHandler))
	w.meter.reset()
	if r := s.Sweep(ctx, false); !r.Complete || r.Failed != 0 {
		return nil, fmt.Errorf("a sweep of nothing: %+v", r)
	}
	idle := total(w.meter.reset())
	for n := range stuck {
		key := project.Key{TenantID: fmt.Sprintf("stuck-%d", n%10), ProjectID: fmt.Sprintf("project-%04d", n)}
		if err := w.insert(ctx, small.project(key, project.Running, noon.Add(-25*time.Hour))); err != nil {
			return nil, err
		}
	}
	w.meter.reset()
	if r := s.Sweep(ctx, false); !r.Complete || r.Failed != stuck || len(r.Skipped) != 0 {
		return nil, fmt.Errorf("a sweep of %d: %+v", stuck, r)
	}
	used := w.meter.reset()
	write := used["UpdateItem "+projectsTable]
	if write.Calls != float64(stuck) {
		return nil, fmt.Errorf("a sweep of %d made %v writes", stuck, write.Calls)
	}
	return []row{e.cost("sweep/nothing-stuck", 1, idle), e.cost("sweep/write", stuck, write.each(stuck))}, nil
}
