package model_test

import (
	"flag"
	"strings"
	"testing"
	"time"

	"rekindle/internal/project"
)

// crashes are the write paths, each from where it starts. Every one is cut at
// each of its calls; see [TestEveryWritePathSurvivesACrashAtEachOfItsCalls].
var crashes = []struct {
	name  string
	first []plan // what led there
	act   plan
}{
	{"run", nil, plan{kind: runs, project: active, key: 1}},
	{"run of a trialing tenant", nil, plan{kind: runs, project: trial, key: 1}},
	{"run over a dead slot", []plan{
		{kind: runs, project: other}, {kind: claims}, {kind: reports, outcome: project.OutcomeFailed},
	}, plan{kind: runs, project: trial, key: 1}},
	{"run that the engine refuses", nil, plan{kind: runs, project: active, mode: refuses}},
	{"run whose launch is lost", nil, plan{kind: runs, project: active, mode: loses}},
	{"run that starts two jobs", nil, plan{kind: runs, project: active, mode: doubles}},
	{"restart", failedBefore(active), plan{kind: restarts, project: active, key: 1}},
	{"restart of a trialing tenant", failedBefore(trial), plan{kind: restarts, project: trial, key: 1}},
	{"restart that the engine refuses", failedBefore(active), plan{kind: restarts, project: active, mode: refuses}},
	{"launch again by its key", []plan{
		{kind: runs, project: active, key: 1, mode: forgets}, {kind: passes, passed: 16 * time.Second},
	}, plan{kind: runs, project: active, key: 1}},
	{"cancel of what nobody claimed", []plan{{kind: runs, project: active}}, plan{kind: cancels, project: active}},
	{"cancel", []plan{{kind: runs, project: active}, {kind: claims}}, plan{kind: cancels, project: active}},
	{"claim", []plan{{kind: runs, project: active}}, plan{kind: claims}},
	{"claim by a second job", []plan{{kind: runs, project: active, mode: doubles}, {kind: claims}}, plan{kind: claims, pick: 1}},
	{"heartbeat", []plan{{kind: runs, project: active}, {kind: claims}}, plan{kind: beats, percent: 40}},
	{"success", []plan{{kind: runs, project: active}, {kind: claims}}, plan{kind: reports, outcome: project.OutcomeCompleted}},
	{"failure", []plan{{kind: runs, project: active}, {kind: claims}}, plan{kind: reports, outcome: project.OutcomeFailed}},
	{"late result", []plan{
		{kind: runs, project: active}, {kind: claims}, {kind: cancels, project: active},
	}, plan{kind: reports, outcome: project.OutcomeCompleted}},
	{"late result after a restart", []plan{
		{kind: runs, project: active}, {kind: claims}, {kind: cancels, project: active}, {kind: restarts, project: active},
	}, plan{kind: reports, outcome: project.OutcomeCompleted}},
	{"end of an unclaimed job", []plan{{kind: runs, project: active}}, plan{kind: jobEnds}},
	{"end of the claiming job", []plan{{kind: runs, project: active}, {kind: claims}}, plan{kind: jobEnds, well: true}},
	{"sweep", []plan{
		{kind: runs, project: trial}, {kind: runs, project: active}, {kind: claims}, {kind: runs, project: active + 1},
		{kind: passes, passed: 25 * time.Hour},
	}, plan{kind: sweeps}},
	{"sweep of the silent", []plan{
		{kind: runs, project: active}, {kind: claims}, {kind: beats}, {kind: passes, passed: time.Hour},
	}, plan{kind: sweeps, well: true}},
	{"extension", []plan{
		{kind: runs, project: active}, {kind: claims}, {kind: passes, passed: 21 * time.Hour},
	}, plan{kind: extends, project: active, hours: 24}},
	{"delete", failedBefore(active), plan{kind: removes, project: active}},
}

// The projects of a world that the paths are about.
const (
	trial  = 0
	other  = 1 // of the same tenant
	active = 3
)

func failedBefore(of int) []plan {
	return []plan{{kind: runs, project: of}, {kind: claims}, {kind: reports, outcome: project.OutcomeFailed}}
}

// recovery is what comes after the crash: whoever acts next.
type recovery struct {
	name string
	next func(w *world, act plan)
}

// all has each crash point met by each recovery. It takes minutes, so make crashes
// does it; without it every path meets the first two.
var all = flag.Bool("recoveries", false, "let each crash point meet each recovery")

var recoveries = []recovery{
	{"nobody, until the sweep", func(*world, plan) {}},
	{"the same again at once", func(w *world, act plan) { w.do(act) }},
	{"the same again later", func(w *world, act plan) {
		w.do(plan{kind: passes, passed: time.Minute})
		w.do(act)
	}},
	{"a cancel", func(w *world, act plan) { w.do(plan{kind: cancels, project: act.project}) }},
	{"the other operation", func(w *world, act plan) { w.do(plan{kind: rivals, project: act.project}) }},
	{"the tenant's other project", func(w *world, act plan) { w.do(plan{kind: rivals, project: other}) }},
	{"the end of its job", func(w *world, _ plan) { w.do(plan{kind: jobEnds}) }},
	{"its runner", func(w *world, _ plan) {
		w.do(plan{kind: claims})
		w.do(plan{kind: reports, outcome: project.OutcomeCompleted})
	}},
}

// The process of each write path dies before each of its calls in turn: that is
// after the call before it, and before its answer. What is left has to be a
// state of the model, and whoever acts next, be it the sweep alone, has to bring
// every project to where it can be run to its end.
func TestEveryWritePathSurvivesACrashAtEachOfItsCalls(t *testing.T) {
	s := open(t)
	points, worlds := 0, 0
	for _, path := range crashes {
		t.Run(path.name, func(t *testing.T) {
			after := recoveries
			if !*all || path.act.kind == sweeps {
				after = after[:2]
			}
			for n := 1; ; n++ {
				struck := false
				for _, recovery := range after {
					worlds++
					w := s.world()
					for _, p := range path.first {
						w.do(p)
					}
					act := path.act
					act.fault, act.at = die, n
					w.do(act)
					struck = w.struck
					recovery.next(w, path.act)
					w.checkIndex()
					w.heal()
					w.close()
					for _, fault := range w.faults {
						t.Errorf("died at call %d, then came %s: %s", n, recovery.name, fault)
					}
					if t.Failed() {
						t.Fatalf("what happened:\n%s", strings.Join(w.happened, "\n"))
					}
				}
				points++
				if !struck {
					break // the path has no n-th call
				}
				if n > 50 {
					t.Fatal("the path does not end")
				}
			}
		})
	}
	t.Logf("%d crash points on %d paths, %d recoveries", points-len(crashes), len(crashes), worlds)
}
