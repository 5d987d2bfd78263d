package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A clock that is set: the stack's, while everything else is real.
type setClock struct{ ahead atomic.Int64 }

func (c *setClock) now() time.Time      { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *setClock) set(d time.Duration) { c.ahead.Store(int64(d)) }

func TestClockSetForwardAndBackRepeatsNoExecutionAndLeavesNoneRunning(t *testing.T) {
	inRoot(t)
	dir := t.TempDir()
	gate := filepath.Join(dir, "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	// The session was last seen in the farthest future of this test, so that it
	// is not what ends.
	seed := filepath.Join(dir, "seed.json")
	if err := os.WriteFile(seed, []byte(`{
		"tenants": [{"tenant_id": "demo", "name": "Demo", "slug": "demo", "email": "demo@example.com", "subscription_state": "active"}],
		"sessions": [{"tenant_id": "demo", "session_token": "demo.rekindle-demo-session", "expires_at": "200h", "last_seen": "26h"}],
		"projects": [{"tenant_id": "demo", "project_id": "site", "name": "Site", "description": "A site", "objectives": "Home", "activation_code": "DEMO-PEND-SITE-2222"}]
	}`), 0o600); err != nil {
		t.Fatal(err)
	}
	clock := &setClock{}
	s := start(t, options{data: filepath.Join(dir, "data"), seed: seed, now: clock.now}, map[string]string{
		"PATH": os.Getenv("PATH"), "PROJECT_COMMAND": `read line < ` + gate + `; test "$line" = ok || { echo "$line" >&2; exit 3; }; exec rekindle-sample`,
	})
	tell := func(line string) {
		t.Helper()
		w, err := os.OpenFile(gate, os.O_WRONLY, 0) // opens once the command reads
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteString(line + "\n"); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	sweep := func(want float64) {
		t.Helper()
		if _, receipt := s.call("POST", "/2015-03-31/functions/CleanupFunction/invocations", ""); receipt["failed"] != want || receipt["complete"] != true {
			t.Errorf("sweep: got %v, want %v failed", receipt, want)
		}
	}
	var ids []int64
	begin := func(verb string) string {
		t.Helper()
		id := s.begin(verb, "site")
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) > 0 && n <= ids[len(ids)-1] {
			t.Errorf("execution ids: %d follows %v", n, ids)
		}
		ids = append(ids, n)
		return id
	}

	// Forward by more than the limit, while it runs: the sweep ends it and its
	// work, once.
	id := begin("run")
	s.logs.await(t, "/claim", "status=200", "execution_id="+id)
	clock.set(25 * time.Hour)
	sweep(1)
	sweep(0)
	s.logs.await(t, "job ended", "execution_id="+id)
	if out := s.wantStatus("site", "failed"); out["execution_error"] != "Execution timed out: it was running for more than 24 hours" {
		t.Errorf("got %v", out["execution_error"])
	}

	// Back by three days while the next one runs: its result stands, and the
	// sweep of a past in which it had not begun leaves it alone.
	id = begin("restart")
	s.logs.await(t, "/claim", "status=200", "execution_id="+id)
	clock.set(-48 * time.Hour)
	sweep(0)
	s.wantStatus("site", "running")
	tell("no luck")
	s.logs.await(t, "execution ended", "execution_id="+id, "outcome=failed")
	if out := s.wantStatus("site", "failed"); out["execution_error"] != "no luck" {
		t.Errorf("got %v", out["execution_error"])
	}

	// Started in that past, its limit is over for a runner whose clock is right.
	// It says so, and nothing is left running.
	id = begin("restart")
	s.logs.await(t, "execution ended", "execution_id="+id, "outcome=timed_out")
	if out := s.wantStatus("site", "failed"); !strings.HasPrefix(out["execution_error"].(string), "Execution timed out: the command was stopped at its limit, ") {
		t.Errorf("got %v", out["execution_error"])
	}

	clock.set(0)
	sweep(0)
	id = begin("restart")
	tell("ok")
	s.logs.await(t, "execution ended", "execution_id="+id, "outcome=completed")
	out := s.wantStatus("site", "completed")
	attempts := out["attempts"].([]any)
	for i, want := range []string{"completed", "timed_out", "failed", "timed_out"} {
		if i >= len(attempts) || attempts[i].(map[string]any)["outcome"] != want {
			t.Errorf("attempts, newest first: got %v, want %s at %d", attempts, want, i)
		}
	}
}
