package runner

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"rekindle/internal/project"
)

// ending is why a command ended.
type ending int

const (
	endedItself ending = iota
	limitReached
	engineStopped
	attemptClosed
)

func (e ending) String() string {
	return [...]string{"ended by itself", "its limit was reached", "the engine stops the runner", "the attempt was closed"}[e]
}

// execution is the work that a grant allows.
type execution struct {
	*Runner
	grant    project.Grant
	limit    time.Time // as the API last said
	progress *progressFile
	sent     project.Progress // as a heartbeat last said
	logs     []*logFile
	silent   bool // the last heartbeat did not arrive
}

// perform runs the command to its end and says how it ended. A command that
// can't be started has failed.
func (e *execution) perform(ctx context.Context) (project.Result, ending) {
	if ctx.Err() != nil {
		return stoppedByEngine(0), engineStopped
	}
	if why := e.prepare(); why != "" {
		e.log.Warn("the command was not started", "error", why)
		return project.Result{Outcome: project.OutcomeFailed, ExitCode: codeNotExecutable, Error: project.ClipError(why)}, endedItself
	}
	argv := commandLine(e.cfg.Command)
	env := commandEnv(e.cfg.Environ, e.grant, e.grant.OutputFolder, e.progress.path())
	p, err := startProcess(argv, e.grant.OutputFolder, env, e.cfg.PipeGrace)
	if err != nil {
		e.progress.remove()
		e.progress = nil
		e.log.Warn("the command was not started", "error", err)
		return startFailure(argv, err), endedItself
	}
	e.log.Info("started", "pid", p.pid)
	e.openLogs(p)

	cause := e.supervise(ctx, p)
	e.flush()
	e.progress.latest() // the file goes, what it said stays
	e.progress.remove()
	result := p.result()
	e.log.Info("ended", "cause", cause.String(), "exit_code", result.ExitCode)
	switch cause {
	case limitReached:
		result = timedOut(e.limit, result.ExitCode)
	case engineStopped:
		result = stoppedByEngine(result.ExitCode)
	}
	return result, cause
}

// prepare makes what the command needs. Where it can't, it says why, in a
// sentence for tenants.
func (e *execution) prepare() (why string) {
	if strings.TrimSpace(e.cfg.Command) == "" {
		return "No command is configured: " + SettingCommand + " is empty"
	}
	output := e.grant.OutputFolder
	if !filepath.IsAbs(output) {
		return fmt.Sprintf("Output to %q is not supported by this runner", output)
	}
	if err := os.MkdirAll(output, 0o755); err != nil {
		return fmt.Sprintf("The output folder could not be made: %v", err)
	}
	progress, err := newProgressFile()
	if err != nil {
		return fmt.Sprintf("The execution could not be prepared: %v", err)
	}
	e.progress = progress
	return ""
}

// openLogs arranges for the command's output to be seen. Where that fails the
// work goes on all the same.
func (e *execution) openLogs(p *process) {
	dir := e.cfg.LogDir
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		e.log.Warn("the log folder could not be made", "error", err)
		return
	}
	e.logs = []*logFile{newLogFile(dir, "stdout.log", &p.stdout), newLogFile(dir, "stderr.log", &p.stderr)}
}

func (e *execution) flush() {
	for _, l := range e.logs {
		if err := l.flush(); err != nil {
			e.log.Warn("the command's output could not be shown", "error", err)
		}
	}
}

// supervise returns when the command has ended and says why. It stops the
// command when its limit comes, when ctx is done and when the attempt is
// closed: SIGTERM, and after a grace SIGKILL. The first cause counts; a later
// one can only shorten the grace.
func (e *execution) supervise(ctx context.Context, p *process) ending {
	// Heartbeats have a goroutine, so that a slow API delays no stop. They go
	// on while the command is being stopped.
	beating, cancel := context.WithCancel(context.WithoutCancel(ctx))
	pulses := make(chan pulse)
	var heart sync.WaitGroup
	heart.Go(func() { e.beat(beating, pulses) })
	defer func() { cancel(); heart.Wait() }()

	reached, disarm := e.cfg.Clock.At(e.limit)
	defer func() { disarm() }()
	stopped := ctx.Done()

	cause := endedItself
	var kill *time.Timer
	var killAt time.Time
	killed := make(<-chan time.Time)
	stop := func(why ending, grace time.Duration) {
		if p.ended() {
			return // by itself, a moment before
		}
		if cause == endedItself {
			cause = why
			e.log.Info("stopping the command", "cause", why.String(), "grace_seconds", grace.Seconds())
			p.signal(syscall.SIGTERM)
		}
		if at := time.Now().Add(grace); kill == nil || at.Before(killAt) {
			if kill != nil {
				kill.Stop()
			}
			kill, killAt = time.NewTimer(grace), at
			killed = kill.C
		}
	}
	defer func() {
		if kill != nil {
			kill.Stop()
		}
	}()

	for {
		select {
		case <-p.done:
			return cause
		case <-reached:
			reached = nil
			stop(limitReached, e.cfg.Grace)
		case <-stopped:
			stopped = nil
			stop(engineStopped, min(e.cfg.Grace, e.cfg.StopWithin/2))
		case <-killed:
			e.log.Warn("killing the command, which did not stop")
			p.signal(syscall.SIGKILL)
		case b := <-pulses:
			if b.closed {
				stop(attemptClosed, e.cfg.Grace)
				continue
			}
			if cause != endedItself {
				continue
			}
			if !b.timesOutAt.IsZero() {
				e.limit = b.timesOutAt
			}
			disarm()
			reached, disarm = e.cfg.Clock.At(e.limit)
		}
	}
}

// pulse is what came of a heartbeat: the limit, zero where the API could not
// be reached, or that the attempt is closed.
type pulse struct {
	timesOutAt time.Time
	closed     bool
}

// beat sends heartbeats until ctx is done or the attempt is closed.
func (e *execution) beat(ctx context.Context, pulses chan<- pulse) {
	every := e.cfg.Heartbeat
	if every == 0 {
		every = time.Duration(e.grant.HeartbeatSeconds) * time.Second
	}
	if every <= 0 {
		every = DefaultHeartbeat
	}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		e.flush()
		b := pulse{}
		limit, err := e.heartbeat(ctx)
		switch status := refused(err); {
		case err == nil:
			b.timesOutAt = limit
			if e.silent {
				e.log.Info("heartbeats arrive again")
			}
		case status == http.StatusConflict, status == http.StatusUnauthorized:
			b.closed = true
		case !e.silent && ctx.Err() == nil:
			e.log.Warn("a heartbeat did not arrive, the work goes on", "error", err)
		}
		e.silent = err != nil
		select {
		case pulses <- b:
		case <-ctx.Done():
			return
		}
		if b.closed {
			return
		}
	}
}

// news returns the command's progress where no heartbeat has told it yet.
func (e *execution) news() *project.Progress {
	p := e.progress.last
	if p == nil || *p == e.sent {
		return nil
	}
	return p
}

// heartbeat sends one heartbeat and returns the limit that it was answered
// with.
func (e *execution) heartbeat(ctx context.Context) (time.Time, error) {
	e.progress.latest()
	news := e.news()
	var answer project.Pulse
	err := e.api.post(ctx, "heartbeat", e.grant.ReportToken, project.Heartbeat{Progress: news}, &answer)
	if err == nil && news != nil {
		e.sent = *news
	}
	return answer.TimesOutAt, err
}
