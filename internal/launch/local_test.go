package launch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/runner"
	"rekindle/internal/secretwatch"
	"rekindle/internal/token"
)

var (
	testRef = project.Ref{
		Key:        project.Key{TenantID: "demo", ProjectID: "site"},
		ProjectUID: "uid-1", ExecutionID: 61_000_000_000_001,
	}
	otherRef = project.Ref{Key: testRef.Key, ProjectUID: "uid-1", ExecutionID: 61_000_000_000_002}
)

// patience is how long a test waits for a process before it fails.
const patience = 30 * time.Second

// bench is a data folder with a shell script as the runner. The script talks to
// the test through two named pipes: what it writes to $SAY the test reads, and
// it can wait for a line from $HEAR.
type bench struct {
	t    *testing.T
	data string
	keys *token.Keyring
	ends chan JobEnd
	log  *syncBuffer

	mu    sync.Mutex
	onEnd func(JobEnd) error // nil: ends are heard
}

func newBench(t *testing.T, script string) *bench {
	t.Helper()
	keys, err := token.NewKeyring(strings.Repeat("s", token.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, data: t.TempDir(), keys: keys, ends: make(chan JobEnd, 100), log: &syncBuffer{}}
	for _, pipe := range []string{"say", "hear"} {
		if err := syscall.Mkfifo(filepath.Join(b.data, pipe), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf("#!/bin/sh\nSAY='%s/say'\nHEAR='%s/hear'\n%s\n", b.data, b.data, script)
	if err := os.WriteFile(b.runner(), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) runner() string { return filepath.Join(b.data, "runner.sh") }

// local makes a launcher on the bench, which is closed with the test.
func (b *bench) local() *Local {
	b.t.Helper()
	l, err := NewLocal(LocalConfig{
		Runner: b.runner(), DataDir: b.data, APIURL: "http://127.0.0.1:1", Command: `["work"]`, Keys: b.keys,
		Environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=/home/dev", "LC_ALL=C", "AWS_SECRET_ACCESS_KEY=secret"},
		OnEnd: func(_ context.Context, end JobEnd) error {
			b.mu.Lock()
			answer := b.onEnd
			b.mu.Unlock()
			var err error
			if answer != nil {
				err = answer(end)
			}
			b.ends <- end
			return err
		},
		Log: secretwatch.New(slog.NewTextHandler(b.log, nil)),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	l.look, l.retryFirst, l.retryMost = 5*time.Millisecond, time.Millisecond, 5*time.Millisecond
	b.t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // kill at once
		_ = l.StopAll(ctx)
		_ = l.Close()
	})
	return l
}

func (b *bench) launch(l *Local, ref project.Ref) string {
	b.t.Helper()
	id, err := l.Launch(b.t.Context(), ref)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// heard waits until the script has written to $SAY, and returns what.
func (b *bench) heard() string {
	b.t.Helper()
	said := make(chan string, 1)
	go func() {
		text, _ := os.ReadFile(filepath.Join(b.data, "say"))
		said <- strings.TrimSpace(string(text))
	}()
	return wait(b.t, said)
}

// say lets a script go on that waits for a line from $HEAR.
func (b *bench) say(text string) {
	b.t.Helper()
	done := make(chan error, 1)
	go func() { done <- os.WriteFile(filepath.Join(b.data, "hear"), []byte(text+"\n"), 0) }()
	if err := wait(b.t, done); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) records() []string {
	b.t.Helper()
	entries, err := os.ReadDir(filepath.Join(b.data, "jobs"))
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func wait[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatal("waited in vain")
	}
	return v
}

// settled waits until the launcher has forgotten a job.
func settled(t *testing.T, l *Local, id string) {
	t.Helper()
	l.mu.Lock()
	j := l.jobs[id]
	l.mu.Unlock()
	if j != nil {
		wait(t, j.settled)
	}
}

func alive(t *testing.T, l *Local, ref project.Ref) []string {
	t.Helper()
	ids, err := l.Lookup(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestRunnerGetsItsTaskAndNoSecret(t *testing.T) {
	b := newBench(t, `env > "$SAY"; read go < "$HEAR"`)
	l := b.local()
	id := b.launch(l, testRef)
	env := map[string]string{}
	for _, line := range strings.Split(b.heard(), "\n") {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	logDir := filepath.Join(b.data, "logs", "demo", "uid-1", "61000000000001")
	for name, want := range map[string]string{
		"REKINDLE_API_URL": "http://127.0.0.1:1", "REKINDLE_JOB_ID": id, "REKINDLE_LOG_DIR": logDir,
		"PROJECT_COMMAND": `["work"]`, "HOME": "/home/dev", "LC_ALL": "C",
		"PATH": filepath.Join(b.data, "bin") + ":" + os.Getenv("PATH"),
	} {
		if env[name] != want {
			t.Errorf("%s: got %q, want %q", name, env[name], want)
		}
	}
	if _, ok := env["AWS_SECRET_ACCESS_KEY"]; ok {
		t.Error("the runner got a secret of this process")
	}
	claims, err := b.keys.Verify(token.Execution, env["REKINDLE_EXECUTION_TOKEN"])
	if err != nil || claims.Ref() != testRef {
		t.Errorf("the token: got %+v, %v, want one for %+v", claims, err, testRef)
	}

	path := filepath.Join(b.data, "jobs", id+".json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), env["REKINDLE_EXECUTION_TOKEN"]) {
		t.Error("the record holds the token")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the record: got %v, %v, want it readable by its owner alone", info.Mode(), err)
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil || r.PID == 0 || r.Birth == "" || r.Ref() != testRef {
		t.Errorf("got %s, %v, want pid, start and execution", text, err)
	}
	if got := alive(t, l, testRef); !slices.Equal(got, []string{id}) {
		t.Errorf("got %v alive, want %s", got, id)
	}
	if got := alive(t, l, otherRef); len(got) > 0 {
		t.Errorf("got %v alive for another execution, want none", got)
	}

	b.say("go")
	if end := wait(t, b.ends); end != (JobEnd{Ref: testRef, JobID: id, Succeeded: true}) {
		t.Errorf("got %+v, want a success", end)
	}
	settled(t, l, id)
	if got := b.records(); len(got) > 0 {
		t.Errorf("got records %v after the end, want none", got)
	}
	if got := alive(t, l, testRef); len(got) > 0 {
		t.Errorf("got %v alive after the end, want none", got)
	}
}

func TestEndNamesItsReason(t *testing.T) {
	if exitNotStarted != runner.ExitNotStarted || exitConfig != runner.ExitConfig {
		t.Fatal("the exit codes are not the runner's")
	}
	for script, want := range map[string]string{
		"exit 1":        "The runner exited with code 1 without reporting a result",
		"exit 75":       "The runner ended before it started the command",
		"exit 78":       "The runner's settings are wrong, and it started nothing",
		"kill -KILL $$": "The runner was killed by signal 9 without reporting a result",
		"kill -TERM $$": "The runner was killed by signal 15 without reporting a result",
	} {
		t.Run(script, func(t *testing.T) {
			b := newBench(t, "echo to the log >&2; "+script)
			id := b.launch(b.local(), testRef)
			if end := wait(t, b.ends); end != (JobEnd{Ref: testRef, JobID: id, Reason: want}) {
				t.Errorf("got %+v, want reason %q", end, want)
			}
			log, err := os.ReadFile(filepath.Join(b.data, "logs/demo/uid-1/61000000000001/runner.log"))
			if err != nil || string(log) != "to the log\n" {
				t.Errorf("runner.log: got %q, %v", log, err)
			}
		})
	}
}

func TestNothingOutlivesItsRunner(t *testing.T) {
	// Job control gives each background job a process group of its own, as the
	// runner gives its command one; the second is a grandchild.
	b := newBench(t, `set -m
sleep 1000 &
first=$!
sh -c 'sleep 1000 & echo '$$' '$first' $! > "$0"; wait' "$SAY" &
wait`)
	l := b.local()
	id := b.launch(l, testRef)
	var pids, atEnd []int
	for _, field := range strings.Fields(b.heard()) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	b.mu.Lock()
	b.onEnd = func(JobEnd) error {
		for _, pid := range pids {
			if _, running := inspect(pid); running {
				atEnd = append(atEnd, pid)
			}
		}
		return nil
	}
	b.mu.Unlock()
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, b.ends)
	settled(t, l, id)
	if len(pids) != 3 || len(atEnd) > 0 {
		t.Errorf("of %v, %v lived when the end was told, want none", pids, atEnd)
	}
}

func TestStopReachesTheRightJobs(t *testing.T) {
	const script = `trap 'exit 3' TERM; echo up > "$SAY"; sleep 1000 & wait`
	b := newBench(t, script)
	l := b.local()
	first := b.launch(l, testRef)
	b.heard()
	second := b.launch(l, testRef)
	b.heard()
	other := b.launch(l, otherRef)
	b.heard()

	stop := func(ref project.Ref, job string) {
		t.Helper()
		if err := l.Stop(t.Context(), ref, job, "cancelled"); err != nil {
			t.Fatal(err)
		}
	}
	stop(testRef, "unknown")
	stop(testRef, other) // not this execution's
	stop(testRef, first)
	if end := wait(t, b.ends); end.JobID != first {
		t.Errorf("got the end of %s, want that of %s", end.JobID, first)
	}
	settled(t, l, first)
	stop(testRef, first) // gone already
	if got := alive(t, l, testRef); !slices.Equal(got, []string{second}) {
		t.Errorf("got %v alive, want %s", got, second)
	}
	stop(testRef, "")
	if end := wait(t, b.ends); end.JobID != second {
		t.Errorf("got the end of %s, want that of %s", end.JobID, second)
	}
	if got := alive(t, l, otherRef); !slices.Equal(got, []string{other}) {
		t.Errorf("got %v alive, want %s", got, other)
	}
}

func TestEndIsToldUntilHeard(t *testing.T) {
	b := newBench(t, "exit 4")
	l := b.local()
	refusals := 3
	b.onEnd = func(JobEnd) error {
		if refusals--; refusals >= 0 {
			if got := b.records(); len(got) != 1 {
				t.Errorf("got records %v before the end was heard, want it kept", got)
			}
			return errors.New("the database is away")
		}
		return nil
	}
	id := b.launch(l, testRef)
	for range 4 {
		if end := wait(t, b.ends); end.JobID != id || !strings.Contains(end.Reason, "code 4") {
			t.Errorf("got %+v, want the same end each time", end)
		}
	}
	settled(t, l, id)
	if got := b.records(); len(got) > 0 {
		t.Errorf("got records %v, want none", got)
	}
}

func TestUnheardEndIsToldByTheNextProcess(t *testing.T) {
	b := newBench(t, "exit 4")
	b.onEnd = func(JobEnd) error { return errors.New("the database is away") }
	l := b.local()
	id := b.launch(l, testRef)
	want := wait(t, b.ends)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for len(b.ends) > 0 {
		<-b.ends
	}
	b.onEnd = nil
	next := b.local()
	if err := next.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-b.ends:
		if got != want || got.JobID != id {
			t.Errorf("got %+v, want %+v", got, want)
		}
	default:
		t.Error("the end was not told before Adopt returned")
	}
	if got := b.records(); len(got) > 0 {
		t.Errorf("got records %v, want none", got)
	}
}

func TestAdoptedJobGoesOn(t *testing.T) {
	b := newBench(t, `trap 'exit 0' TERM; echo up > "$SAY"; sleep 1000 & wait`)
	before := b.local()
	id := b.launch(before, testRef)
	b.heard()
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	l := b.local()
	if err := l.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := alive(t, l, testRef); !slices.Equal(got, []string{id}) {
		t.Fatalf("got %v alive, want %s", got, id)
	}
	if len(b.ends) > 0 {
		t.Errorf("got %+v, want no end yet", <-b.ends)
	}
	if err := l.Stop(t.Context(), testRef, "", "cancelled"); err != nil {
		t.Fatal(err)
	}
	want := JobEnd{Ref: testRef, JobID: id, Reason: "The runner ended without reporting a result"}
	if end := wait(t, b.ends); end != want {
		t.Errorf("got %+v, want %+v", end, want)
	}
	settled(t, l, id)
	if got := b.records(); len(got) > 0 {
		t.Errorf("got records %v, want none", got)
	}
}

func TestAdoptFailsWhatDiedMeanwhile(t *testing.T) {
	// Numbers that stand for another process now: this test's. It must not be
	// taken for the runner, nor be killed as what the runner left.
	self, parent := os.Getpid(), os.Getppid()
	for name, c := range map[string]struct {
		pid    int
		birth  string
		reason string
	}{
		"gone":              {1 << 30, "x/1", "The runner ended while the local stack was down, without reporting a result"},
		"number given anew": {self, "x/1", "The runner ended while the local stack was down, without reporting a result"},
		"parent's number":   {parent, bootOf(t) + "/1", "The runner ended while the local stack was down, without reporting a result"},
		"never started":     {0, "", "The local stack was stopped while it started the runner"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "exit 0")
			l := b.local()
			r := newRecord("job-1", testRef)
			r.PID, r.Birth = c.pid, c.birth
			if err := l.write(r); err != nil {
				t.Fatal(err)
			}
			if err := l.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := JobEnd{Ref: testRef, JobID: "job-1", Reason: c.reason}
			select {
			case end := <-b.ends:
				if end != want {
					t.Errorf("got %+v, want %+v", end, want)
				}
			default:
				t.Error("the end was not told before Adopt returned")
			}
			if got := alive(t, l, testRef); len(got) > 0 {
				t.Errorf("got %v alive, want none", got)
			}
			if got := b.records(); len(got) > 0 {
				t.Errorf("got records %v, want none", got)
			}
		})
	}
}

// bootOf returns the part of this process's birth that names the boot.
func bootOf(t *testing.T) string {
	t.Helper()
	birth, running := inspect(os.Getpid())
	if !running || birth == "" {
		t.Fatalf("got %q, %v for this process, want it running", birth, running)
	}
	boot, _, _ := strings.Cut(birth, "/")
	return boot
}

func TestAdoptToleratesBrokenRecords(t *testing.T) {
	b := newBench(t, "exit 0")
	l := b.local()
	for name, text := range map[string]string{
		"cut.json": `{"job_id":"cut","tenant_`, "empty.json": "", "array.json": "[]",
		"renamed.json":          `{"job_id":"other","tenant_id":"demo","project_id":"site","execution_id":5,"pid":1}`,
		"nothing.json":          `{"job_id":"nothing"}`,
		"partial.json.partial":  `{"job_id"`,
		"unrelated-to-jobs.txt": "x",
	} {
		if err := os.WriteFile(filepath.Join(b.data, "jobs", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := newRecord("good", testRef)
	if err := l.write(good); err != nil {
		t.Fatal(err)
	}
	if err := l.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if end := wait(t, b.ends); end.JobID != "good" {
		t.Errorf("got the end of %s, want that of the good record", end.JobID)
	}
	if len(b.ends) > 0 {
		t.Errorf("got %+v too, want one end", <-b.ends)
	}
	for _, name := range []string{"cut.json", "empty.json", "array.json", "renamed.json", "nothing.json"} {
		if !strings.Contains(b.log.String(), name) {
			t.Errorf("the log has nothing of %s", name)
		}
	}
}

func TestStopAllKillsWhatDoesNotStop(t *testing.T) {
	b := newBench(t, `trap '' TERM; echo up > "$SAY"; sleep 1000`)
	l := b.local()
	id := b.launch(l, testRef)
	b.heard()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.StopAll(ctx); err != nil {
		t.Error(err)
	}
	if end := wait(t, b.ends); end.JobID != id || !strings.Contains(end.Reason, "signal 9") {
		t.Errorf("got %+v, want it killed", end)
	}
	if got := b.records(); len(got) > 0 {
		t.Errorf("got records %v, want none", got)
	}
	if id, err := l.Launch(t.Context(), testRef); err == nil {
		t.Errorf("launched %s while stopping, want an error", id)
	}
}

func TestStopAllWaitsForOrderlyEnds(t *testing.T) {
	b := newBench(t, `trap 'exit 0' TERM; echo up > "$SAY"; sleep 1000 & wait`)
	l := b.local()
	b.launch(l, testRef)
	b.heard()
	b.launch(l, otherRef)
	b.heard()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.StopAll(ctx); err != nil {
		t.Error(err)
	}
	for range 2 {
		select {
		case end := <-b.ends:
			if !end.Succeeded {
				t.Errorf("got %+v, want an orderly end", end)
			}
		default:
			t.Fatal("StopAll returned before the ends were told")
		}
	}
}

func TestFailedLaunchLeavesNothing(t *testing.T) {
	evil := func(tenant, uid string) project.Ref {
		return project.Ref{Key: project.Key{TenantID: tenant, ProjectID: "site"}, ProjectUID: uid, ExecutionID: 1}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx     context.Context
		ref     project.Ref
		prepare func(b *bench, l *Local)
	}{
		"no runner":           {t.Context(), testRef, func(b *bench, _ *Local) { _ = os.Remove(b.runner()) }},
		"runner not runnable": {t.Context(), testRef, func(b *bench, _ *Local) { _ = os.Chmod(b.runner(), 0o600) }},
		"no room for logs": {t.Context(), testRef, func(b *bench, _ *Local) {
			_ = os.WriteFile(filepath.Join(b.data, "logs"), nil, 0o600)
		}},
		"no room for records": {t.Context(), testRef, func(b *bench, _ *Local) { _ = os.Remove(filepath.Join(b.data, "jobs")) }},
		"request is over":     {cancelled, testRef, nil},
		"closed":              {t.Context(), testRef, func(_ *bench, l *Local) { _ = l.Close() }},
		"tenant leads out":    {t.Context(), evil("..", "u"), nil},
		"tenant with a path":  {t.Context(), evil("a/b", "u"), nil},
		"no incarnation":      {t.Context(), evil("demo", ""), nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "exit 0")
			l := b.local()
			if c.prepare != nil {
				c.prepare(b, l)
			}
			if id, err := l.Launch(c.ctx, c.ref); err == nil {
				t.Errorf("launched %s, want an error", id)
			}
			if got := alive(t, l, c.ref); len(got) > 0 {
				t.Errorf("got %v alive, want none", got)
			}
			if got, err := os.ReadDir(filepath.Join(b.data, "jobs")); err == nil && len(got) > 0 {
				t.Errorf("got record %v, want none", got[0].Name())
			}
			if len(b.ends) > 0 {
				t.Errorf("got %+v, want no end", <-b.ends)
			}
		})
	}
}

func TestManyJobsAtOnce(t *testing.T) {
	b := newBench(t, "exit 0")
	l := b.local()
	const n = 20
	var wg sync.WaitGroup
	ids := make([]string, n)
	for i := range n {
		wg.Go(func() {
			ref := testRef
			ref.ExecutionID += int64(i % 3)
			var err error
			if ids[i], err = l.Launch(t.Context(), ref); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	told := map[string]bool{}
	for range n {
		told[wait(t, b.ends).JobID] = true
	}
	for _, id := range ids {
		if !told[id] {
			t.Errorf("the end of %s was not told", id)
		}
		settled(t, l, id)
	}
}

func TestNewLocalRefusesHalfAConfiguration(t *testing.T) {
	keys, _ := token.NewKeyring(strings.Repeat("s", token.MinSecret))
	good := LocalConfig{Runner: "r", DataDir: t.TempDir(), APIURL: "http://x", Command: "c", Keys: keys}
	for name, spoil := range map[string]func(*LocalConfig){
		"runner": func(c *LocalConfig) { c.Runner = "" }, "data": func(c *LocalConfig) { c.DataDir = "" },
		"url": func(c *LocalConfig) { c.APIURL = "" }, "command": func(c *LocalConfig) { c.Command = "" },
		"keys": func(c *LocalConfig) { c.Keys = nil },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := NewLocal(cfg); err == nil {
			t.Errorf("without %s: got a launcher, want an error", name)
		}
	}
}
