package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine is where the figures were taken: they are nothing without it.
type machine struct {
	at       time.Time
	commit   string // with "+" where files were changed since
	cpu      string
	cores    int // that this process may use
	memoryMB int
	kernel   string
	goes     string // version of Go
	node     string // version of Node.js, which runs the local database
	load     string // load averages of 1, 5 and 15 minutes at the start
	busy     bool
	quick    bool
	rounds   int
}

// busyFrom is the load average over the last minute from which on a machine is
// not quiet.
const busyFrom = 1.0

// thisMachine looks at this machine. What can't be found out is "unknown".
func thisMachine() machine {
	m := machine{
		at: time.Now().UTC(), cores: runtime.GOMAXPROCS(0), cpu: cpuModel(), kernel: said("uname", "-sr"),
		goes: runtime.Version(), node: said("node", "--version"), commit: said("git", "rev-parse", "--short", "HEAD"), load: "unknown",
	}
	if m.commit != unknown && said("git", "status", "--porcelain", "--untracked-files=no") != "" {
		m.commit += "+"
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.memoryMB = int(fieldOf(string(text), "MemTotal") / 1024)
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.load, m.busy = loadOf(string(text))
	}
	return m
}

const unknown = "unknown"

// said returns what a program says, on one line.
func said(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return unknown
	}
	return strings.TrimSpace(string(out))
}

// loadOf reads /proc/loadavg: the three averages, and whether the first one says
// that others use the machine.
func loadOf(text string) (averages string, busy bool) {
	fields := strings.Fields(text)
	if len(fields) < 3 {
		return unknown, false
	}
	first, err := strconv.ParseFloat(fields[0], 64)
	return strings.Join(fields[:3], " "), err == nil && first > busyFrom
}

// fieldOf returns the number of a line "name: number kB".
func fieldOf(text, name string) int64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
			return n
		}
	}
	return 0
}

// cpuModel is the processor's name.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return runtime.GOARCH
}

// lines say it to people.
func (m machine) lines() []string {
	size := "full"
	if m.quick {
		size = "quick"
	}
	lines := []string{
		fmt.Sprintf("%s run, commit %s, %s, rounds: %d", size, m.commit, m.at.Format("2006-01-02 15:04 MST"), m.rounds),
		fmt.Sprintf("%s, %d cores, %s MB of memory, %s, %s, Node.js %s", m.cpu, m.cores, thousands(float64(m.memoryMB)), m.kernel, m.goes, m.node),
		fmt.Sprintf("load average at the start: %s", m.load),
	}
	if m.busy {
		lines = append(lines, fmt.Sprintf("WARNING: that is over %.0f. Others use this machine, and the times are theirs as well; counts and sizes are not.", busyFrom))
	}
	return lines
}

// config are the keys that Go's benchmark format begins with.
func (m machine) config() map[string]string {
	return map[string]string{"goos": runtime.GOOS, "goarch": runtime.GOARCH, "pkg": "rekindle/infra/bench", "cpu": m.cpu}
}
