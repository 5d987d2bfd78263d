package runner_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rekindle/internal/output"
	"rekindle/internal/project"
	"rekindle/internal/runner"
	"rekindle/internal/secretwatch"
	"rekindle/internal/token"
)

// guard is how long a test waits for what must come. It decides nothing but
// how soon a broken runner is noticed.
const guard = time.Minute

var (
	ref = project.Ref{
		Key:        project.Key{TenantID: "demo", ProjectID: "site"},
		ProjectUID: "uid-1", ExecutionID: 61_000_000_000_001,
	}
	noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
)

// What a fake API's hook wants done with a call; any other number is the
// status of a refusal.
const (
	serve = 0  // as the real API does
	lose  = -1 // apply it, and drop the connection instead of answering
)

// fakeAPI speaks the worker protocol and remembers what it was told.
type fakeAPI struct {
	t    *testing.T
	keys *token.Keyring
	url  string

	mu      sync.Mutex
	changed chan struct{} // closed and made anew after each call
	hooks   map[string]func(n int, body []byte) int
	grant   project.Grant
	claims  []project.Claim
	beats   []project.Heartbeat
	results []project.Result
	calls   map[string]int
	hang    <-chan struct{} // heartbeats wait for it

	uploads   *output.S3 // nil where nothing is uploaded
	partBytes int64
	limit     int64
}

func newFakeAPI(t *testing.T) *fakeAPI {
	keys, err := token.NewKeyring(strings.Repeat("k", token.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	api := &fakeAPI{
		t: t, keys: keys, changed: make(chan struct{}),
		hooks: map[string]func(int, []byte) int{}, calls: map[string]int{},
		grant: project.Grant{
			ExecutionID: ref.ExecutionID, Attempt: 1, TenantID: ref.TenantID, ProjectID: ref.ProjectID,
			Name: "Site", Description: "A site", Objectives: "Home", OutputFolder: t.TempDir(),
			TimesOutAt: noon.Add(24 * time.Hour), HeartbeatSeconds: 30,
		},
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	api.url = server.URL
	return api
}

// hook sets what becomes of the calls of a kind; n is 1 for the first.
func (a *fakeAPI) hook(call string, f func(n int, body []byte) int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hooks[call] = f
}

func (a *fakeAPI) setLimit(t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.grant.TimesOutAt = t
}

func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if a.hang != nil && strings.HasSuffix(r.URL.Path, "/heartbeat") {
		<-a.hang
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { close(a.changed); a.changed = make(chan struct{}) }()

	call, ok := strings.CutPrefix(r.URL.Path, "/stage/api/worker/executions/61000000000001/")
	bearer, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !isBearer || r.Method != http.MethodPost {
		a.t.Errorf("got %s %s, authorization %t; not a call of the protocol", r.Method, r.URL, isBearer)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	a.calls[call]++
	action := serve
	if hook := a.hooks[call]; hook != nil {
		action = hook(a.calls[call], body)
	}
	if action > 0 {
		w.WriteHeader(action)
		io.WriteString(w, `{"code":"refused","detail":"as the test wants it"}`)
		return
	}
	purpose := token.Report
	if call == "claim" {
		purpose = token.Execution
	}
	claims, err := a.keys.Verify(purpose, bearer)
	if err != nil || claims.Ref() != ref {
		a.t.Errorf("%s came with the token of %+v, %v", call, claims, err)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}

	var answer any
	switch call {
	case "claim":
		c := decode[project.Claim](a.t, body)
		a.claims = append(a.claims, c)
		grant := a.grant
		grant.ReportToken = a.keys.Mint(token.Report, ref, c.RunnerID)
		answer = grant
	case "heartbeat":
		beat := decode[project.Heartbeat](a.t, body)
		a.beats = append(a.beats, beat)
		pulse := project.Pulse{TimesOutAt: a.grant.TimesOutAt}
		if beat.Logs != nil {
			pulse.Logs, err = a.uploads.SignLogs(r.Context(), ref, *beat.Logs)
		}
		answer = pulse
	case "upload":
		var id string
		id, err = a.uploads.BeginUpload(r.Context(), ref)
		answer = project.Upload{UploadID: id, PartBytes: a.partBytes, LimitBytes: a.limit}
	case "upload/part":
		answer, err = a.uploads.SignPart(r.Context(), ref, decode[project.UploadPart](a.t, body))
	case "upload/complete":
		in := decode[project.UploadComplete](a.t, body)
		err = a.uploads.CompleteUpload(r.Context(), ref, in, a.limit)
		answer = project.Stored{Bytes: in.Bytes}
	case "result":
		result := decode[project.Result](a.t, body)
		a.results = append(a.results, result)
		answer = project.Receipt{Status: project.Failed}
	default:
		a.t.Errorf("got call %q", call)
	}
	if action == lose {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]any{"code": project.CodeOf(err), "detail": err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}

func decode[T any](t *testing.T, body []byte) (v T) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Errorf("decode %s: %v", body, err)
	}
	return v
}

// await waits until holds does; it is asked after each call, under the lock.
func (a *fakeAPI) await(what string, holds func() bool) {
	a.t.Helper()
	giveUp := time.After(guard)
	for {
		a.mu.Lock()
		ok, changed := holds(), a.changed
		a.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-giveUp:
			a.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// awaitMessage waits for a heartbeat with this progress message.
func (a *fakeAPI) awaitMessage(message string) {
	a.t.Helper()
	a.await("the progress "+message, func() bool { return a.said(message) })
}

func (a *fakeAPI) said(message string) bool {
	for _, b := range a.beats {
		if b.Progress != nil && b.Progress.Message == message {
			return true
		}
	}
	return false
}

// awaitBeats waits for n more heartbeats. After the second of them the answer
// to the first has been heeded.
func (a *fakeAPI) awaitBeats(n int) {
	a.t.Helper()
	a.mu.Lock()
	target := a.calls["heartbeat"] + n
	a.mu.Unlock()
	a.await("heartbeats", func() bool { return a.calls["heartbeat"] >= target })
}

// count returns how many calls of a kind came.
func (a *fakeAPI) count(call string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[call]
}

// fakeClock stands still until it is moved.
type fakeClock struct {
	mu      sync.Mutex
	now     time.Time
	waiting map[chan struct{}]time.Time
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: noon, waiting: map[chan struct{}]time.Time{}}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) At(t time.Time) (<-chan struct{}, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reached := make(chan struct{})
	if t.After(c.now) {
		c.waiting[reached] = t
	} else {
		close(reached)
	}
	return reached, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, reached)
	}
}

func (c *fakeClock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
	for reached, at := range c.waiting {
		if !at.After(t) {
			close(reached)
			delete(c.waiting, reached)
		}
	}
}

// fixture is a runner's world: a fake API, an output folder, a fake clock, and
// waits so short that tests are quick.
type fixture struct {
	t     *testing.T
	api   *fakeAPI
	clock *fakeClock
	cfg   runner.Config
	out   string // OUTPUT_DIR
	log   *safeBuffer
}

func newFixture(t *testing.T, command string) *fixture {
	t.Helper()
	f := &fixture{t: t, api: newFakeAPI(t), clock: newFakeClock(), log: &safeBuffer{}}
	f.out = f.api.grant.OutputFolder
	f.cfg = runner.Config{
		APIURL: f.api.url + "/stage/", ExecutionToken: f.api.keys.Mint(token.Execution, ref, ""),
		JobID: "job-1", Command: command, LogDir: filepath.Join(t.TempDir(), "logs"),
		Environ:   []string{"PATH=/usr/local/bin:/usr/bin:/bin"},
		Heartbeat: 5 * time.Millisecond, Grace: guard, PipeGrace: 20 * time.Millisecond,
		RetryFirst: time.Millisecond, RetryMost: 4 * time.Millisecond,
		Logger: secretwatch.New(slog.NewJSONHandler(f.log, nil)), Clock: f.clock,
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the runner's log:\n%s", f.log)
		}
	})
	return f
}

