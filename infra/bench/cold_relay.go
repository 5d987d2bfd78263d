package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"rekindle/internal/project"
)

// relay leads a program's connections on to the emulator's runtime API, and notes
// when the program first asked for an invocation.
type relay struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	first time.Time
	conns map[net.Conn]bool // nil once closed
	done  sync.WaitGroup
}

// nextPath is what a runtime asks for its next invocation by (AWS Lambda runtime
// API).
const nextPath = "/runtime/invocation/next"

func openRelay(to string) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("a relay to the emulator: %w", err)
	}
	r := &relay{listener: l, to: to, conns: map[net.Conn]bool{}}
	r.done.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // closed
			}
			r.done.Go(func() { r.pass(in) })
		}
	})
	return r, nil
}

func (r *relay) address() string { return r.listener.Addr().String() }

// asked is when an invocation was first asked for.
func (r *relay) asked() (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first, !r.first.IsZero()
}

// pass copies both ways until either side is done.
func (r *relay) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", r.to)
	if err != nil {
		return // the program sees its connection end
	}
	defer out.Close()
	if !r.keep(in, out) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(out, io.TeeReader(in, r))
		_ = out.Close()
	})
	both.Go(func() {
		_, _ = io.Copy(in, out)
		_ = in.Close()
	})
	both.Wait()
}

// Write looks at what a program sends: a request without a body is sent as one.
func (r *relay) Write(p []byte) (int, error) {
	at := time.Now()
	line, _, _ := bytes.Cut(p, []byte("\r\n"))
	if bytes.HasPrefix(line, []byte("GET ")) && bytes.Contains(line, []byte(nextPath)) {
		r.mu.Lock()
		if r.first.IsZero() {
			r.first = at
		}
		r.mu.Unlock()
	}
	return len(p), nil
}

func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		return false
	}
	for _, c := range conns {
		r.conns[c] = true
	}
	return true
}

func (r *relay) close() error {
	err := r.listener.Close()
	r.mu.Lock()
	for c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.done.Wait()
	return err
}

// awaitListener waits until somebody listens at an address.
func awaitListener(ctx context.Context, address string) error {
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-again.C:
		case <-limit.C:
			return fmt.Errorf("the emulator does not listen: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// serveEngine serves an AWS Batch that takes every job and knows none: what the
// engine would take is not Rekindle's. Anything but Batch's calls is refused.
func serveEngine() (endpoint string, stop func() error, err error) {
	return serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		var in struct{ JobName string }
		var out any = map[string]any{}
		switch strings.TrimPrefix(r.URL.Path, "/v1/") {
		case "submitjob":
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.JobName == "" {
				http.Error(w, "{}", http.StatusBadRequest)
				return
			}
			out = map[string]string{"jobName": in.JobName, "jobId": project.NewToken()}
		case "listjobs":
			out = map[string]any{"jobSummaryList": []any{}}
		case "terminatejob":
		default:
			http.Error(w, "{}", http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(out) // nobody is left to tell if the caller has gone
	}))
}
