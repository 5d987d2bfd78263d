//go:build !linux

package runner

import "syscall"

// processAttr gives the command a process group of its own, so that it can be
// stopped with all that it started. Only Linux lets it die with the runner.
func processAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// awaitExit can't wait without reaping here.
func awaitExit(int) bool { return false }

// sacrifice has no counterpart here.
func sacrifice(int) {}

// hide has no counterpart here; such a machine is a developer's own.
func hide() error { return nil }