// start runs a runner of the fixture's configuration in the background.
func (f *fixture) start() (exit <-chan int) {
	f.t.Helper()
	r, err := runner.New(f.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	c := make(chan int, 1)
	go func() { c <- r.Run(f.t.Context()) }()
	return c
}

// wants fails the test unless the runner exits with code.
func (f *fixture) wants(exit <-chan int, code int) {
	f.t.Helper()
	if got := within(f.t, "the runner's exit", func() int { return <-exit }); got != code {
		f.t.Errorf("exit code: got %d, want %d", got, code)
	}
}

// run runs a runner to its end and returns the one result that it reported.
func (f *fixture) run() project.Result {
	f.t.Helper()
	f.wants(f.start(), runner.ExitDone)
	return f.result()
}

// result returns the one result that was reported.
func (f *fixture) result() project.Result {
	f.t.Helper()
	f.api.mu.Lock()
	defer f.api.mu.Unlock()
	if len(f.api.results) != 1 {
		f.t.Fatalf("got results %+v, want one", f.api.results)
	}
	return f.api.results[0]
}

// fifo makes a named pipe in the command's working directory: what the command
// waits at and is waited for at.
func (f *fixture) fifo(name string) (path string) {
	f.t.Helper()
	path = filepath.Join(f.out, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// within returns what do returns, and fails the test if it does not in time.
func within[T any](t *testing.T, what string, do func() T) T {
	t.Helper()
	c := make(chan T, 1)
	go func() { c <- do() }()
	select {
	case v := <-c:
		return v
	case <-time.After(guard):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// safeBuffer is a buffer that several goroutines may write to.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
