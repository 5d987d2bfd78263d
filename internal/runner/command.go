package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rekindle/internal/project"
)

// Exit codes that the runner makes up where the command has none, as shells do.
const (
	codeNotExecutable = 126
	codeNotFound      = 127
	codeSignalled     = 128 // plus the signal's number
)

// commandLine returns the argv that a setting stands for; see [Config.Command].
func commandLine(setting string) []string {
	var words []*string // pointers tell null from ""
	if json.Unmarshal([]byte(setting), &words) == nil && len(words) > 0 {
		argv := make([]string, 0, len(words))
		for _, w := range words {
			if w != nil {
				argv = append(argv, *w)
			}
		}
		if len(argv) == len(words) {
			return argv
		}
	}
	return []string{"/bin/sh", "-c", setting}
}

// process is a command that was started.
type process struct {
	pid    int
	stdout tail
	stderr tail
	exited chan struct{} // closed when the main process has ended
	done   chan struct{} // closed when its output is complete too
	state  *os.ProcessState

	mu     sync.Mutex
	gone   bool // the process group's number may be another's by now
	killed bool // the runner sent SIGKILL
}

// startProcess runs argv in dir with env and nothing on its standard input.
func startProcess(argv []string, dir string, env []string, pipeGrace time.Duration) (*process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = env
	cmd.SysProcAttr = processAttr()

	// Files rather than writers: with writers Wait would wait for every
	// process that holds the pipe, not for the command.
	p := &process{exited: make(chan struct{}), done: make(chan struct{})}
	stdout, stdoutIn, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer stdoutIn.Close()
	stderr, stderrIn, err := os.Pipe()
	if err != nil {
		stdout.Close()
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer stderrIn.Close()
	cmd.Stdout, cmd.Stderr = stdoutIn, stderrIn

	started := make(chan error)
	go func() {
		// The death signal comes when the thread ends that started the
		// command: this one stays until the command has.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
			sacrifice(p.pid)
		}
		started <- err
		if err == nil {
			p.await(cmd)
		}
	}()
	if err := <-started; err != nil {
		stdout.Close()
		stderr.Close()
		return nil, err
	}

	var copies sync.WaitGroup
	copies.Go(func() { p.stdout.drain(stdout) })
	copies.Go(func() { p.stderr.drain(stderr) })
	go func() {
		<-p.exited
		// What left the group lives on and may hold the pipes open.
		late := time.AfterFunc(pipeGrace, func() { stdout.Close(); stderr.Close() })
		copies.Wait()
		late.Stop()
		close(p.done)
	}()
	return p, nil
}

// await returns when the command's main process has ended, after what was left
// of its group was killed.
func (p *process) await(cmd *exec.Cmd) {
	kept := awaitExit(p.pid)
	if !kept {
		_ = cmd.Wait() // its error is told by the state
	}
	p.mu.Lock()
	_ = syscall.Kill(-p.pid, syscall.SIGKILL) // fails where nobody is left
	if kept {
		_ = cmd.Wait()
	}
	p.gone = true
	p.state = cmd.ProcessState
	p.mu.Unlock()
	close(p.exited)
}

// signal sends s to the command's whole process group, if it still runs.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gone {
		p.killed = p.killed || s == syscall.SIGKILL
		_ = syscall.Kill(-p.pid, s) // fails where the group has just ended
	}
}

// finished, stop and kill make the command a [task].
func (p *process) finished() <-chan struct{} { return p.done }
func (p *process) stop()                     { p.signal(syscall.SIGTERM) }
func (p *process) kill()                     { p.signal(syscall.SIGKILL) }

// ended says whether the main process has ended.
func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// result says how the command ended of itself; exhausted, that the kernel killed
// something for want of memory meanwhile. It is for after p.done.
func (p *process) result(exhausted bool) project.Result {
	kept, _ := p.stderr.bytes()
	said := project.ClipError(string(kept))
	status, _ := p.state.Sys().(syscall.WaitStatus)
	exhausted = exhausted && !p.killed
	switch {
	case status.Signaled():
		sentence := fmt.Sprintf("The command was killed by signal %s (%d)", unix.SignalName(status.Signal()), status.Signal())
		if exhausted && status.Signal() == syscall.SIGKILL {
			sentence = outOfMemory
		}
		// The sentence last, for what is too long loses its beginning.
		return project.Result{
			Outcome: project.OutcomeFailed, ExitCode: codeSignalled + int(status.Signal()),
			Error: project.ClipError(said + "\n" + sentence),
		}
	case status.ExitStatus() == 0:
		return project.Result{Outcome: project.OutcomeCompleted}
	case exhausted && status.ExitStatus() == codeSignalled+int(syscall.SIGKILL):
		// So says a shell of what it started.
		said = project.ClipError(said + "\n" + outOfMemory)
	case said == "":
		said = fmt.Sprintf("The command exited with code %d", status.ExitStatus())
	}
	return project.Result{Outcome: project.OutcomeFailed, ExitCode: status.ExitStatus(), Error: said}
}

const outOfMemory = "The command ran out of memory and was killed"

// startFailure says in the tenant's terms why a command could not be started.
func startFailure(argv []string, err error) project.Result {
	r := project.Result{Outcome: project.OutcomeFailed, ExitCode: codeNotExecutable}
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		r.ExitCode = codeNotFound
		r.Error = fmt.Sprintf("The command %q was not found", argv[0])
	case errors.Is(err, fs.ErrPermission):
		r.Error = fmt.Sprintf("The command %q may not be executed", argv[0])
	case errors.Is(err, syscall.E2BIG):
		r.Error = "The command could not be started: the project's name, description and objectives are too long to be handed to it (128 KB each, on Linux)"
	default:
		// The error of an argument or a variable with a NUL holds the text.
		text := err.Error()
		if strings.Contains(text, "NUL") || errors.Is(err, syscall.EINVAL) {
			text = "the command or a field of the project holds a NUL character"
		}
		r.Error = "The command could not be started: " + text
	}
	r.Error = project.ClipError(r.Error)
	return r
}
