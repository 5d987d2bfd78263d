package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rekindle/internal/launch"
	"rekindle/internal/project"
	"rekindle/internal/secretwatch"
	"rekindle/internal/token"
)

// The whole stack: real functions, a real database over its wire protocol, real
// runners as child processes.

// events is a log handler that lets a test wait for a line.
type logEvents struct {
	mu    sync.Mutex
	lines []string
	grown chan struct{} // closed and made anew with each line
	attrs []slog.Attr
	root  *logEvents
}

func newLogEvents() *logEvents {
	e := &logEvents{grown: make(chan struct{})}
	e.root = e
	return e
}

func (e *logEvents) Enabled(context.Context, slog.Level) bool { return true }
func (e *logEvents) WithGroup(string) slog.Handler            { return e }
func (e *logEvents) WithAttrs(a []slog.Attr) slog.Handler {
	return &logEvents{root: e.root, attrs: append(append([]slog.Attr{}, e.attrs...), a...)}
}

func (e *logEvents) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	for _, a := range e.attrs {
		line += " " + a.String()
	}
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	e.root.mu.Lock()
	defer e.root.mu.Unlock()
	e.root.lines = append(e.root.lines, line)
	close(e.root.grown)
	e.root.grown = make(chan struct{})
	return nil
}

// await returns once a line has been logged that has all these parts.
func (e *logEvents) await(t *testing.T, parts ...string) string {
	t.Helper()
	giveUp := time.After(time.Minute) // for a test that fails, not to wait for
	for next := 0; ; {
		e.mu.Lock()
		lines, grown := e.lines[next:], e.grown
		next = len(e.lines)
		e.mu.Unlock()
	line:
		for _, line := range lines {
			for _, p := range parts {
				if !strings.Contains(line, p) {
					continue line
				}
			}
			return line
		}
		select {
		case <-grown:
		case <-giveUp:
			t.Fatalf("no log line has %q:\n%s", parts, strings.Join(e.lines, "\n"))
		}
	}
}

// liveStack is a stack that serves.
type liveStack struct {
	t    *testing.T
	url  string
	logs *logEvents
	stop func() error
}

// start serves a stack; env overrides the process's environment.
func start(t *testing.T, o options, env map[string]string) *liveStack {
	t.Helper()
	s, err := tryStart(t, o, env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryStart(t *testing.T, o options, env map[string]string) (*liveStack, error) {
	t.Helper()
	if o.listen == "" {
		o.listen = "127.0.0.1:0"
	}
	if o.template == "" {
		o.template = "template.yaml"
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &liveStack{t: t, logs: newLogEvents()}
	ready, readyWriter := io.Pipe()
	ended := make(chan error, 1)
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	go func() {
		err := serve(ctx, o, lookup, readyWriter, secretwatch.New(s.logs))
		readyWriter.CloseWithError(io.EOF)
		ended <- err
	}()
	line := make([]byte, 200)
	n, err := ready.Read(line)
	if err != nil {
		cancel()
		return nil, <-ended
	}
	url, ok := strings.CutPrefix(string(line[:n]), "ready ")
	if !ok {
		t.Fatalf("the ready line: %q", line[:n])
	}
	s.url = strings.TrimSpace(url)
	s.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("stopping the stack: %v", err)
		}
		quietRunners(t, o.data)
	})
	return s, nil
}

func (s *liveStack) call(method, path, body string) (int, map[string]any) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Session-Token", "demo.rekindle-demo-session")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, out
}

func (s *liveStack) project(verb, id string) (int, map[string]any) {
	s.t.Helper()
	method := http.MethodPost
	if verb == "status" {
		method = http.MethodGet
	}
	return s.call(method, "/api/tenant/projects/"+id+"/"+verb, "")
}

// begin runs or restarts a project and returns its execution id.
func (s *liveStack) begin(verb, id string) string {
	s.t.Helper()
	status, out := s.project(verb, id)
	if status != 200 {
		s.t.Fatalf("%s %s: got %d %v", verb, id, status, out)
	}
	return fmt.Sprintf("%.0f", out["execution_id"])
}

