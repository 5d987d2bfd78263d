package runner

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// processAttr gives the command a process group of its own, so that it can be
// stopped with all that it started, and lets it die with the runner: nobody
// would keep its limit any more.
func processAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit returns once the process has ended, and leaves it to be waited for:
// until then nobody else gets its number.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}

// sacrifice has the kernel take this process, and what it starts, before the
// runner when memory runs out. Raising one's own needs no right; where it fails
// the kernel takes whoever is largest, which is hardly the runner.
func sacrifice(pid int) {
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("500"), 0)
}

// hide keeps other processes of the same user from reading this one's memory
// and environment, and from tracing it.
func hide() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the runner unreadable: %w", err)
	}
	return nil
}
