package runner

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// ending is why a task ended.
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

// task is what is supervised: the command, and then the upload of its output.
type task interface {
	finished() <-chan struct{} // closed when there is nothing left to wait for
	ended() bool               // too late to stop it
	stop()                     // asks it to end
	kill()                     // ends it
}

// supervise returns when a task has ended and says why. It stops the task when
// the limit comes, when ctx is done and when the attempt is closed, and after a
// grace kills it. The first cause counts; a later one can only shorten the grace.
// Before it stops at the limit it asks once more: the owner may have extended the
// execution since the last heartbeat.
func (e *execution) supervise(ctx context.Context, t task) ending {
	// Heartbeats have a goroutine, so that a slow API delays no stop. They go
	// on while the command is being stopped.
	beating, cancel := context.WithCancel(context.WithoutCancel(ctx))
	pulses, ask := make(chan pulse), make(chan struct{}, 1)
	var heart sync.WaitGroup
	heart.Go(func() { e.beat(beating, ask, pulses) })
	defer func() { cancel(); heart.Wait() }()

	reached, disarm := e.cfg.Clock.At(e.limit)
	defer func() { disarm() }()
	stopped := ctx.Done()

	cause := endedItself
	var kill *time.Timer
	var killAt time.Time
	killed := make(<-chan time.Time)
	var unanswered <-chan time.Time // while the answer about the limit is awaited
	stop := func(why ending, grace time.Duration) {
		if t.ended() {
			return // by itself, a moment before
		}
		if cause == endedItself {
			cause = why
			e.log.Info("stopping", "cause", why.String(), "grace_seconds", grace.Seconds())
			t.stop()
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
		case <-t.finished():
			return cause
		case <-reached:
			reached = nil
			if !t.ended() {
				unanswered = time.After(e.cfg.RequestTimeout)
				ask <- struct{}{}
			}
		case <-unanswered:
			unanswered = nil
			stop(limitReached, e.cfg.Grace)
		case <-stopped:
			stopped = nil
			stop(engineStopped, min(e.cfg.Grace, e.cfg.StopWithin/2))
		case <-killed:
			e.log.Warn("killing what did not stop")
			t.kill()
		case b := <-pulses:
			if b.closed {
				stop(attemptClosed, e.cfg.Grace)
				continue
			}
			if cause != endedItself || unanswered != nil && !b.asked {
				continue
			}
			extended := b.timesOutAt.After(e.limit)
			if !b.timesOutAt.IsZero() {
				e.limit = b.timesOutAt
			}
			if unanswered != nil {
				unanswered = nil
				if !extended {
					stop(limitReached, e.cfg.Grace)
					continue
				}
				e.log.Info("the execution was extended", "times_out_at", e.limit)
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
	asked      bool // it was sent for the limit's sake
}

// beat sends heartbeats, at their times and when it is asked to, until ctx is done
// or the attempt is closed.
func (e *execution) beat(ctx context.Context, ask <-chan struct{}, pulses chan<- pulse) {
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
		b := pulse{}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		case <-ask:
			b.asked = true
		}
		e.flush()
		answer, err := e.heartbeat(ctx)
		switch {
		case err == nil:
			b.timesOutAt = answer.TimesOutAt
			if e.silent {
				e.log.Info("heartbeats arrive again")
			}
		case isClosed(err):
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
		e.show(ctx, answer.Logs)
	}
}

// isClosed says whether a call was refused because the attempt is closed.
func isClosed(err error) bool {
	status := refused(err)
	return status == http.StatusConflict || status == http.StatusUnauthorized
}
