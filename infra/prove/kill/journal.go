//go:build linux

package main

import (
	"fmt"
	"slices"

	"rekindle/internal/project"

	"rekindle/infra/prove/rig"
)

// journal is what a tenant was answered: the proof holds the API to it.
type journal map[string]*entry // by project id

// entry is what is known of a project.
type entry struct {
	executions []int64 // of the runs and restarts that were answered with 200
	refused    int     // starts that were answered with 502: an attempt that has failed
	open       *start  // a start whose answer was lost, and is asked for again
	last       *start  // the start that was asked for last
}

// start is a run or a restart, under the one key that it is sent with until it
// is answered.
type start struct {
	operation string
	key       string
	refused   bool // it was answered with 502, once
}

// disagreements holds what the API says against the journal: nothing is lost,
// nothing is there that nobody asked for, and every attempt has an end that a
// person understands.
func (j journal) disagreements(listed []rig.Summary, statuses map[string]rig.Status) []string {
	var wrong []string
	say := func(id, format string, args ...any) { wrong = append(wrong, id+": "+fmt.Sprintf(format, args...)) }
	there := map[string]bool{}
	for _, s := range listed {
		there[s.ProjectID] = true
		if j[s.ProjectID] == nil {
			say(s.ProjectID, "the API lists it, and nobody created it")
		}
	}
	for id, e := range j {
		if !there[id] {
			say(id, "it was created, and the API does not list it")
			continue
		}
		s, read := statuses[id]
		if !read {
			continue
		}
		if want := len(e.executions) + e.refused; s.Attempt != want {
			say(id, "got attempt %d, want %d: %d starts were accepted and %d refused by the engine", s.Attempt, want, len(e.executions), e.refused)
		}
		for _, executionID := range e.executions[max(0, len(e.executions)-project.MaxAttempts+e.refused):] {
			if _, ok := s.Of(executionID); !ok {
				say(id, "execution %d was accepted, and the project does not remember it", executionID)
			}
		}
		for _, why := range rig.Implausible(s) {
			say(id, "%s", why)
		}
	}
	slices.Sort(wrong)
	return wrong
}
