package model_test

import (
	"context"
	"flag"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rekindle/internal/project"
)

// weights says how often each kind of plan is drawn.
var weights = [kinds]int{runs: 4, restarts: 8, cancels: 3, claims: 8, beats: 3, reports: 7, jobEnds: 3, sweeps: 3, passes: 3, removes: 2, extends: 3}

var weighted = func() []int {
	var all []int
	for kind, n := range weights {
		for range n {
			all = append(all, kind)
		}
	}
	return all
}()

var (
	durations = []time.Duration{
		time.Millisecond, time.Second, 16 * time.Second, 5 * time.Minute, 11 * time.Minute, time.Hour,
		21 * time.Hour, 24 * time.Hour, 24*time.Hour + time.Millisecond, 25 * time.Hour, -time.Hour,
	}
	outcomes = []project.Outcome{project.OutcomeFailed, project.OutcomeFailed, project.OutcomeCompleted, project.OutcomeTimedOut}
	modes    = []int{accepts, accepts, accepts, accepts, refuses, loses, forgets, doubles, doubles}
	numbers  = []int{0, 0, 0, 1, 1, 2}
)

// pickOf draws one of some, each as likely as the others: rapid's own draws
// favour the first.
func pickOf[V any](t *rapid.T, label string, from []V) V {
	return from[even.Draw(t, label)%len(from)]
}

var even = rapid.Custom(func(t *rapid.T) int {
	n := 0
	for range 10 {
		n <<= 1
		if rapid.Bool().Draw(t, "bit") {
			n |= 1
		}
	}
	return n
})

func planOf(t *rapid.T, crossed bool) plan {
	p := plan{
		kind:    pickOf(t, "kind", weighted),
		project: pickOf(t, "project", []int{0, 1, 2, 3, 4}),
		pick:    pickOf(t, "pick", []int{0, 0, 0, 0, 1, 1, 2, 3, 5}),
	}
	p.aimed = pickOf(t, "aimed", []bool{true, true, false})
	switch p.kind {
	case runs, restarts:
		p.key = pickOf(t, "key", numbers)
		p.expected = pickOf(t, "expected", numbers)
		p.mode = pickOf(t, "engine", modes)
	case cancels:
		p.expected = pickOf(t, "expected", numbers)
		p.numbed = rapid.Bool().Draw(t, "numbed")
	case extends:
		p.expected = pickOf(t, "expected", numbers)
		p.hours = pickOf(t, "hours", []int{1, 1, 24})
	case claims:
		p.second = pickOf(t, "second", []bool{false, false, true})
	case beats, reports:
		p.percent = rapid.IntRange(0, 100).Draw(t, "percent")
		p.outcome = pickOf(t, "outcome", outcomes)
	case jobEnds, sweeps, removes:
		p.well = rapid.Bool().Draw(t, "well")
	case passes:
		p.passed = pickOf(t, "passed", durations)
		return p
	}
	if crossed || !pickOf(t, "faulty", []bool{false, false, true}) {
		return p
	}
	p.fault = pickOf(t, "fault", []int{loseReply, loseAll, throttle, throttled, die, crossFirst, crossAfter, crossFirst, crossAfter})
	p.at = pickOf(t, "at", []int{1, 2, 2, 3, 3, 4, 4, 5})
	if p.fault == crossFirst || p.fault == crossAfter {
		inner := planOf(t, true)
		switch pickOf(t, "against", []int{0, 1, 2, 2, 3}) {
		case 1: // mostly about the same project: otherwise they seldom meet
			inner.project = p.project
		case 2: // or two starts of one tenant, who may run one
			if p.kind == runs || p.kind == restarts {
				inner = plan{kind: rivals, project: pickOf(t, "rival", []int{0, 1, 2})}
				p.project = pickOf(t, "of", []int{0, 1, 2})
				p.kind, p.aimed = rivals, false
				p.expected, p.key = 0, 0
			} else {
				inner.project = p.project
			}
		case 3: // or what is known to cross
			switch p.kind {
			case runs, restarts: // a launch that failed, and its job's claim
				inner = plan{kind: claims, aimed: true}
				p.mode, p.at, p.fault = loses, pickOf(t, "late", []int{4, 5}), crossFirst
			case jobEnds: // and the claim of another of its jobs, or of itself
				inner = plan{kind: claims, aimed: true, pick: pickOf(t, "other", []int{0, 1})}
				p.pick, p.at = 0, pickOf(t, "soon", []int{1, 2})
			case cancels: // and the end of what it is to cancel, and a restart
				inner = plan{kind: reports, aimed: true, outcome: project.OutcomeFailed}
				p.then = &plan{kind: restarts, aimed: true, project: p.project}
				p.at = 2
			}
		}
		p.inner = &inner
	}
	return p
}

func TestNoInterleavingBreaksTheStateMachine(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	if was := checks.Value.String(); was == checks.DefValue {
		few := "50"
		if testing.Short() {
			few = "10"
		}
		if err := checks.Value.Set(few); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = checks.Value.Set(was) }()
	}
	s := open(t)
	steps, done := 0, map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := s.world()
		defer w.close()
		w.check(t)
		t.Repeat(map[string]func(*rapid.T){"plan": func(t *rapid.T) {
			p := planOf(t, false)
			steps++
			done[kindNames[p.kind]]++
			w.do(p)
			w.checkIndex()
			w.check(t)
		}})
		w.heal()
		w.check(t)
		for _, c := range w.wrote {
			done["wrote: "+c]++
		}
		for _, c := range w.answered {
			done["answered: "+c]++
		}
	})
	t.Logf("%d steps in %d checks", steps, s.count)
	for _, what := range slices.Sorted(maps.Keys(done)) {
		t.Logf("%6d %s", done[what], what)
	}
}

// check fails the check if anything was wrong so far.
func (w *world) check(t *rapid.T) {
	if len(w.faults) > 0 {
		t.Fatalf("%s\nwhat happened:\n%s", strings.Join(w.faults, "\n"), strings.Join(w.happened, "\n"))
	}
}

// heal checks that nothing is stuck: a day later a sweep ends what runs, no
// runner is let through any more, and whatever failed can be restarted.
func (w *world) heal() {
	w.do(plan{kind: passes, passed: 49 * time.Hour})
	w.do(plan{kind: sweeps})
	for _, key := range w.keys {
		if i := w.sight()[key]; i.status() == project.Running {
			w.wrong("%s is stuck: %v", key.ProjectID, i)
		}
	}
	for shard := range project.Shards {
		for page, err := range w.sure.RunningSince(context.Background(), shard, w.now.Add(time.Hour)) {
			if err != nil || len(page) > 0 {
				w.wrong("the index has %v, %v, and nothing runs", page, err)
			}
		}
	}
	for i := range w.runners {
		w.do(plan{kind: beats, pick: i})
	}
	for i, key := range w.keys {
		switch w.sight()[key].status() {
		case project.Failed:
			w.do(plan{kind: restarts, project: i})
		case project.Pending:
			w.do(plan{kind: runs, project: i})
		default:
			continue
		}
		if w.sight()[key].status() != project.Running {
			w.wrong("%s can't be started any more", key.ProjectID)
		}
		w.do(plan{kind: claims})
		w.do(plan{kind: reports, outcome: project.OutcomeCompleted})
	}
}
