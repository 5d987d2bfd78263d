package model_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"

	"rekindle/internal/project"
)

// What the engine does with a launch.
const (
	accepts = iota
	refuses
	loses   // it starts the job, and its answer is lost
	forgets // it accepts, and never starts anything
	doubles // its client asks again after a lost answer, and it starts two jobs
)

var errEngine = errors.New("the engine's answer was lost")

// job is one that the engine was given.
type job struct {
	id    string
	ref   project.Ref
	alive bool
}

// engine is the execution engine: it remembers the jobs that it was given.
type engine struct {
	call func(operation string) error // told of each call, before it is made

	mu     sync.Mutex
	mode   int
	jobs   []*job
	asked  map[project.Ref]int
	numbed bool // it does not stop what it is told to
}

func (e *engine) Launch(_ context.Context, ref project.Ref) (string, error) {
	if err := e.call("Launch"); err != nil {
		return "", err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked[ref]++
	if e.mode == refuses {
		return "", project.Refuse(project.CodeLaunchRefused, project.Fields{"reason": "it has no room"})
	}
	j := &job{id: "job-" + strconv.Itoa(len(e.jobs)), ref: ref, alive: e.mode != forgets}
	e.jobs = append(e.jobs, j)
	if e.mode == doubles {
		e.jobs = append(e.jobs, &job{id: "job-" + strconv.Itoa(len(e.jobs)), ref: ref, alive: true})
	}
	if e.mode == loses {
		return "", errEngine
	}
	return j.id, nil
}

func (e *engine) Lookup(_ context.Context, ref project.Ref) ([]string, error) {
	if err := e.call("Lookup"); err != nil {
		return nil, err
	}
	return e.living(ref, ""), nil
}

// living returns the jobs of an execution that have not ended, but one.
func (e *engine) living(ref project.Ref, but string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ids []string
	for _, j := range e.jobs {
		if j.ref == ref && j.alive && j.id != but {
			ids = append(ids, j.id)
		}
	}
	return ids
}

func (e *engine) Stop(_ context.Context, ref project.Ref, jobID, _ string) error {
	if err := e.call("Stop"); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.numbed {
		return errEngine
	}
	for _, j := range e.jobs {
		if j.ref == ref && (jobID == "" || j.id == jobID) {
			j.alive = false
		}
	}
	return nil
}

// behave says what the engine does with what comes next, and returns what it
// did before.
func (e *engine) behave(mode int, numbed bool) (int, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before, was := e.mode, e.numbed
	e.mode, e.numbed = mode, numbed
	return before, was
}

func (e *engine) given() []*job {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.jobs)
}

func (e *engine) launches(ref project.Ref) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked[ref]
}
