package launch

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// What a command starts in a session of its own is its runner's no more, but
// still has the execution's variables.
const strayScript = `EXECUTION_ID=61000000000001 TENANT_ID=demo PROJECT_ID=site setsid sh -c 'echo $$ > "$0"; exec sleep 1000' "$SAY" &
wait`

func TestProcessThatLeftItsSessionEndsWithItsRunner(t *testing.T) {
	b := newBench(t, strayScript)
	l := b.local()
	id := b.launch(l, testRef)
	stray, err := strconv.Atoi(strings.TrimSpace(b.heard()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(stray, syscall.SIGKILL) })
	l.mu.Lock()
	runner := l.jobs[id].PID
	l.mu.Unlock()
	if err := syscall.Kill(runner, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, b.ends)
	if _, running := inspect(stray); running {
		t.Error("it lives on")
	}
}

// A second job of an execution ends without having started anything: it takes
// nothing of the first one's with it.
func TestSecondJobLeavesTheFirstOnesProcessesAlone(t *testing.T) {
	b := newBench(t, `if [ -e "${0%/*}/first" ]; then exit 75; fi
touch "${0%/*}/first"
`+strayScript)
	l := b.local()
	b.launch(l, testRef)
	stray, err := strconv.Atoi(strings.TrimSpace(b.heard()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(stray, syscall.SIGKILL) })
	second := b.launch(l, testRef)
	if end := wait(t, b.ends); end.JobID != second {
		t.Fatalf("got the end of %s, want that of %s", end.JobID, second)
	}
	if _, running := inspect(stray); !running {
		t.Error("the first one's process was killed")
	}
}
