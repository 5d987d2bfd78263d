package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"sync"
	"testing"
)

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// freePort returns a port that nobody had a moment ago, for a program that takes
// no listener.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// lines keeps what is written to it, and says when a text was seen.
type lines struct {
	seen chan struct{}
	want []byte

	mu   sync.Mutex
	text bytes.Buffer
	once sync.Once
}

func newLines(want string) *lines { return &lines{seen: make(chan struct{}), want: []byte(want)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if bytes.Contains(l.text.Bytes(), l.want) {
		l.once.Do(func() { close(l.seen) })
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
