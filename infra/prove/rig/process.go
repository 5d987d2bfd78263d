package rig

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is a process of this machine, as Linux shows it in /proc.
type Process struct {
	PID, Parent int
	Args        []string
}

func (p Process) String() string { return strconv.Itoa(p.PID) + " (" + strings.Join(p.Args, " ") + ")" }

// Program is the name of what it runs, without the folder.
func (p Process) Program() string { return filepath.Base(p.Args[0]) }

// Naming returns the processes, but this one, whose command line or environment
// names a folder. Another user's environment can't be read, nor can a runner's
// by anyone but root; their command line names the folder as well. What has
// ended is left out.
func Naming(folder string) []Process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil || len(line) == 0 {
			continue // gone, a zombie, or the kernel's own
		}
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if !bytes.Contains(line, []byte(folder)) && !bytes.Contains(environ, []byte(folder)) {
			continue
		}
		found = append(found, Process{
			PID: pid, Parent: parentOf(pid),
			Args: strings.Split(strings.TrimRight(string(line), "\x00"), "\x00"),
		})
	}
	return found
}

// parentOf returns a process's parent, 0 if it is gone.
func parentOf(pid int) int {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// The second field is the program's name in brackets, which may hold
	// anything; the state and the parent come after it (proc_pid_stat(5)).
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// ResidentKB returns how much memory a process has in use, in KB; 0 if it is
// gone.
func ResidentKB(pid int) int {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kb
		}
	}
	return 0
}

// Database returns the process of the stack's dynalite.
func (s *Stack) Database() (Process, bool) {
	for _, p := range Naming(s.Data) {
		if p.Parent == s.PID() && len(p.Args) > 1 && filepath.Base(p.Args[1]) == "dynalite.mjs" {
			return p, true
		}
	}
	return Process{}, false
}
