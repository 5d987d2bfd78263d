package runner

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"rekindle/internal/project"
)

// MaxTail is how many bytes of the command's stdout, and of its stderr, are
// kept: the last ones.
const MaxTail = project.MaxLog

// tail keeps the last [MaxTail] bytes of what was written to it. Its memory
// does not grow. It is safe for concurrent use.
type tail struct {
	mu    sync.Mutex
	ring  [MaxTail]byte
	total int64 // bytes ever written; the next one goes to total % MaxTail
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if skip := n - MaxTail; skip > 0 {
		p = p[skip:]
		t.total += int64(skip)
	}
	for len(p) > 0 {
		c := copy(t.ring[t.total%MaxTail:], p)
		p = p[c:]
		t.total += int64(c)
	}
	return n, nil
}

// bytes returns what is kept, oldest first, and how much was ever written.
func (t *tail) bytes() (kept []byte, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.total <= MaxTail {
		return append(kept, t.ring[:t.total]...), t.total
	}
	at := t.total % MaxTail
	return append(append(kept, t.ring[at:]...), t.ring[:at]...), t.total
}

// written returns how much was ever written.
func (t *tail) written() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

// logFile shows a tail in a file. It is for one goroutine at a time.
type logFile struct {
	path  string
	tail  *tail
	total int64 // what the file shows; -1 for no file yet
}

func newLogFile(dir, name string, t *tail) *logFile {
	return &logFile{path: filepath.Join(dir, name), tail: t, total: -1}
}

// flush brings the file up to date. A reader sees the old or the new content,
// never a part.
func (l *logFile) flush() error {
	kept, total := l.tail.bytes()
	if total == l.total {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(l.path), "."+filepath.Base(l.path)+"-*")
	if err != nil {
		return fmt.Errorf("make a log file: %w", err)
	}
	_, err = f.Write(kept)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), l.path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", filepath.Base(l.path), err)
	}
	l.total = total
	return nil
}

// drain copies r to the tail until r ends or is closed, and closes it.
func (t *tail) drain(r io.ReadCloser) {
	defer r.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		t.Write(buf[:n])
		if err != nil {
			return
		}
	}
}
