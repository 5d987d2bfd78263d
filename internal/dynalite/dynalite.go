// Package dynalite runs dynalite, an npm package that speaks DynamoDB's wire
// protocol, as a child process. The local stack keeps its data in one, and the
// store's tests run against one.
//
// The child is infra/local/dynalite.mjs. It lives as long as the pipe to its
// stdin is open, so it ends with the process that started it, however that one
// ends.
package dynalite

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How long [Start] waits for the first line, and [Server.Close] for the end.
const (
	startTimeout = 30 * time.Second
	closeTimeout = 5 * time.Second
)

// Server is a running dynalite.
type Server struct {
	endpoint string
	stdin    io.Closer
	cmd      *exec.Cmd
	stderr   tail

	closing sync.Once
	done    chan struct{}
	err     error // why it ended; read after done is closed
}

// Start starts a dynalite on a free port of 127.0.0.1 and returns once it
// serves. Its data is in dir, which is made if need be and belongs to one
// server at a time; an empty dir keeps the data in memory. Ctx bounds the
// start alone: the server runs until Close, or the end of this process.
//
// The error says what to do when node or its packages are missing.
func Start(ctx context.Context, dir string) (*Server, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	local := filepath.Join(root, "infra", "local")
	if _, err := os.Stat(filepath.Join(local, "node_modules", "dynalite", "package.json")); err != nil {
		return nil, fmt.Errorf("dynalite is not installed in %s: run make deps", local)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, errors.New("the local database needs Node.js 20 or newer, and there is no node in PATH")
	}
	args := []string{filepath.Join(local, "dynalite.mjs")}
	if dir != "" {
		dir, err = filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("dynalite's data folder: %w", err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("dynalite's data folder: %w", err)
		}
		args = append(args, "--path", dir)
	}

	s := &Server{cmd: exec.Command(node, args...), done: make(chan struct{})}
	s.cmd.Dir = local
	s.cmd.Stderr = &s.stderr
	s.cmd.WaitDelay = closeTimeout
	s.stdin, err = s.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start dynalite: %w", err)
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start dynalite: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start dynalite: %w", err)
	}

	first := make(chan string, 1)
	go func() {
		r := bufio.NewReader(stdout)
		line, _ := r.ReadString('\n')
		first <- line
		_, _ = io.Copy(io.Discard, r)
		s.err = s.cmd.Wait()
		if said := s.stderr.String(); s.err != nil && said != "" {
			s.err = fmt.Errorf("%w: %s", s.err, said)
		}
		close(s.done)
	}()

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case line := <-first:
		err = s.serves(line)
	case <-ctx.Done():
		err = fmt.Errorf("dynalite did not start: %w", ctx.Err())
		_ = s.cmd.Process.Kill()
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// serves reads the line by which dynalite.mjs says where it serves.
func (s *Server) serves(line string) error {
	var answer struct {
		Port  int    `json:"port"`
		Error string `json:"error"`
	}
	err := json.Unmarshal([]byte(line), &answer)
	switch {
	case answer.Error != "":
		return fmt.Errorf("dynalite did not start: %s", answer.Error)
	case err != nil || answer.Port == 0:
		<-s.done // it printed nothing of use, so it has ended or is about to
		return fmt.Errorf("dynalite did not start: %w", errors.Join(errors.New(strings.TrimSpace(line)), s.err))
	}
	s.endpoint = "http://127.0.0.1:" + strconv.Itoa(answer.Port)
	return nil
}

// Endpoint returns the server's base URL, such as http://127.0.0.1:34567.
func (s *Server) Endpoint() string { return s.endpoint }

// Done is closed when the server has ended, by Close or by itself.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says why the server ended; nil before its end and after an orderly one.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Close stops the server, after the requests that it is answering, and waits
// for its end; one that takes longer than five seconds is killed. What was
// written stays in the server's folder. Closing again does no harm.
func (s *Server) Close() error {
	s.closing.Do(func() { _ = s.stdin.Close() })
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	return s.err
}

// moduleRoot returns the folder that holds this module's go.mod: the nearest
// one above the working folder, or above this source file.
func moduleRoot() (string, error) {
	starts := make([]string, 0, 2)
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	for _, dir := range starts {
		for {
			if text, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && bytes.HasPrefix(text, []byte("module rekindle\n")) {
				return dir, nil
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	return "", errors.New("there is no go.mod of rekindle above the working folder: start this inside the source tree")
}

// tail keeps the end of what is written to it, trimmed.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 2048
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - most; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
