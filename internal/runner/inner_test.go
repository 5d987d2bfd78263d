package runner

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/secretwatch"
)

func TestProgressLines(t *testing.T) {
	long := strings.Repeat("é", 200)
	for _, c := range []struct {
		text    string
		percent int
		message string
		ok      bool
	}{
		{"40 Generating pages\n", 40, "Generating pages", true},
		{"40% Generating pages\n", 40, "Generating pages", true},
		{"40\n", 40, "", true},
		{"40%\n", 40, "", true},
		{"  40\t tabbed \r\n", 40, "tabbed", true},
		{"0 begun\n", 0, "begun", true},
		{"140 too much\n", 100, "too much", true},
		{"-5 too little\n", 0, "too little", true},
		{"10 one\n20 two\n", 20, "two", true},
		{"10 one\n20 tw", 10, "one", true},
		{"10 one\nnonsense\n\n \n", 10, "one", true},
		{"10 one\n99999999999999999999 x\n", 10, "one", true},
		{"10 \xff\xfe\x00bin\n", 10, "\uFFFDbin", true},
		{"10 " + long + "\n", 10, long[:project.MaxProgressMessage], true},
		{"40", 0, "", false},
		{"", 0, "", false},
		{"\n\n", 0, "", false},
		{"forty\n", 0, "", false},
		{"4O x\n", 0, "", false},
		{"40.5 x\n", 0, "", false},
		{"%\n", 0, "", false},
		{"40%% x\n", 0, "", false},
		{"40x\n", 0, "", false},
	} {
		got, ok := lastProgress([]byte(c.text))
		if want := (project.Progress{Percent: c.percent, Message: c.message}); ok != c.ok || got != want {
			t.Errorf("%q: got %+v, %t; want %+v, %t", c.text, got, ok, want, c.ok)
		}
	}
}

func TestProgressFileIsReadFromItsEnd(t *testing.T) {
	p, err := newProgressFile()
	if err != nil {
		t.Fatal(err)
	}
	defer p.remove()
	add := func(text string) {
		t.Helper()
		if _, err := p.file.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	wants := func(percent int) {
		t.Helper()
		got := p.latest()
		if got == nil || got.Percent != percent {
			t.Errorf("got %+v, want %d %%", got, percent)
		}
	}
	if got := p.latest(); got != nil {
		t.Errorf("empty file: got %+v, want none", got)
	}
	add("10 begun\n")
	wants(10)
	// A line that fills the window hides what is before it, and what was known
	// stays known.
	add("20 " + strings.Repeat("x", progressWindow) + "\n")
	wants(10)
	add("30 on\n")
	wants(30)
	add(strings.Repeat("40 many lines\n", 3*progressWindow/14))
	wants(40)
	// A window that begins in the middle of a line takes no part for a line.
	add("99 " + strings.Repeat("7 ", progressWindow/2) + "\nnonsense\n")
	wants(40)
	if err := p.file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	wants(40)
	if _, err := p.file.WriteAt([]byte("50 rewritten\n"), 0); err != nil {
		t.Fatal(err)
	}
	wants(50)
}

func TestTailKeepsTheEndOfWhatWasWritten(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var ring tail
	var last []byte // more than a tail of what was written
	var written int64
	for range 200 {
		p := make([]byte, rng.IntN(MaxTail/10))
		if rng.IntN(20) == 0 {
			p = make([]byte, MaxTail-1+rng.IntN(MaxTail))
		}
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		if n, err := ring.Write(p); n != len(p) || err != nil {
			t.Fatalf("got %d, %v; want %d", n, err, len(p))
		}
		last = append(last, p...)
		last = last[max(len(last)-MaxTail, 0):]
		written += int64(len(p))
		if kept, total := ring.bytes(); !bytes.Equal(kept, last) || total != written {
			t.Fatalf("after %d bytes: kept %d that differ, counted %d", written, len(kept), total)
		}
	}
}

// handClock lets a test hand an instant over.
type handClock chan struct{}

func (handClock) Now() time.Time                                        { return time.Time{} }
func (c handClock) At(time.Time) (reached <-chan struct{}, stop func()) { return c, func() {} }

// A command that has ended while its output is still held open has ended by
// itself, whatever comes before the output is complete.
func TestEndBeforeTheLimitStandsWhileOutputIsHeldOpen(t *testing.T) {
	limit := make(handClock)
	e := &execution{Runner: &Runner{log: secretwatch.New(slog.DiscardHandler), cfg: Config{Clock: limit, Heartbeat: time.Hour, Grace: time.Hour}}}
	p := &process{exited: make(chan struct{}), done: make(chan struct{}), gone: true}
	close(p.exited)
	cause := make(chan ending)
	go func() { cause <- e.supervise(t.Context(), p) }()
	limit <- struct{}{}
	close(p.done)
	if got := <-cause; got != endedItself {
		t.Errorf("got %q, want %q", got, endedItself)
	}
}
