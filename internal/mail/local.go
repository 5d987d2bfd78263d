package mail

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Local delivers to the person at this machine: each mail goes into a file and
// onto the console. It is the one place where a login code may be seen.
type Local struct {
	dir     string
	console io.Writer
	now     func() time.Time

	mu sync.Mutex
}

// NewLocal makes a sender whose mails go into dir, which is made at the first,
// and onto console. A nil now is the system's clock.
func NewLocal(dir string, console io.Writer, now func() time.Time) *Local {
	if now == nil {
		now = time.Now
	}
	return &Local{dir: dir, console: console, now: now}
}

// Send writes a file that its owner alone can read, named for the time and the
// receiver, and prints the mail.
func (l *Local) Send(_ context.Context, to, subject, text string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return fmt.Errorf("the folder of mails: %w", err)
	}
	message := fmt.Sprintf("To: %s\nSubject: %s\n\n%s", to, subject, text)
	name := l.now().UTC().Format("20060102T150405.000000000Z") + "-" + fileName(to) + ".txt"
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(message), 0o600); err != nil {
		return fmt.Errorf("writing a mail: %w", err)
	}
	if _, err := fmt.Fprintf(l.console, "--- mail ---\n%s------------\n", message); err != nil {
		return fmt.Errorf("printing a mail: %w", err)
	}
	return nil
}

// fileName makes an address fit to be part of a file's name.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '@' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, s)
	return s[:min(len(s), 100)]
}
