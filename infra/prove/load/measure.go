package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// measures are how calls were answered and how long that took.
type measures struct {
	mu    sync.Mutex
	took  map[string][]time.Duration // by kind
	count map[string]map[int]int     // by kind and status; 0: not answered
}

func newMeasures() *measures {
	return &measures{took: map[string][]time.Duration{}, count: map[string]map[int]int{}}
}

func (m *measures) add(kind string, status int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.took[kind] = append(m.took[kind], took)
	if m.count[kind] == nil {
		m.count[kind] = map[int]int{}
	}
	m.count[kind][status]++
}

// table returns a line a kind of call, and how many calls there were.
func (m *measures) table() (string, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s %7s %9s %9s  %s\n", "call", "n", "p50", "p99", "answers")
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(m.took)) {
		all := slices.Sorted(slices.Values(m.took[kind]))
		total += len(all)
		var answers []string
		for _, status := range slices.Sorted(maps.Keys(m.count[kind])) {
			answers = append(answers, fmt.Sprintf("%d: %d", status, m.count[kind][status]))
		}
		fmt.Fprintf(&b, "%-10s %7d %9s %9s  %s\n", kind, len(all), quantile(all, 0.5), quantile(all, 0.99), strings.Join(answers, ", "))
	}
	return b.String(), total
}

// quantile of sorted durations, to the nearest tenth of a millisecond.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Round(100 * time.Microsecond)
}

// sample is how much memory is in use.
type sample struct {
	at                        time.Duration // since the load began
	stackMB, heapMB, database int           // database in MB too
}

// memory are the samples that were taken, one after each collection of garbage
// by the stack.
type memory struct {
	mu  sync.Mutex
	all []sample
}

func (m *memory) add(s sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, s)
}

// collected is a line by which Go's runtime tells of a collection (GODEBUG
// gctrace=1). The third size is of what was found to be in use.
var collected = regexp.MustCompile(`^gc \d+ @.* \d+->\d+->(\d+) MB,`)

// heapOf returns the MB in use after a collection that a line tells of.
func heapOf(line string) (int, bool) {
	found := collected.FindStringSubmatch(line)
	if found == nil {
		return 0, false
	}
	mb, err := strconv.Atoi(found[1])
	return mb, err == nil
}

// spans is in how many spans of equal length the time of the load is cut to
// judge its memory, and mayGrow by how much the medians of the second half may
// differ.
const (
	spans   = 8
	mayGrow = 1.2
)

// verdict returns the medians of the spans, and whether those of the second half
// are flat. A span without a sample has 0 and is not judged.
func (m *memory) verdict(lasted time.Duration) (medians []sample, wrong []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var judged []int
	for i := range spans {
		from, to := lasted*time.Duration(i)/spans, lasted*time.Duration(i+1)/spans
		var within []sample
		for _, s := range m.all {
			if s.at >= from && s.at < to {
				within = append(within, s)
			}
		}
		median := sample{at: to}
		if n := len(within); n > 0 {
			of := func(size func(sample) int) int {
				var sizes []int
				for _, s := range within {
					sizes = append(sizes, size(s))
				}
				slices.Sort(sizes)
				return sizes[n/2]
			}
			median.stackMB = of(func(s sample) int { return s.stackMB })
			median.heapMB = of(func(s sample) int { return s.heapMB })
			median.database = of(func(s sample) int { return s.database })
			if i >= spans/2 {
				judged = append(judged, median.stackMB)
			}
		}
		medians = append(medians, median)
	}
	if len(judged) < 2 {
		return medians, []string{"the stack's memory was sampled too seldom in the second half to be judged"}
	}
	if least, most := slices.Min(judged), slices.Max(judged); float64(most) > mayGrow*float64(least) {
		wrong = append(wrong, fmt.Sprintf("the stack's memory is not flat: from %d to %d MB in the second half", least, most))
	}
	return medians, wrong
}
