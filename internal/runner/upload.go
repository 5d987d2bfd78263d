package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"rekindle/internal/archive"
	"rekindle/internal/project"
)

// maxPart is how many bytes of a part the runner is ready to hold in memory.
const maxPart = 64 << 20

// maxStrikes is how often in a row the store may refuse a part, each time at
// another URL, before that counts as its last word. Once would be too few: a URL
// or the credentials that signed it may have expired.
const maxStrikes = 3

// storing is an upload that is under way: a [task].
type storing struct {
	done   chan struct{}
	cancel context.CancelFunc
	err    error // for after done
}

func (s *storing) finished() <-chan struct{} { return s.done }
func (s *storing) stop()                     { s.cancel() }
func (s *storing) kill()                     { s.cancel() }
func (s *storing) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// storeOutput uploads what the command wrote and says how the execution ended by
// that. Only what is stored whole counts as success.
func (e *execution) storeOutput(ctx context.Context) (project.Result, ending) {
	if ctx.Err() != nil {
		return stoppedByEngine(0, beforeStored), engineStopped
	}
	uploading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &storing{done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(s.done)
		defer cancel()
		s.err = e.uploadOutput(uploading)
	}()
	cause := e.supervise(ctx, s)
	switch {
	case cause == attemptClosed || isClosed(s.err):
		return project.Result{}, attemptClosed
	case s.err == nil: // though something else may have come in the same moment
		return project.Result{Outcome: project.OutcomeCompleted}, endedItself
	case cause == limitReached:
		return timedOut(e.limit, 0, beforeStored), cause
	case cause == engineStopped:
		return stoppedByEngine(0, beforeStored), cause
	}
	e.log.Warn("the output was not stored", "error", s.err)
	return project.Result{Outcome: project.OutcomeFailed, Error: project.ClipError(uploadFailure(s.err))}, cause
}

// uploadFailure says in the tenant's terms why an output was not stored.
func uploadFailure(err error) string {
	var no *refusal
	switch {
	case errors.As(err, &no) && no.Code == string(project.CodeOutputTooLarge):
		return no.Detail
	case errors.As(err, &no) && no.Detail != "":
		return "The output could not be stored: " + no.Detail
	case errors.As(err, &no):
		return fmt.Sprintf("The output could not be stored: the API answered with status %d", no.Status)
	}
	return err.Error()
}

// uploadOutput sends a zip of the output folder, in parts that are held in memory
// one at a time. It tries each step until that is done or refused for good, or ctx
// is done.
func (e *execution) uploadOutput(ctx context.Context) error {
	folder, err := archive.OpenFolder(e.around, filepath.Base(e.dir))
	if errors.Is(err, fs.ErrNotExist) {
		return &final{"The output folder is not there any more: the command removed or replaced it"}
	}
	if err != nil {
		return &final{"The output could not be read: " + err.Error()}
	}
	defer folder.Close()
	var up project.Upload
	if err := e.insist(ctx, "upload", struct{}{}, &up); err != nil {
		return err
	}
	if up.UploadID == "" || up.PartBytes < 5<<20 || up.PartBytes > maxPart || up.LimitBytes < 1 {
		return &final{"The output could not be stored: the API's answer does not say how"}
	}
	w := &parts{ctx: ctx, execution: e, upload: up, buf: make([]byte, 0, up.PartBytes)}
	err = archive.Write(w, folder)
	if w.err != nil {
		return w.err
	}
	if err != nil {
		return &final{"The output could not be read: " + err.Error()}
	}
	if err := w.send(); err != nil {
		return err
	}
	var stored project.Stored
	if err := e.insist(ctx, "upload/complete", project.UploadComplete{UploadID: up.UploadID, Parts: w.sent, Bytes: w.bytes}, &stored); err != nil {
		return err
	}
	e.log.Info("the output is stored", "parts", w.sent, "bytes", w.bytes)
	return nil
}

// insist makes a call with the report token until it is answered or refused, or
// ctx is done.
func (e *execution) insist(ctx context.Context, call string, in, out any) error {
	return e.api.retry(ctx, ctx.Done(), func() error { return e.api.post(ctx, call, e.grant.ReportToken, in, out) })
}

// parts sends what is written to it, in parts. Once it has failed it fails.
type parts struct {
	*execution
	ctx    context.Context
	upload project.Upload
	buf    []byte // of the part that is next
	sent   int
	bytes  int64 // that were sent
	err    error
}

func (w *parts) Write(p []byte) (n int, err error) {
	for len(p) > 0 && w.err == nil {
		if w.err = w.ctx.Err(); w.err != nil {
			break
		}
		c := min(len(p), cap(w.buf)-len(w.buf))
		w.buf, p, n = append(w.buf, p[:c]...), p[c:], n+c
		if len(w.buf) == cap(w.buf) {
			w.err = w.send()
		} else if w.bytes+int64(len(w.buf)) > w.upload.LimitBytes {
			w.err = &final{project.TooLarge(w.upload.LimitBytes).Error()}
		}
	}
	return n, w.err
}

// send sends what was written as the next part, if there is something.
func (w *parts) send() error {
	size := int64(len(w.buf))
	switch {
	case size == 0:
		return nil
	case w.bytes+size > w.upload.LimitBytes || w.sent == project.MaxParts:
		return &final{project.TooLarge(w.upload.LimitBytes).Error()}
	}
	ask := project.UploadPart{UploadID: w.upload.UploadID, Part: w.sent + 1, Bytes: size}
	strikes := 0
	err := w.api.retry(w.ctx, w.ctx.Done(), func() error {
		var link project.PartLink
		if err := w.api.post(w.ctx, "upload/part", w.grant.ReportToken, ask, &link); err != nil {
			return err
		}
		err := w.store.put(w.ctx, link.URL, w.buf)
		var no *storeRefusal
		if !errors.As(err, &no) || no.passes() {
			strikes = 0
			return err
		}
		if strikes++; strikes == maxStrikes {
			return &final{"The output could not be stored: " + no.Error()}
		}
		return err
	})
	if err != nil {
		return err
	}
	w.sent, w.bytes, w.buf = w.sent+1, w.bytes+size, w.buf[:0]
	return nil
}