func (s *liveStack) wantStatus(id, want string) map[string]any {
	s.t.Helper()
	_, out := s.project("status", id)
	if out["execution_status"] != want {
		s.t.Errorf("%s: got %v (%v), want %s", id, out["execution_status"], out["execution_error"], want)
	}
	return out
}

// inRoot moves the test to the module's folder, where the stack is run, and
// returns the shipped seed.
func inRoot(t *testing.T) string {
	t.Helper()
	t.Chdir(filepath.Join("..", ".."))
	return filepath.Join("infra", "local", "seed.json")
}

func TestStackFromRunToFailedToRestartToCompletedAndAStuckOneSwept(t *testing.T) {
	seed := inRoot(t)
	marker := filepath.Join(t.TempDir(), "marker")
	s := start(t, options{data: filepath.Join(t.TempDir(), "data"), seed: seed}, map[string]string{
		"PATH":            os.Getenv("PATH"),
		"PROJECT_COMMAND": `test -e ` + marker + ` || { touch ` + marker + `; echo "no luck at first" >&2; exit 3; }; exec rekindle-sample`,
	})
	id := s.begin("run", "pending-site")
	s.logs.await(t, "execution ended", "execution_id="+id, "outcome=failed", "exit_code=3")
	if out := s.wantStatus("pending-site", "failed"); out["execution_error"] != "no luck at first" || out["can_restart"] != true {
		t.Errorf("got %v", out)
	}
	id = s.begin("restart", "pending-site")
	s.logs.await(t, "execution ended", "execution_id="+id, "outcome=completed")
	out := s.wantStatus("pending-site", "completed")
	page, err := os.ReadFile(filepath.Join(out["output_folder_path"].(string), "index.html"))
	if err != nil || !bytes.Contains(page, []byte("Our product")) {
		t.Errorf("the output: %v\n%s", err, page)
	}
	if attempts := out["attempts"].([]any); len(attempts) != 2 {
		t.Errorf("attempts: got %d, want 2", len(attempts))
	}
	if status, out := s.project("restart", "pending-site"); status != 400 || out["detail"] != "Only failed projects can be restarted. Current status: completed" {
		t.Errorf("restart of the completed one: got %d %v", status, out)
	}

	s.wantStatus("stuck-site", "running")
	status, receipt := s.call("POST", "/2015-03-31/functions/CleanupFunction/invocations", `{"dry_run":true}`)
	if status != 200 || receipt["failed"] != 1.0 {
		t.Errorf("dry run: got %d %v", status, receipt)
	}
	s.wantStatus("stuck-site", "running")
	status, receipt = s.call("POST", "/2015-03-31/functions/CleanupFunction/invocations", "")
	if status != 200 || receipt["failed"] != 1.0 || receipt["nominated"] != 1.0 || receipt["complete"] != true || receipt["shards"] != 16.0 {
		t.Errorf("sweep: got %d %v", status, receipt)
	}
	if out := s.wantStatus("stuck-site", "failed"); out["execution_error"] != "Execution timed out: it was running for more than 24 hours" || out["execution_completed_at"] == nil {
		t.Errorf("got %v", out)
	}
	s.logs.await(t, "execution failed by the sweep", "project_id=stuck-site")
	if status, out := s.call("GET", "/api/nowhere", ""); status != 404 || out["code"] != "route_not_found" {
		t.Errorf("a strange path: got %d %v", status, out)
	}
}

