package api_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"rekindle/internal/api"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/output"
	"rekindle/internal/output/s3test"
	"rekindle/internal/project"
	"rekindle/internal/secretwatch"
	"rekindle/internal/telemetry"
	"rekindle/internal/token"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// outputLimit is how many bytes an output may have: two parts and one byte.
const outputLimit = 2*project.PartBytes + 1

const (
	sessionToken = "acme.secret"
	foreignToken = "rival.secret"
)

// world is the four HTTP functions over a real store, with a clock that only
// the test moves and an engine that only remembers.
type world struct {
	t      *testing.T
	db     *dynamotest.DB
	engine *engine
	keys   *token.Keyring
	logs   *strings.Builder

	mu  sync.Mutex
	now time.Time

	run, restart, status, worker *api.Handler
	bucket                       *s3test.Bucket // that the worker has outputs in

	projects *api.Handler
	hasher   *project.Hasher
	outputs  *outputs
}

func newWorld(t *testing.T) *world {
	t.Helper()
	keys, err := token.NewKeyring(strings.Repeat("k", token.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: dynamotest.Open(t), engine: &engine{alive: map[int64][]string{}}, keys: keys, logs: &strings.Builder{}, now: noon}
	o := api.Options{Budget: 10 * time.Minute, Now: w.clock, Log: secretwatch.New(telemetry.NewHandler(slog.NewJSONHandler(&lockedWriter{w: w.logs}, nil), "Rekindle/test"))}
	w.run = api.NewRun(w.db, w.engine, "/out", o)
	w.restart = api.NewRestart(w.db, w.engine, "/out", o)
	w.status = api.NewStatus(w.db, project.DefaultTimeout, o)
	w.bucket = s3test.New(t, "outputs", w.clock)
	w.bucket.Unlisted = true
	uploads, err := output.NewS3(w.bucket.Env, "s3://outputs/kept", w.clock)
	if err != nil {
		t.Fatal(err)
	}
	w.worker = api.NewWorker(w.db, api.WorkerConfig{
		Keys: keys, Timeout: project.DefaultTimeout, Heartbeat: 30 * time.Second, Uploads: uploads, Limit: outputLimit,
	}, o)
	if w.hasher, err = project.NewHasher(strings.Repeat("h", 32)); err != nil {
		t.Fatal(err)
	}
	w.outputs = &outputs{}
	w.projects = api.NewProjects(w.db, w.engine, w.hasher, api.ProjectsConfig{Timeout: project.DefaultTimeout, Outputs: w.outputs}, o)
	w.tenant("acme", project.Active)
	w.tenant("rival", project.Active)
	w.session(sessionToken, noon.Add(project.SessionLife), noon)
	w.session(foreignToken, noon.Add(project.SessionLife), noon)
	return w
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) tenant(id string, s project.Subscription) {
	w.t.Helper()
	if _, err := w.db.PutTenant(w.t.Context(), &project.Tenant{ID: id, Name: id, Slug: id, Subscription: s}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) session(tok string, expires, seen time.Time) {
	w.t.Helper()
	tenant, _ := project.SplitSessionToken(tok)
	s := &project.Session{TokenHash: project.Hash(tok), TenantID: tenant, ExpiresAt: expires, LastSeen: seen}
	if ok, err := w.db.PutSession(w.t.Context(), s, noon); err != nil || !ok {
		w.t.Fatalf("session: %t, %v", ok, err)
	}
}

func key(id string) project.Key { return project.Key{TenantID: "acme", ProjectID: id} }

// insert puts a project of tenant acme in a status, complete for running.
func (w *world) insert(id string, status project.Status, change ...func(*project.Project)) *project.Project {
	w.t.Helper()
	p := &project.Project{
		Key: key(id), UID: "uid-" + id, Version: 3, Name: "Name", Description: "Description", Objectives: "Home\nAbout",
		ActivationCode: "hash", CreatedAt: noon.Add(-time.Hour), Status: status,
	}
	if status != project.Pending {
		p.ExecutionID, p.Attempt, p.StartedAt, p.Output = 77, 1, noon.Add(-30*time.Minute), "/out/acme/uid-"+id+"/77/"
		a := project.Attempt{ExecutionID: 77, Number: 1, StartedAt: p.StartedAt, Output: p.Output, Operation: project.Run, StartedBy: "seed"}
		switch status {
		case project.Failed:
			p.Error, p.CompletedAt = "it broke", noon.Add(-time.Minute)
			a.Outcome, a.Error, a.CompletedAt = project.OutcomeFailed, p.Error, p.CompletedAt
			p.Outcome = a.Outcome
		case project.Completed:
			p.CompletedAt, p.Progress = noon.Add(-time.Minute), project.Progress{Percent: 100}
			a.Outcome, a.CompletedAt = project.OutcomeCompleted, p.CompletedAt
			p.Outcome = a.Outcome
		}
		p.Attempts = map[int64]project.Attempt{77: a}
	}
	for _, f := range change {
		f(p)
	}
	return w.db.Insert(w.t, p)
}

// engine is the execution engine: it remembers what it was asked.
type engine struct {
	mu       sync.Mutex
	launched []project.Ref
	alive    map[int64][]string
	refuse   error
	onLaunch func(project.Ref)
	stopped  []stop
	stopErr  error
}

// stop is one request to stop an execution's work.
type stop struct {
	ref           project.Ref
	jobID, reason string
}

func (e *engine) Stop(_ context.Context, ref project.Ref, jobID, reason string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = append(e.stopped, stop{ref, jobID, reason})
	return e.stopErr
}

// outputs remembers whose output it was told to remove.
type outputs struct {
	mu      sync.Mutex
	removed []string // tenant/uid
	err     error
	text    string // that a log has; empty: what was asked for
}

func (o *outputs) Remove(_ context.Context, tenantID, projectUID string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.removed = append(o.removed, tenantID+"/"+projectUID)
	return o.err
}

func (e *engine) Launch(_ context.Context, ref project.Ref) (string, error) {
	e.mu.Lock()
	e.launched = append(e.launched, ref)
	job := "job-" + strconv.Itoa(len(e.launched))
	hook, refuse := e.onLaunch, e.refuse
	if refuse == nil {
		e.alive[ref.ExecutionID] = append(e.alive[ref.ExecutionID], job)
	}
	e.mu.Unlock()
	if hook != nil {
		hook(ref)
	}
	if refuse != nil {
		return "", refuse
	}
	return job, nil
}

func (e *engine) Lookup(_ context.Context, ref project.Ref) ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.alive[ref.ExecutionID], nil
}

func (e *engine) launches() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.launched)
}

