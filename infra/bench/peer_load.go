package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rekindle/infra/prove/rig"
	"rekindle/internal/project"
)

// load is what some clients are to do, one call after the other each.
type load struct {
	clients int
	verb    string   // "status", "run" or "restart"
	ids     []string // of the projects, each of which can be run or restarted once
	lasting time.Duration
}

// measured is how it went.
type measured struct {
	took    []time.Duration // sorted
	elapsed time.Duration
}

func (m measured) rate() float64 { return float64(len(m.took)) / m.elapsed.Seconds() }

func (m measured) metrics() []metric {
	return []metric{
		{m.rate(), "requests/s"}, nanoseconds(percentile(m.took, 0.5), "p50-ns"), nanoseconds(percentile(m.took, 0.99), "p99-ns"),
	}
}

// drive makes the calls: of status for so long, of run and restart until every
// project was started. An answer that is not the right one ends it.
func (l load) drive(ctx context.Context, s *system) (m measured, err error) {
	client := rig.NewClient(s.url, l.clients)
	// The first call of a connection makes it; that is not what is measured.
	if err := together(l.clients, func(int) error { return s.call(ctx, client, "status", s.warm) }); err != nil {
		return m, err
	}
	var next atomic.Int64
	took := make([][]time.Duration, l.clients)
	began := time.Now()
	err = together(l.clients, func(c int) error {
		for {
			i := int(next.Add(1)) - 1
			if l.verb == "status" && time.Since(began) >= l.lasting || l.verb != "status" && i >= len(l.ids) {
				return nil
			}
			at := time.Now()
			if err := s.call(ctx, client, l.verb, l.ids[i%len(l.ids)]); err != nil {
				return err
			}
			took[c] = append(took[c], time.Since(at))
		}
	})
	m.elapsed = time.Since(began)
	m.took = slices.Concat(took...)
	slices.Sort(m.took)
	return m, err
}

// together runs n functions at once.
func together(n int, f func(i int) error) error {
	failures := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { failures[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(failures...)
}

// call makes one call about a project of the peer's tenant, and looks whether it
// was answered as it must be.
func (s *system) call(ctx context.Context, client *rig.Client, verb, id string) error {
	method := http.MethodPost
	if verb == "status" {
		method = http.MethodGet
	}
	answer, err := client.Do(ctx, projectCall(method, peerTenant, id, verb))
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if answer.Status != http.StatusOK {
		return fmt.Errorf("%s: %s of %s was answered with %d %s", s.name, verb, id, answer.Status, answer.Body)
	}
	var got struct {
		ProjectID   string         `json:"project_id"`
		Started     project.Status `json:"status"`
		Status      project.Status `json:"execution_status"`
		ExecutionID int64          `json:"execution_id"`
	}
	if err := answer.Into(&got); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	right := got.Started == project.Running && got.ExecutionID > 1000
	if verb == "status" {
		right = got.ProjectID == id && got.Status == project.Failed && got.ExecutionID == 1000
	}
	if !right {
		return fmt.Errorf("%s: %s of %s was answered with %s", s.name, verb, id, answer.Body)
	}
	return nil
}
