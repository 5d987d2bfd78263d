package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestPercentileIsAMeasuredValue(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		of   []time.Duration
		q    float64
		want time.Duration
	}{
		{nil, 0.5, 0}, {[]time.Duration{7}, 0.99, 7}, {[]time.Duration{1, 2}, 0.5, 1}, {[]time.Duration{1, 2, 3}, 0.5, 2},
		{hundred, 0, 1}, {hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred[:64], 0.99, 64},
	} {
		if got := percentile(c.of, c.q); got != c.want {
			t.Errorf("%v of %d: got %d, want %d", c.q, len(c.of), got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, of := range map[float64][]float64{3: {3}, 2.5: {4, 1, 2, 3}, 2: {9, 1, 2}} {
		if got := median(of); got != want {
			t.Errorf("%v: got %v, want %v", of, got, want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("of nothing: got %v, want no number", got)
	}
}

func TestRoundsAreMergedByTheirMedians(t *testing.T) {
	got := merge([]row{
		{Section: "a", Name: "x", N: 10, Metrics: []metric{{100, "ns/op"}}},
		{Section: "b", Name: "x", N: 1, Metrics: []metric{{7, "bytes"}}},
		{Section: "a", Name: "x", N: 10, Metrics: []metric{{300, "ns/op"}, {5, "calls/op"}}},
		{Section: "a", Name: "x", N: 10, Metrics: []metric{{110, "ns/op"}}},
	})
	if len(got) != 2 || got[0].N != 30 || got[1].N != 1 {
		t.Fatalf("got %+v, want two rows, of 30 and 1", got)
	}
	if v, _ := got[0].get("ns/op"); v != 110 {
		t.Errorf("got %v ns, want the median, 110", v)
	}
	if v, ok := got[0].get("calls/op"); !ok || v != 5 {
		t.Errorf("got %v calls, want 5", v)
	}
}

func TestFiguresAreReadable(t *testing.T) {
	for _, c := range []struct {
		v          float64
		unit, want string
	}{
		{0, "rcu/op", "0"}, {2, "rcu/op", "2"}, {0.5, "rcu/op", "0.50"}, {1234567, "writes", "1,234,567"}, {123.4, "requests/s", "123"},
		{-1234, "x", "-1,234"}, {999, "bytes", "999 B"}, {8388770, "bytes", "8.39 MB"}, {46780, "B/op", "46.8 KB"}, {40100, "item-bytes", "40.1 KB"},
		{950, "ns/op", "950 ns"}, {38459, "ns/op", "38.5 µs"}, {2_380_000, "p50-ns", "2.38 ms"}, {75_300_000_000, "sweep-ns", "75.3 s"},
		{math.NaN(), "rcu", "-"},
	} {
		if got := readable(c.v, c.unit); got != c.want {
			t.Errorf("%v %s: got %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

// sample is a report of two sections.
func sample() *report {
	return &report{
		machine: machine{
			at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), commit: "abc1234", cpu: "A processor", cores: 2, memoryMB: 24105,
			kernel: "Linux 6", goes: "go1.26", node: "v20", load: "3.00 1.00 0.50", busy: true, quick: true, rounds: 2,
		},
		ran: []section{{name: "calls", title: "What calls cost"}, {name: "sweep", title: "The sweep"}},
		rows: []row{
			{Section: "calls", Name: "status", N: 3, Metrics: []metric{{1, "calls/op"}, {3, "rcu/op"}}},
			{Section: "calls", Name: "run", N: 3, Metrics: []metric{{2, "calls/op"}, {4, "wcu/op"}}},
			{Section: "calls", Name: "status", N: 3, Metrics: []metric{{1, "calls/op"}, {3, "rcu/op"}}},
			{Section: "sweep", Name: "stuck=1000/healthy=10000", N: 1000, Metrics: []metric{{2_500_000_000, "sweep-ns"}, {400, "projects/s"}}},
		},
		notes: map[string][]string{"calls": {"By the rules."}},
	}
}

func TestTableSaysWhereAndWhat(t *testing.T) {
	var b strings.Builder
	if err := sample().print(&b); err != nil {
		t.Fatal(err)
	}
	want := `quick run, commit abc1234, 2026-03-01 12:00 UTC, rounds: 2
A processor, 2 cores, 24,105 MB of memory, Linux 6, go1.26, Node.js v20
load average at the start: 3.00 1.00 0.50
WARNING: that is over 1. Others use this machine, and the times are theirs as well; counts and sizes are not.

CALLS: What calls cost
          n  calls/op  rcu/op  wcu/op
  status  6         1       3       -
  run     3         2       -       4
  * By the rules.

SWEEP: The sweep
                                n   sweep  projects/s
  stuck=1000/healthy=10000  1,000  2.50 s         400
`
	var got []string
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.TrimRight(line, " \n"))
	}
	if text := strings.Join(got, "\n") + "\n"; text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func TestNotesAreWrappedAtSpaces(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""}, {"one", "one"}, {"one two three", "one two\n  three"}, {"aß aß aß", "aß aß aß"}, {"verylongword a", "verylongword\n  a"},
	} {
		if got := wrapped(c.text, 8, "  "); got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

func TestMarkdownHasTheSameFigures(t *testing.T) {
	var b strings.Builder
	if err := sample().markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n### What calls cost\n\n|  | n | calls/op | rcu/op | wcu/op |\n|---|--:|--:|--:|--:|\n| status | 6 | 1 | 3 | - |\n| run | 3 | 2 | - | 4 |\n\n- By the rules.\n",
		"\n### The sweep\n\n|  | n | sweep | projects/s |\n|---|--:|--:|--:|\n| stuck=1000/healthy=10000 | 1,000 | 2.50 s | 400 |\n",
		"A processor, 2 cores",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("got\n%s\nwithout\n%s", b.String(), want)
		}
	}
}

// What is written for benchstat is read again by the format's rules.
func TestBenchstatGetsEachRound(t *testing.T) {
	var b strings.Builder
	if err := sample().benchstat(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"goos: ", "goarch: ", "cpu: A processor\n", "Unit projects/s better=higher\n", "BenchmarkSweep/stuck=1000/healthy=10000\t1000\t2500000000 sweep-ns\t400 projects/s\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("got\n%s\nwithout %q", b.String(), want)
		}
	}
	rows, err := parseBenchmarks([]byte(b.String()))
	if err != nil || len(rows) != 4 {
		t.Fatalf("read again: %d rows, %v; want 4", len(rows), err)
	}
	if v, ok := rows[1].get("wcu/op"); !ok || v != 4 || rows[1].Name != "calls/run" {
		t.Errorf("read again: got %+v, want calls/run with 4 wcu/op", rows[1])
	}
}
