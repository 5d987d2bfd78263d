package runner

import (
	"context"
	"errors"
	"sync"

	"rekindle/internal/project"
)

// news returns the command's progress where no heartbeat has told it yet.
func (e *execution) news() *project.Progress {
	p := e.progress.last
	if p == nil || *p == e.sent {
		return nil
	}
	return p
}

// heartbeat sends one heartbeat and returns its answer.
func (e *execution) heartbeat(ctx context.Context) (project.Pulse, error) {
	e.progress.latest()
	news := e.news()
	var answer project.Pulse
	err := e.api.post(ctx, "heartbeat", e.grant.ReportToken, project.Heartbeat{Progress: news, Logs: e.offer()}, &answer)
	if err == nil && news != nil {
		e.sent = *news
	}
	return answer, err
}

// tell makes one try to send what no heartbeat has sent yet: the end of the logs,
// and how far a command came that has not completed.
func (e *execution) tell(ctx context.Context, result project.Result) {
	failed := result.Outcome == project.OutcomeFailed
	if ctx.Err() != nil || !(failed && e.news() != nil) && e.offer() == nil {
		return
	}
	answer, err := e.heartbeat(ctx)
	if err != nil {
		e.log.Warn("the last progress and logs could not be sent", "error", err)
		return
	}
	e.show(ctx, answer.Logs)
}

// stream is what the command writes to one of its outputs, as it is shown in the
// cloud. It is for one goroutine at a time.
type stream struct {
	name  string
	tail  *tail
	shown int64  // bytes of the command's that were written when it was last shown
	kept  []byte // offered: nil for nothing new
	total int64  // bytes of the command's that were written when it was offered
}

// offer says how much of the logs there is to show, and keeps it; nil if it was
// shown before, or is not to be.
func (e *execution) offer() *project.LogSizes {
	select {
	case <-e.stopped:
		return nil // there is no time
	default:
	}
	var sizes project.LogSizes
	for _, s := range e.streams {
		s.kept = nil
		if s.tail.written() != s.shown {
			s.kept, s.total = s.tail.bytes()
		}
		if s.name == "stdout" {
			sizes.Stdout = int64(len(s.kept))
		} else {
			sizes.Stderr = int64(len(s.kept))
		}
	}
	if sizes == (project.LogSizes{}) {
		return nil
	}
	return &sizes
}

// show sends the logs that were offered to where a heartbeat's answer says; nil is
// nowhere. A log that can't be shown stops nothing.
func (e *execution) show(ctx context.Context, links *project.LogLinks) {
	if links == nil {
		return
	}
	sooner, cancel := context.WithTimeout(ctx, e.cfg.RequestTimeout)
	defer cancel()
	urls := map[string]string{"stdout": links.Stdout, "stderr": links.Stderr}
	errs := make([]error, len(e.streams))
	var sending sync.WaitGroup
	for i, s := range e.streams {
		if s.kept == nil || urls[s.name] == "" {
			continue
		}
		sending.Go(func() {
			if errs[i] = e.store.put(sooner, urls[s.name], s.kept); errs[i] == nil {
				s.shown = s.total
			}
			s.kept = nil
		})
	}
	sending.Wait()
	err := errors.Join(errs...)
	if err != nil && !e.unseen && ctx.Err() == nil {
		e.log.Warn("the command's output could not be shown", "error", err)
	}
	e.unseen = err != nil
}
