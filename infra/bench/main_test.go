package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFlags(t *testing.T) {
	o, err := parseOptions([]string{"-quick", "-only", "calls, sizes", "-count", "3", "-benchstat", "f"}, new(strings.Builder))
	if err != nil || !o.quick || o.rounds != 3 || o.benchstat != "f" || !slices.Equal(o.only, []string{"calls", "sizes"}) {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, args := range [][]string{{"-only", "speed"}, {"-count", "0"}, {"quick"}, {"-fast"}, {"-only", "calls", "-update", "f"}} {
		if o, err := parseOptions(args, new(strings.Builder)); err == nil {
			t.Errorf("%v: got %+v, want it refused", args, o)
		}
	}
}

func TestHelpNamesEachSection(t *testing.T) {
	var said strings.Builder
	if _, err := parseOptions([]string{"-h"}, &said); err == nil {
		t.Error("got no error for -h, want the flag package's")
	}
	for _, s := range sections {
		if !strings.Contains(said.String(), s.name) {
			t.Errorf("the help does not name %s", s.name)
		}
	}
}

func TestUpdateReplacesWhatIsBetweenTheMarks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(file, []byte("# Title\n"+beginMark+"\nold\n"+endMark+"\nrest\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := spliced(file, []byte("new\n"))
	if want := "# Title\n" + beginMark + "\nnew\n" + endMark + "\nrest\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if err := os.WriteFile(file, []byte("# Title\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := spliced(file, nil); err == nil {
		t.Errorf("a document without marks: got %q, want it refused", got)
	}
}

func TestMarksAreInTheDocument(t *testing.T) {
	if _, err := spliced(filepath.Join("..", "..", "docs", "performance.md"), nil); err != nil {
		t.Error(err)
	}
}

// A run in which something was wrong fails, and leaves what was kept before.
func TestAWrongAnswerFailsTheRunAndKeepsNothing(t *testing.T) {
	all := sections
	t.Cleanup(func() { sections = all })
	wrong := errors.New("answered with 500")
	sections = []section{
		{"good", "Good", func(context.Context, *env) ([]row, error) {
			return []row{{Name: "x", N: 1, Metrics: []metric{{1, "calls/op"}}}}, nil
		}},
		{"bad", "Bad", func(context.Context, *env) ([]row, error) { return nil, wrong }},
	}
	file := filepath.Join(t.TempDir(), "stat")
	var table strings.Builder
	err := bench(t.Context(), options{rounds: 1, benchstat: file}, &table, new(strings.Builder))
	if !errors.Is(err, wrong) {
		t.Errorf("got %v, want the section's error", err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file for benchstat: %v, want none", err)
	}
	if !strings.Contains(table.String(), "GOOD") || strings.Contains(table.String(), "BAD") {
		t.Errorf("got %q, want what was measured all the same", table.String())
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := bench(stopped, options{rounds: 1, benchstat: file}, new(strings.Builder), new(strings.Builder)); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got %v, want it said", err)
	}
	sections = sections[:1]
	if err := bench(t.Context(), options{rounds: 2, benchstat: file}, new(strings.Builder), new(strings.Builder)); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || strings.Count(string(text), "BenchmarkGood/x\t1\t1 calls/op\n") != 2 {
		t.Errorf("got %q, %v; want a line a round", text, err)
	}
}

func TestLoadTellsABusyMachine(t *testing.T) {
	for text, want := range map[string]bool{"0.00 0.63 2.13 1/100 4": false, "1.00 0.1 0.1 1/1 1": false, "3.08 1.08 1.63 5/160 9": true} {
		if said, busy := loadOf(text); busy != want || said == unknown {
			t.Errorf("%q: got %q, busy %t; want %t", text, said, busy, want)
		}
	}
	if said, busy := loadOf(""); said != unknown || busy {
		t.Errorf("nothing: got %q, %t", said, busy)
	}
}

func TestBenchmarkLinesAreRead(t *testing.T) {
	rows, err := parseBenchmarks([]byte("goos: linux\nBenchmarkStatusThroughClient-2 \t 1000 \t 942641 ns/op \t 46672 B/op \t 526 allocs/op\nBenchmarkRunHandler/cold-16 \t 7 \t 1.5 ns/op\nBenchmarkBroken\nPASS\n"))
	if err != nil || len(rows) != 2 {
		t.Fatalf("got %+v, %v; want two", rows, err)
	}
	if r := rows[0]; r.Name != "status-through-client" || r.N != 1000 || len(r.Metrics) != 3 || r.Metrics[0] != (metric{942641, "ns/op"}) {
		t.Errorf("got %+v", r)
	}
	if got := benchmarkName("BenchmarkRunHandler-8"); got != "run" {
		t.Errorf("got %q, want run", got)
	}
	if rows, err := parseBenchmarks([]byte("BenchmarkX 1 many ns/op\n")); err == nil {
		t.Errorf("got %+v, want a figure that is no number refused", rows)
	}
}

func TestSizesAreRead(t *testing.T) {
	rows, err := parseSizes("  8847522 auth\nauth is over 8000000 bytes\n  8192162 cleanup\n")
	if err != nil || len(rows) != 2 || rows[1].Name != "cleanup" || rows[1].Metrics[0] != (metric{8192162, "bytes"}) {
		t.Errorf("got %+v, %v", rows, err)
	}
	if _, err := parseSizes("make: nothing\n"); err == nil {
		t.Error("no sizes: got no error")
	}
}
