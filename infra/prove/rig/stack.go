// Package rig runs the local stack as a process of its own, for the proofs that
// kill it and load it: it builds the stack, starts, kills and ends it, calls its
// API, and finds the processes that belong to it.
package rig

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// How long a stack may take to serve, and to end when it is asked to. A machine
// that is busy with other things is slow.
const (
	startWithin = 2 * time.Minute
	stopWithin  = time.Minute
)

// Programs are what a proof runs.
type Programs struct {
	Stack string // ./infra/local
	Ctl   string // ./infra/rekindlectl
}

// Build builds the programs into dir. It is called in the module's folder.
func Build(ctx context.Context, dir string) (Programs, error) {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+string(os.PathSeparator), "./infra/local", "./infra/rekindlectl")
	if out, err := cmd.CombinedOutput(); err != nil {
		return Programs{}, fmt.Errorf("building the stack: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return Programs{Stack: filepath.Join(dir, "local"), Ctl: filepath.Join(dir, "rekindlectl")}, nil
}

// FreeAddress returns an address of this machine that nobody serves at.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// Config says how a stack is started.
type Config struct {
	Program string   // the built stack
	Listen  string   // where it serves: the same again after each start, or its runners can't find it
	Data    string   // its data folder
	Seed    string   // its seed file
	Environ []string // what it gets beside this process's environment
	LogFile string   // gets what it says on stderr, each start after the other
	OnLine  func(line string)
}

// Stack is a stack's process.
type Stack struct {
	URL  string
	Data string
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts a stack and returns once it serves.
func Start(ctx context.Context, c Config) (*Stack, error) {
	log, err := os.OpenFile(c.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the stack's log: %w", err)
	}
	cmd := exec.Command(c.Program, "-listen", c.Listen, "-data", c.Data, "-seed", c.Seed)
	cmd.Env = append(os.Environ(), c.Environ...)
	// A group of its own: the terminal's Ctrl-C is for the proof, which ends
	// the stack itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the stack: %w", err), log.Close())
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the stack: %w", err), log.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the stack: %w", err), log.Close())
	}
	s := &Stack{Data: c.Data, cmd: cmd, done: make(chan struct{})}
	ready := make(chan string, 1)
	go func() {
		said := make(chan struct{})
		go func() {
			defer close(said)
			keep(stderr, log, c.OnLine)
		}()
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				ready <- url
			}
		}
		<-said
		s.err = cmd.Wait()
		_ = log.Close()
		close(s.done)
	}()
	limit := time.NewTimer(startWithin)
	defer limit.Stop()
	select {
	case s.URL = <-ready:
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("the stack ended before it served: %w; its last words: %s", s.err, lastLine(c.LogFile))
	case <-limit.C:
		s.Kill()
		return nil, fmt.Errorf("the stack did not serve within %s; see %s", startWithin, c.LogFile)
	case <-ctx.Done():
		s.Kill()
		return nil, ctx.Err()
	}
}

// keep copies lines into the log and tells of each.
func keep(from io.Reader, log io.Writer, tell func(string)) {
	r := bufio.NewReader(from)
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			_, _ = io.WriteString(log, line)
			if tell != nil {
				tell(strings.TrimRight(line, "\n"))
			}
		}
		if err != nil {
			return
		}
	}
}

func lastLine(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// KeepLog moves a stack's log out of a folder that is about to go, and says
// where it is.
func KeepLog(log, name string) {
	kept := filepath.Join(os.TempDir(), name+".log")
	if os.Rename(log, kept) == nil { // there may be none yet
		fmt.Println("the stack's log is kept:", kept)
	}
}

// PID is the stack's process.
func (s *Stack) PID() int { return s.cmd.Process.Pid }

// Done is closed when the stack has ended.
func (s *Stack) Done() <-chan struct{} { return s.done }

// Serves says whether the stack has not ended.
func (s *Stack) Serves() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Kill kills the stack and waits for its end.
func (s *Stack) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Stop asks the stack to end and waits for that. One that does not is killed,
// and that is an error.
func (s *Stack) Stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	limit := time.NewTimer(stopWithin)
	defer limit.Stop()
	select {
	case <-s.done:
		return s.err
	case <-limit.C:
		s.Kill()
		return fmt.Errorf("the stack did not end within %s of being asked to", stopWithin)
	}
}

// AwaitEnd waits until the stack has ended by itself.
func (s *Stack) AwaitEnd() error {
	limit := time.NewTimer(stopWithin)
	defer limit.Stop()
	select {
	case <-s.done:
		return nil
	case <-limit.C:
		return fmt.Errorf("the stack was still there after %s", stopWithin)
	}
}
