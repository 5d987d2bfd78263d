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
