package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"rekindle/infra/prove/rig"
	"rekindle/internal/project"
)

// journal is what the clients were answered, all of them together.
type journal struct {
	mu      sync.Mutex
	entries map[project.Key]*entry
}

// entry is what is known of a project.
type entry struct {
	starts    map[int64]bool            // executions that a run or restart was answered with
	cancelled map[int]bool              // attempts whose cancel was answered with 200
	results   map[int64]project.Outcome // executions whose result was taken
	late      map[int64]project.Outcome // executions whose result was refused as late
	deleting  bool                      // a delete was sent
	deleted   bool                      // and answered with 204
}

func newJournal() *journal { return &journal{entries: map[project.Key]*entry{}} }

// at returns what is known of a project after f has added to it.
func (j *journal) at(key project.Key, f func(*entry)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.entries[key]
	if e == nil {
		e = &entry{
			starts: map[int64]bool{}, cancelled: map[int]bool{},
			results: map[int64]project.Outcome{}, late: map[int64]project.Outcome{},
		}
		j.entries[key] = e
	}
	f(e)
}

// disagreements holds a project as the store has it, once nothing runs, against
// what the clients were answered.
func (e *entry) disagreements(s rig.Status) []string {
	wrong := rig.Implausible(s)
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	// Ids grow with each attempt, so their order is that of the attempts.
	ids := slices.Sorted(maps.Keys(e.starts))
	if s.Attempt != len(ids) {
		say("got attempt %d, want %d: so many runs and restarts were accepted", s.Attempt, len(ids))
	}
	kept := ids[max(0, len(ids)-project.MaxAttempts):]
	if len(s.Attempts) != len(kept) {
		say("got %d attempts in its memory, want %d", len(s.Attempts), len(kept))
	}
	for _, id := range kept {
		number := slices.Index(ids, id) + 1
		a, ok := s.Of(id)
		if !ok {
			say("execution %d was accepted, and is not among its attempts", id)
			continue
		}
		outcome := project.Outcome(a.Outcome)
		if a.Attempt != number {
			say("execution %d is attempt %d, want %d", id, a.Attempt, number)
		}
		if was := outcome == project.OutcomeCancelled; was != e.cancelled[number] {
			say("attempt %d has the outcome %q; an accepted cancel of it: %v", number, a.Outcome, e.cancelled[number])
		}
		if want, reported := e.results[id]; reported && outcome != want {
			say("attempt %d has the outcome %q; the accepted result of its runner was %q", number, a.Outcome, want)
		}
		if want, reported := e.late[id]; reported && (a.Late == nil || project.Outcome(a.Late.Outcome) != want) {
			say("attempt %d lost its late result, %q", number, want)
		}
	}
	return wrong
}

// overlapAllowed is how far two executions of a trial may seem to overlap. A
// start bears the time at which it was begun, a moment before it finds the slot
// free.
const overlapAllowed = time.Second

// twins returns the executions of one trialing tenant that ran at once.
func twins(statuses map[project.Key]rig.Status) []string {
	type span struct {
		id         int64
		began, end time.Time
	}
	var all []span
	var wrong []string
	for key, s := range statuses {
		for _, a := range s.Attempts {
			began, err1 := time.Parse(time.RFC3339, a.StartedAt)
			end, err2 := time.Parse(time.RFC3339, a.CompletedAt)
			if err1 != nil || err2 != nil {
				wrong = append(wrong, fmt.Sprintf("%s: attempt %d lasted from %q to %q", key.ProjectID, a.Attempt, a.StartedAt, a.CompletedAt))
				continue
			}
			all = append(all, span{a.ExecutionID, began, end})
		}
	}
	slices.SortFunc(all, func(a, b span) int { return a.began.Compare(b.began) })
	for i := 1; i < len(all); i++ {
		if over := all[i-1].end.Sub(all[i].began); over > overlapAllowed {
			wrong = append(wrong, fmt.Sprintf("a trial's executions %d and %d ran at once for %s", all[i-1].id, all[i].id, over))
		}
	}
	return wrong
}
