//go:build !linux

package launch

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rekindle/internal/project"
)

// inspect returns when a process was started, empty if there is none of that
// number, and whether it has not ended.
func inspect(pid int) (birth string, running bool) {
	cmd := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid))
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC"} // the same words each time
	out, err := cmd.Output()
	state, birth, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
	if err != nil || !ok {
		return "", false
	}
	return strings.TrimSpace(birth), !strings.HasPrefix(state, "Z")
}

// sameBoot is told by the birth itself, which is a date here.
func sameBoot(string) bool { return true }

// reap waits for a runner's end and kills what is left of its process group. It
// returns how many groups that were, and what [exec.Cmd.Wait] does.
func reap(cmd *exec.Cmd) (left int, err error) {
	err = cmd.Wait()
	return killSession(cmd.Process.Pid, killWithin), err
}

// killStrays finds nothing here: a process's environment can't be read.
func killStrays(project.Ref, time.Duration) int { return 0 }

// leaderNamed returns the process that leads its group and has this as its last
// argument; 0 if there is none.
func leaderNamed(argument string) int {
	out, err := exec.Command("ps", "-axo", "pid=,pgid=,args=").Output()
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) > 3 && fields[0] == fields[1] && fields[len(fields)-1] == argument {
			pid, _ := strconv.Atoi(fields[0])
			return pid
		}
	}
	return 0
}

// killSession kills the process group that a runner led: it can't tell here
// which others were of its session.
func killSession(sid int, _ time.Duration) int {
	if syscall.Kill(-sid, syscall.SIGKILL) != nil {
		return 0
	}
	return 1
}