// The engine of this machine sends no events, but whoever does is heard as in
// the cloud.
func TestStackTakesTheEngineOfTheCloudsEvents(t *testing.T) {
	seed := inRoot(t)
	up := filepath.Join(t.TempDir(), "up")
	if err := syscall.Mkfifo(up, 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, options{data: data, seed: seed}, map[string]string{"PATH": os.Getenv("PATH"), "PROJECT_COMMAND": "echo up > " + up + "; sleep 3600"})
	id := s.begin("run", "pending-site")
	if _, err := os.ReadFile(up); err != nil { // the command writes, so it was claimed
		t.Fatal(err)
	}
	secret, err := os.ReadFile(filepath.Join(data, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := token.NewKeyring(string(secret))
	if err != nil {
		t.Fatal(err)
	}
	executionID, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	output := s.wantStatus("pending-site", "running")["output_folder_path"].(string)
	uid := filepath.Base(filepath.Dir(filepath.Clean(output)))
	ref := project.Ref{Key: project.Key{TenantID: "demo", ProjectID: "pending-site"}, ProjectUID: uid, ExecutionID: executionID}
	job := s.logs.await(t, "execution launched", "execution_id="+id)
	job = strings.Fields(job[strings.Index(job, "job_id=")+len("job_id="):])[0]

	sample, err := os.ReadFile(filepath.Join("infra", "events", "settle-failed.json"))
	if err != nil {
		t.Fatal(err)
	}
	const path = "/2015-03-31/functions/SettleFunction/invocations"
	event := strings.NewReplacer("rk-100001-sam-local-stuck-site", launch.JobName(ref), "4c7599ae-0a82-49aa-ba5a-4727fcce14a8", job).Replace(string(sample))
	if status, out := s.call("POST", path, event); status != 200 || out != nil {
		t.Errorf("with a token of another secret: got %d %v", status, out)
	}
	s.wantStatus("pending-site", "running")
	event = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+`).ReplaceAllLiteralString(event, keys.Mint(token.Execution, ref, ""))
	if status, out := s.call("POST", path, event); status != 200 || out != nil {
		t.Errorf("got %d %v", status, out)
	}
	if out := s.wantStatus("pending-site", "failed"); out["execution_error"] != "The project ran out of memory and was stopped" {
		t.Errorf("got %v", out["execution_error"])
	}
	if status, out := s.call("POST", path, `{"detail":1}`); status != 200 || out["errorMessage"] == nil {
		t.Errorf("poison: got %d %v", status, out)
	}
	s.logs.await(t, "job ended", "execution_id="+id) // the runner was told, and stopped its command
}

func TestStackHonoursTheLimitOfDotEnvAndNeverSweepsAtStart(t *testing.T) {
	seed := inRoot(t)
	template := filepath.Join(t.TempDir(), "template.yaml")
	text, err := os.ReadFile("template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(template, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(template), ".env"), []byte("PROJECT_EXECUTION_TIMEOUT_HOURS=48\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, options{seed: seed, template: template}, nil)
	_, out := s.project("status", "stuck-site")
	if out["execution_status"] != "running" {
		t.Errorf("at start: got %v, want running", out["execution_status"])
	}
	if _, receipt := s.call("POST", "/2015-03-31/functions/CleanupFunction/invocations", ""); receipt["nominated"] != 0.0 {
		t.Errorf("with a limit of 48 hours: got %v", receipt)
	}
	s.wantStatus("stuck-site", "running")
}

func TestStackFindsItsDataAgainAndFailsWhoseRunnerDied(t *testing.T) {
	seed := inRoot(t)
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	o := options{data: filepath.Join(t.TempDir(), "data"), seed: seed}
	env := map[string]string{"PATH": os.Getenv("PATH"), "PROJECT_COMMAND": `read line < ` + gate + `; exec rekindle-sample`}
	first := start(t, o, env)
	o.listen = strings.TrimPrefix(first.url, "http://")
	dead := first.begin("run", "pending-site")
	living := first.begin("run", "breaking-site")
	for _, id := range []string{dead, living} {
		first.logs.await(t, "/claim", "status=200", "execution_id="+id)
	}
	job := first.logs.await(t, "execution launched", "execution_id="+dead)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	// One runner dies while nobody serves, the other lives on.
	_, id, _ := strings.Cut(job, "job_id=")
	killRunner(t, o.data, strings.Fields(id)[0])

	second := start(t, o, env)
	second.logs.await(t, "execution failed by the end of its job", "execution_id="+dead)
	if out := second.wantStatus("pending-site", "failed"); !strings.Contains(fmt.Sprint(out["execution_error"]), "while") {
		t.Errorf("the reason: %v", out["execution_error"])
	}
	second.wantStatus("stuck-site", "running") // seeded, not launched: the sweep's
	second.wantStatus("breaking-site", "running")
	w, err := os.OpenFile(gate, os.O_WRONLY, 0) // opens once the command reads
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	second.logs.await(t, "execution ended", "execution_id="+living)
	if out := second.wantStatus("breaking-site", "failed"); out["execution_error"] != "the price list is empty" {
		t.Errorf("got %v", out["execution_error"])
	}
}

// killRunner kills the process of a job and waits until it is gone.
func killRunner(t *testing.T, data, job string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, "jobs", job+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var record struct{ PID int }
	if err := json.Unmarshal(text, &record); err != nil || record.PID == 0 {
		t.Fatalf("the record of a job: %v %s", err, text)
	}
	// The runner is this process's child: waiting for it needs no polling.
	if err := syscall.Kill(record.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(record.PID, &status, 0, nil); err != nil && err != syscall.ECHILD {
		t.Fatal(err)
	}
}

func TestStackRefusesWhatItCannotServe(t *testing.T) {
	seed := inRoot(t)
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, options{data: data, seed: seed}, nil)
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	badEnv := write("template.yaml", "Resources: {}")
	if err := os.WriteFile(filepath.Join(filepath.Dir(badEnv), ".env"), []byte("GOOD=1\nBAD LINE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shipped, err := os.ReadFile("template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	withEnv := func(text string) string {
		path := write("template.yaml", string(shipped))
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), ".env"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		o    options
		env  map[string]string
		want string
	}{
		"a port in use":            {options{listen: strings.TrimPrefix(s.url, "http://")}, nil, "can't serve at 127.0.0.1:"},
		"a folder in use":          {options{data: data}, nil, "another stack is using it"},
		"no template":              {options{template: "nothing.yaml"}, nil, "nothing.yaml"},
		"a broken template":        {options{template: write("t.yaml", "Resources: [")}, nil, "t.yaml"},
		"a broken .env":            {options{template: badEnv}, nil, ".env: line 2"},
		"a broken seed":            {options{seed: write("seed.json", `{"tenants":[{}]}`)}, nil, "seed.json: tenants[0].tenant_id"},
		"no seed":                  {options{seed: "nothing.json"}, nil, "nothing.json"},
		"a broken limit":           {options{}, map[string]string{project.TimeoutSetting: "a day"}, "the environment: CleanupFunction: " + project.TimeoutSetting + " must be a number of hours"},
		"a broken limit in .env":   {options{template: withEnv(project.TimeoutSetting + "=a day")}, nil, "/.env: CleanupFunction: " + project.TimeoutSetting + " must be a number of hours"},
		"an empty command in .env": {options{template: withEnv("PROJECT_COMMAND=")}, nil, "/.env: PROJECT_COMMAND is empty"},
		"a setting without a name": {options{template: withEnv("A=1\n=2")}, nil, "/.env: line 2: "},
		"an empty endpoint":        {options{}, map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": ""}, "AWS_ENDPOINT_URL_DYNAMODB is set but empty"},
		"an empty command":         {options{}, map[string]string{"PROJECT_COMMAND": ""}, "the environment: PROJECT_COMMAND is empty"},
		"an address that's no":     {options{listen: "nowhere"}, nil, "can't serve at nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tryStart(t, c.o, c.env)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	s.wantStatus("stuck-site", "running") // and the one that serves was not disturbed
}

func TestStackThatKeepsNothingLeavesNothing(t *testing.T) {
	seed := inRoot(t)
	t.Setenv("TMPDIR", t.TempDir())
	up := filepath.Join(t.TempDir(), "up")
	if err := syscall.Mkfifo(up, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, options{seed: seed}, map[string]string{"PATH": os.Getenv("PATH"), "PROJECT_COMMAND": "echo up > " + up + "; sleep 3600"})
	id := s.begin("run", "pending-site")
	if said, err := os.ReadFile(up); err != nil || string(said) != "up\n" { // opens once the command writes
		t.Fatalf("got %q, %v", said, err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.logs.await(t, "execution ended", "execution_id="+id, "outcome=failed")
	left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "rekindle-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
