package model_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"rekindle/internal/api"
	"rekindle/internal/dynamo"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
	"rekindle/internal/secretwatch"
	"rekindle/internal/settle"
	"rekindle/internal/sweep"
	"rekindle/internal/token"
)

const silence = 10 * time.Minute

// servers are what every check shares: the tables are slow to make.
type servers struct {
	db    *dynamotest.DB
	eyes  *dynamodb.Client // sees the database as it is, past the wire
	sure  *dynamo.Store    // writes what no fault may touch
	ring  *token.Keyring
	count int
}

func open(t *testing.T) *servers {
	t.Helper()
	env := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		dynamo.EndpointSetting: dynamotest.Endpoint(t),
	}
	eyes, err := dynamo.ClientFromEnv(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	ring, err := token.NewKeyring(strings.Repeat("k", token.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	db := dynamotest.Open(t)
	return &servers{db: db, eyes: eyes, sure: dynamo.New(eyes, db.Tables), ring: ring}
}

// runner is a runner's process that was granted a claim, and what it has said.
type runner struct {
	id, jobID, bearer string
	ref               project.Ref
	sent              []project.Outcome // the results that it has sent
	acknowledged      project.Outcome   // the result that was answered with 200
}

// record is what one plan did.
type record struct {
	changes []change
	crossed bool // another plan was carried out in its midst
	faulted bool
	dead    bool // its process died
}

func (r *record) of(what string, key project.Key) []change {
	var out []change
	for _, c := range r.changes {
		if c.what == what && c.ref.Key == key {
			out = append(out, c)
		}
	}
	return out
}

// world is the functions over the store, for two tenants of one check.
type world struct {
	*servers
	trialing, active string
	keys             []project.Key
	session          map[string]string
	sessions, uids   int
	engine           *engine
	runners          []*runner
	run, restart     *api.Handler
	projects, worker *api.Handler
	settler          *settle.Settler
	sweeper          map[bool]*sweep.Sweeper

	mu       sync.Mutex
	now      time.Time
	fault    *armed
	current  *record
	struck   bool // the last plan's fault met its call
	sweeping bool // a sweep is under way
	seen     map[project.Key]item
	starts   map[project.Ref]item
	notes    sync.Mutex
	happened []string // for whoever reads a failure
	wrote    []string // and these to be counted
	answered []string
	faults   []string
}

func (s *servers) world() *world {
	s.count++
	n := strconv.Itoa(s.count)
	w := &world{
		servers: s, trialing: "trial" + n, active: "active" + n, session: map[string]string{},
		engine: &engine{asked: map[project.Ref]int{}}, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		current: &record{}, seen: map[project.Key]item{}, starts: map[project.Ref]item{},
	}
	w.engine.call = func(operation string) error {
		_, err := w.intercept(operation, nil)
		return err
	}
	log := secretwatch.New(slog.NewTextHandler(io.Discard, nil))
	o := api.Options{Now: w.clock, Log: log}
	hasher, err := project.NewHasher(strings.Repeat("h", 32))
	if err != nil {
		panic(err)
	}
	w.run, w.restart = api.NewRun(s.db, w.engine, "/out", o), api.NewRestart(s.db, w.engine, "/out", o)
	w.projects = api.NewProjects(s.db, w.engine, hasher, api.ProjectsConfig{Timeout: project.DefaultTimeout}, o)
	w.worker = api.NewWorker(s.db, api.WorkerConfig{Keys: s.ring, Timeout: project.DefaultTimeout, Heartbeat: 30 * time.Second}, o)
	w.settler = settle.New(s.db, w.engine, w.clock, log)
	w.sweeper = map[bool]*sweep.Sweeper{
		false: sweep.New(s.db, w.engine, sweep.Config{Timeout: project.DefaultTimeout}, w.clock, log),
		true:  sweep.New(s.db, w.engine, sweep.Config{Timeout: project.DefaultTimeout, Heartbeat: silence}, w.clock, log),
	}
	for tenant, state := range map[string]project.Subscription{w.trialing: project.Trialing, w.active: project.Active} {
		if ok, err := s.sure.PutTenant(context.Background(), &project.Tenant{ID: tenant, Name: tenant, Slug: tenant, Subscription: state}); err != nil || !ok {
			w.wrong("putting a tenant: %t, %v", ok, err)
		}
	}
	w.signIn()
	for _, key := range []project.Key{
		{TenantID: w.trialing, ProjectID: "t-one"}, {TenantID: w.trialing, ProjectID: "t-two"}, {TenantID: w.trialing, ProjectID: "t-three"},
		{TenantID: w.active, ProjectID: "a-one"}, {TenantID: w.active, ProjectID: "a-two"},
	} {
		w.keys = append(w.keys, key)
		w.create(key)
	}
	s.db.Wire.Set(func(operation string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
		return w.intercept(operation, next)
	})
	return w
}

// close leaves the tables to the next check as they were.
func (w *world) close() {
	w.db.Wire.Set(nil)
	for _, key := range w.keys {
		if _, err := w.sure.Get(context.Background(), key); err == nil {
			_, _ = w.eyes.DeleteItem(context.Background(), &dynamodb.DeleteItemInput{TableName: &w.db.Tables.Projects, Key: itemKey(key)})
		}
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// signIn gives both tenants new sessions.
func (w *world) signIn() {
	for _, tenant := range []string{w.trialing, w.active} {
		w.sessions++
		tok := tenant + ".s" + strconv.Itoa(w.sessions)
		s := &project.Session{TokenHash: project.Hash(tok), TenantID: tenant, ExpiresAt: w.now.Add(project.SessionLife), LastSeen: w.now}
		if ok, err := w.sure.PutSession(context.Background(), s, w.now); err != nil || !ok {
			w.wrong("putting a session: %t, %v", ok, err)
		}
		w.session[tenant] = tok
	}
}

// create makes a project that is not there, and could be run.
func (w *world) create(key project.Key) {
	w.uids++
	p := &project.Project{
		Key: key, UID: fmt.Sprintf("uid-%s-%d", key.ProjectID, w.uids), Version: 1, Name: "N", Description: "D", Objectives: "O",
		ActivationCode: "hash", Status: project.Pending, CreatedAt: w.now,
	}
	if _, err := w.sure.PutProject(context.Background(), p); err != nil {
		w.wrong("putting a project: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observe()
}

// wrong notes that something is not as it must be. The handlers would recover
// a panic, so a check ends only between its steps.
func (w *world) wrong(format string, args ...any) {
	w.notes.Lock()
	defer w.notes.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// note adds to what a failure shows.
func (w *world) note(s string) {
	w.notes.Lock()
	defer w.notes.Unlock()
	w.happened = append(w.happened, s)
}

// sight returns the projects as they were last observed. The map is not changed
// any more.
func (w *world) sight() map[project.Key]item {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// Kinds of faults.
const (
	none       = iota
	loseReply  // the n-th call is applied, and its answer is lost
	loseAll    // so are those of its retries
	throttle   // the n-th call is refused
	throttled  // so are its retries
	die        // nothing gets through from the n-th call on
	crossFirst // another plan is carried out before the n-th call
	crossAfter // another plan is carried out after it
	faultKinds
)

var faultNames = [faultKinds]string{"", "reply lost", "replies lost", "throttled once", "throttled", "process died", "crossed before", "crossed after"}

// armed is a fault that waits for its call.
type armed struct {
	kind   int
	n      int // the call: reads and the engine's count too
	inner  []plan
	op     string // the operation that it has struck
	struck bool
}

var errDead = errors.New("the process is dead")

const throttling = `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"Rate exceeded"}`

// intercept is on the way of each call to the database, and to the engine
// (which has no next).
func (w *world) intercept(operation string, next func() (*http.Response, error)) (*http.Response, error) {
	w.mu.Lock()
	f, engines := w.fault, next == nil
	strikes := false
	if f != nil {
		switch {
		case f.struck:
			strikes = f.kind == die || (f.kind == loseAll || f.kind == throttled) && operation == f.op
		case engines && f.kind != die && f.kind != crossFirst:
		case f.n <= 1:
			f.struck, f.op, strikes = true, operation, true
		default:
			f.n--
		}
		if strikes {
			w.current.faulted = true
			if f.kind == die {
				w.current.dead = true
			}
		}
	}
	w.mu.Unlock()
	if strikes {
		switch f.kind {
		case die:
			return nil, errDead
		case throttle, throttled:
			return dynamotest.Answer(http.StatusBadRequest, throttling), nil
		case crossFirst:
			w.cross(f.inner)
		}
	}
	if engines {
		return nil, nil
	}
	resp, err := w.pass(operation, next)
	if strikes && err == nil {
		switch f.kind {
		case loseReply, loseAll:
			return dynamotest.Drop(resp)
		case crossAfter:
			w.cross(f.inner)
		}
	}
	return resp, err
}

// pass lets a call through, and looks at what it has written.
func (w *world) pass(operation string, next func() (*http.Response, error)) (*http.Response, error) {
	switch operation {
	case "UpdateItem", "PutItem", "DeleteItem":
	default:
		return next()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	resp, err := next()
	w.observe()
	return resp, err
}

// cross carries out plans in the midst of another.
func (w *world) cross(inner []plan) {
	mode, numbed := w.engine.behave(accepts, false)
	w.mu.Lock()
	outer, fault := w.current, w.fault
	outer.crossed = true
	w.mu.Unlock()
	for _, p := range inner {
		w.do(p)
	}
	w.engine.behave(mode, numbed)
	w.mu.Lock()
	w.current, w.fault = outer, fault
	w.mu.Unlock()
}

// answer is what a function answered.
type answer struct {
	status int
	body   map[string]any
}

func (a answer) text(name string) string { s, _ := a.body[name].(string); return s }

func (a answer) number(name string) int64 { n, _ := a.body[name].(float64); return int64(n) }

func (w *world) call(h *api.Handler, route string, params, headers map[string]string, body string) answer {
	event := events.APIGatewayV2HTTPRequest{Version: "2.0", RouteKey: route, Headers: headers, PathParameters: params, Body: body}
	event.RequestContext.RequestID = "r"
	payload, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	out, err := h.Invoke(context.Background(), payload)
	if err != nil {
		w.wrong("%s: the function failed: %v", route, err)
		return answer{}
	}
	var resp events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out, &resp); err != nil {
		panic(err)
	}
	a := answer{status: resp.StatusCode}
	if resp.Body != "" {
		if err := json.Unmarshal([]byte(resp.Body), &a.body); err != nil {
			panic(err)
		}
	}
	return a
}

func (w *world) tenantCall(h *api.Handler, method, verb string, key project.Key, body string, headers map[string]string) answer {
	all := map[string]string{"x-session-token": w.session[key.TenantID]}
	for k, v := range headers {
		all[k] = v
	}
	return w.call(h, method+" /api/tenant/projects/{project_id}"+verb, map[string]string{"project_id": key.ProjectID}, all, body)
}

func (w *world) workerCall(verb string, ref project.Ref, bearer string, body any) answer {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return w.call(w.worker, "POST /api/worker/executions/{execution_id}/"+verb,
		map[string]string{"execution_id": strconv.FormatInt(ref.ExecutionID, 10)}, map[string]string{"authorization": "Bearer " + bearer}, string(b))
}