// call is one request, as API Gateway hands it to a function.
type call struct {
	route   string // "POST /api/tenant/projects/{project_id}/run"
	params  map[string]string
	query   map[string]string
	headers map[string]string
	body    string
	base64  bool
}

// answer is what came back.
type answer struct {
	status  int
	headers map[string]string
	body    map[string]any
	raw     string
}

func (a answer) code() string   { s, _ := a.body["code"].(string); return s }
func (a answer) detail() string { s, _ := a.body["detail"].(string); return s }
func (a answer) number(name string) int64 {
	n, _ := a.body[name].(json.Number)
	i, _ := n.Int64()
	return i
}

func (w *world) do(h *api.Handler, c call) answer {
	w.t.Helper()
	return invoke(w.t, w.t.Context(), h, c)
}

func invoke(t *testing.T, ctx context.Context, h *api.Handler, c call) answer {
	t.Helper()
	event := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: c.route, Headers: c.headers, PathParameters: c.params, QueryStringParameters: c.query, Body: c.body, IsBase64Encoded: c.base64,
	}
	event.RequestContext.RequestID = "req-1"
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.Invoke(ctx, payload)
	if err != nil {
		t.Fatalf("the function failed: %v", err)
	}
	var resp events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out, &resp); err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, headers: resp.Headers, raw: resp.Body}
	d := json.NewDecoder(strings.NewReader(resp.Body))
	d.UseNumber()
	if err := d.Decode(&a.body); err != nil && (resp.StatusCode != 204 || resp.Body != "") {
		t.Fatalf("the answer is no JSON object: %v\n%s", err, resp.Body)
	}
	for name := range resp.Headers {
		if strings.HasPrefix(strings.ToLower(name), "access-control-") {
			t.Errorf("the function set %s: CORS is API Gateway's", name)
		}
	}
	describes(t, c.route, a)
	return a
}

const tenantPath = "/api/tenant/projects/{project_id}/"

// action is a tenant's call on one of acme's projects.
func action(verb, id string, more ...func(*call)) call {
	method := "POST "
	if verb == "status" {
		method = "GET "
	}
	c := call{route: method + tenantPath + verb, params: map[string]string{"project_id": id}, headers: map[string]string{"x-session-token": sessionToken}}
	for _, f := range more {
		f(&c)
	}
	return c
}

func header(name, value string) func(*call) {
	return func(c *call) {
		h := map[string]string{name: value}
		for k, v := range c.headers {
			if !strings.EqualFold(k, name) {
				h[k] = v
			}
		}
		c.headers = h
	}
}

func body(s string) func(*call) { return func(c *call) { c.body = s } }

// handler returns the function behind a verb.
func (w *world) handler(verb string) *api.Handler {
	switch verb {
	case "run":
		return w.run
	case "restart":
		return w.restart
	default:
		return w.status
	}
}

func (w *world) want(a answer, status int, code project.Code, detail string) {
	w.t.Helper()
	if a.status != status || a.code() != string(code) || (detail != "" && a.detail() != detail) {
		w.t.Errorf("got %d %s %q, want %d %s %q", a.status, a.code(), a.detail(), status, code, detail)
	}
}

// report makes a runner's call.
func (w *world) report(verb string, ref project.Ref, bearer, body string) answer {
	w.t.Helper()
	return w.do(w.worker, call{
		route:   "POST /api/worker/executions/{execution_id}/" + verb,
		params:  map[string]string{"execution_id": strconv.FormatInt(ref.ExecutionID, 10)},
		headers: map[string]string{"authorization": "Bearer " + bearer}, body: body,
	})
}
