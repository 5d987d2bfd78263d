package launch

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rekindle/internal/project"
)

// stat is what /proc/<pid>/stat says of a process; see proc_pid_stat(5).
type stat struct {
	state   byte
	session int
	birth   string // clock ticks since boot
}

func readStat(pid int) (stat, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	// The second field is the program's name in brackets; it may hold anything.
	i := bytes.LastIndexByte(text, ')')
	fields := strings.Fields(string(text[i+1:]))
	// proc(5) numbers the fields from 1; these begin with its third.
	const state, session, starttime = 0, 3, 19
	if i < 0 || len(fields) <= starttime {
		return stat{}, false
	}
	sid, err := strconv.Atoi(fields[session])
	return stat{state: fields[state][0], session: sid, birth: fields[starttime]}, err == nil
}

// gone says that a process has ended and only waits to be reaped.
func (s stat) gone() bool { return s.state == 'Z' || s.state == 'X' }

// bootID names the time since the machine was started; ticks count from there.
var bootID = sync.OnceValue(func() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
})

// inspect returns when a process was started, empty if there is none of that
// number, and whether it has not ended.
func inspect(pid int) (birth string, running bool) {
	s, ok := readStat(pid)
	if !ok {
		return "", false
	}
	return bootID() + "/" + s.birth, !s.gone()
}

// sameBoot says whether the machine has not been started anew since a birth.
func sameBoot(birth string) bool { return strings.HasPrefix(birth, bootID()+"/") }

// reap waits for a runner's end and kills what is left of its session. It
// returns how many processes that were, and what [exec.Cmd.Wait] does.
func reap(cmd *exec.Cmd) (left int, err error) {
	// The runner stays a zombie until its session is empty, so that its number
	// can't come to stand for another one meanwhile.
	pid := cmd.Process.Pid
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	left = killSession(pid, killWithin)
	return left, cmd.Wait()
}

// killSession kills every process of the session that a runner led, and returns
// how many there were once they are gone, or after that time.
func killSession(sid int, within time.Duration) int {
	return killFound(func() []int { return membersOf(sid) }, within)
}

// killStrays does the same with the processes that have an execution's variables
// as the runner gives them to its command: what the command has started in a
// session of its own.
func killStrays(ref project.Ref, within time.Duration) int {
	return killFound(func() []int { return straysOf(ref) }, within)
}

// killFound kills what is found until nothing is.
func killFound(find func() []int, within time.Duration) int {
	killed := map[int]bool{}
	deadline := time.Now().Add(within)
	for {
		left := find()
		for _, pid := range left {
			killed[pid] = true
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		// Once more: a killed process may have started another just before.
		if len(left) == 0 || time.Now().After(deadline) {
			return len(killed)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// membersOf returns the processes of a session that have not ended.
func membersOf(sid int) []int {
	var found []int
	for _, pid := range processes() {
		if s, ok := readStat(pid); ok && s.session == sid && !s.gone() {
			found = append(found, pid)
		}
	}
	return found
}

// straysOf returns the processes of an execution that have not ended. The
// environments of other users, which can't be read, are none of them.
func straysOf(ref project.Ref) []int {
	var found []int
	for _, pid := range processes() {
		environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if err != nil {
			continue
		}
		environ = append([]byte{0}, environ...)
		ours := true
		for _, v := range []string{
			"EXECUTION_ID=" + strconv.FormatInt(ref.ExecutionID, 10), "TENANT_ID=" + ref.TenantID, "PROJECT_ID=" + ref.ProjectID,
		} {
			ours = ours && bytes.Contains(environ, []byte("\x00"+v+"\x00"))
		}
		if s, ok := readStat(pid); ours && ok && !s.gone() && pid != os.Getpid() {
			found = append(found, pid)
		}
	}
	return found
}

// leaderNamed returns the process that leads a session and has this as its last
// argument; 0 if there is none.
func leaderNamed(argument string) int {
	for _, pid := range processes() {
		line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if err != nil || !bytes.HasSuffix(line, []byte("\x00"+argument+"\x00")) {
			continue
		}
		if s, ok := readStat(pid); ok && s.session == pid && !s.gone() {
			return pid
		}
	}
	return 0
}

// processes returns the numbers of all processes.
func processes() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var found []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			found = append(found, pid)
		}
	}
	return found
}
