package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"rekindle/infra/prove/rig"
	"rekindle/internal/project"
)

// readers is how many projects are read at once to be verified.
const readers = 8

// verify waits until nothing runs, and then holds every project against the
// journal.
func (l *load) verify(ctx context.Context) error {
	listed, err := l.awaitRest(ctx)
	if err != nil {
		return err
	}
	statuses, err := l.read(ctx)
	if err != nil {
		return err
	}
	for _, w := range l.compare(listed, statuses) {
		l.violation("%s", w)
	}
	return l.selfCheck(listed, statuses)
}

// awaitRest sweeps until nothing runs any more, and returns what is listed then.
func (l *load) awaitRest(ctx context.Context) (map[project.Key]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		l.sweep(ctx)
		listed, running := map[project.Key]bool{}, 0
		for _, tenant := range l.tenants {
			all, err := l.api.List(ctx, sessionOf(tenant))
			if err != nil {
				return nil, err
			}
			for _, s := range all {
				listed[project.Key{TenantID: tenant, ProjectID: s.ProjectID}] = true
				if s.Status == string(project.Running) {
					running++
				}
			}
		}
		if running == 0 {
			return listed, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d projects still run, %s after the load", running, restWithin)
		}
	}
}

// read returns the status of every project that was not deleted.
func (l *load) read(ctx context.Context) (map[project.Key]rig.Status, error) {
	keys := make(chan project.Key)
	statuses := map[project.Key]rig.Status{}
	var failures []error
	var mu sync.Mutex
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for key := range keys {
				answer, err := l.api.Do(ctx, rig.Call{Method: http.MethodGet, Path: projectPath(key.ProjectID, "status"), Session: sessionOf(key.TenantID)})
				var s rig.Status
				if err == nil && answer.Status == http.StatusOK {
					err = answer.Into(&s)
				}
				mu.Lock()
				if err == nil && answer.Status == http.StatusOK {
					statuses[key] = s
				} else if err != nil {
					failures = append(failures, err)
				}
				mu.Unlock()
			}
		})
	}
	for key := range l.journal.entries {
		keys <- key
	}
	close(keys)
	all.Wait()
	return statuses, errors.Join(failures...)
}

// compare holds everything that is there against everything that was answered.
func (l *load) compare(listed map[project.Key]bool, statuses map[project.Key]rig.Status) []string {
	var wrong []string
	for key := range listed {
		if l.journal.entries[key] == nil {
			wrong = append(wrong, fmt.Sprintf("%s/%s is listed, and nobody created it", key.TenantID, key.ProjectID))
		}
	}
	trials := map[string]map[project.Key]rig.Status{}
	for key, e := range l.journal.entries {
		s, read := statuses[key]
		if read == e.deleted || listed[key] == e.deleted {
			wrong = append(wrong, fmt.Sprintf("%s/%s: deleted %v, listed %v, read %v", key.TenantID, key.ProjectID, e.deleted, listed[key], read))
		}
		if !read {
			continue
		}
		for _, w := range e.disagreements(s) {
			wrong = append(wrong, fmt.Sprintf("%s/%s: %s", key.TenantID, key.ProjectID, w))
		}
		if trials[key.TenantID] == nil {
			trials[key.TenantID] = map[project.Key]rig.Status{}
		}
		trials[key.TenantID][key] = s
	}
	for n, tenant := range l.tenants {
		if onTrial(n) {
			wrong = append(wrong, twins(trials[tenant])...)
		}
	}
	return wrong
}

// selfCheck falsifies the journal, a bit at a time, and sees that each falsehood
// is found: a proof that can't fail proves nothing.
func (l *load) selfCheck(listed map[project.Key]bool, statuses map[project.Key]rig.Status) error {
	var sample project.Key
	for key, e := range l.journal.entries {
		if s, read := statuses[key]; read && !e.deleted && s.Attempt > 0 && len(e.cancelled) == 0 && len(e.results) == 0 {
			sample = key
		}
	}
	if sample.ProjectID == "" {
		return errors.New("self-check: no project was started: load more")
	}
	genuine := l.journal.entries[sample]
	execution := statuses[sample].ExecutionID
	before := len(l.compare(listed, statuses))
	number := statuses[sample].Attempt
	falsehoods := []struct {
		part  string
		plant func(e *entry)
	}{
		{"so many runs and restarts were accepted", func(e *entry) { e.starts[execution+1] = true }},
		{"so many runs and restarts were accepted", func(e *entry) { delete(e.starts, execution) }},
		{"an accepted cancel of it: true", func(e *entry) { e.cancelled[number] = true }},
		{"the accepted result of its runner was", func(e *entry) { e.results[execution] = "other" }},
		{"lost its late result", func(e *entry) { e.late[execution] = "other" }},
		{"deleted true", func(e *entry) { e.deleted = true }},
	}
	for _, f := range falsehoods {
		planted := &entry{
			starts: maps.Clone(genuine.starts), cancelled: maps.Clone(genuine.cancelled),
			results: maps.Clone(genuine.results), late: maps.Clone(genuine.late),
		}
		f.plant(planted)
		l.journal.entries[sample] = planted
		found := l.compare(listed, statuses)
		l.journal.entries[sample] = genuine
		if len(found) <= before || !strings.Contains(strings.Join(found, "\n"), f.part) {
			return fmt.Errorf("self-check: %q was planted and not found", f.part)
		}
	}
	fmt.Printf("%d planted falsehoods were found\n", len(falsehoods))
	return nil
}
