package launch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// filesOf returns the names of what is in the records' folder.
func filesOf(t *testing.T, l *Local) []string {
	t.Helper()
	entries, err := os.ReadDir(l.recordsDir())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestRecordThatCouldNotBeWrittenLeavesNothing(t *testing.T) {
	l := newBench(t, "").local()
	r := newRecord("job", testRef)
	// A folder with something in it is what no file can be moved over.
	if err := os.MkdirAll(filepath.Join(l.recordPath("job"), "in-it"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.write(r); err == nil {
		t.Fatal("got no error")
	}
	if got, want := filesOf(t, l), []string{"job.json"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestHalfWrittenRecordOfAKilledProcessIsRemoved(t *testing.T) {
	b := newBench(t, "")
	first := b.local()
	for _, name := range []string{"cut.json.partial", "kept.json", "kept.json.partial"} {
		if err := os.WriteFile(filepath.Join(first.recordsDir(), name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := filesOf(t, b.local()), []string{"kept.json"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A process that is killed between starting a runner and keeping its number
// leaves a runner that may claim at any moment. To call it dead would let a
// restart run beside it.
func TestAdoptFindsTheRunnerWhoseNumberWasNotKept(t *testing.T) {
	b := newBench(t, `trap 'exit 0' TERM; echo up > "$SAY"; sleep 1000 & wait`)
	before := b.local()
	id := b.launch(before, testRef)
	b.heard()
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	if err := before.write(newRecord(id, testRef)); err != nil {
		t.Fatal(err)
	}
	l := b.local()
	if err := l.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := alive(t, l, testRef); !slices.Equal(got, []string{id}) {
		t.Fatalf("got %v alive, want %s", got, id)
	}
	if err := l.Stop(t.Context(), testRef, "", "cancelled"); err != nil {
		t.Fatal(err)
	}
	want := JobEnd{Ref: testRef, JobID: id, Reason: "The runner ended without reporting a result"}
	if end := wait(t, b.ends); end != want {
		t.Errorf("got %+v, want %+v", end, want)
	}
}
