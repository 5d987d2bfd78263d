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
	busy    int // answers of 503, after which the call was made again
}

func (m measured) rate() float64 { return float64(len(m.took)) / m.elapsed.Seconds() }

func (m measured) metrics() []metric {
	metrics := []metric{
		{m.rate(), "requests/s"}, nanoseconds(percentile(m.took, 0.5), "p50-ns"), nanoseconds(percentile(m.took, 0.99), "p99-ns"),
	}
	if m.busy > 0 {
		metrics = append(metrics, metric{float64(m.busy), "busy-answers"})
	}
	return metrics
}

// drive makes the calls: of status for so long, of run and restart until every
// project was started. A call that is answered with 503 is made again, and all of
// that is the time that it took. Any other answer than the right one ends it.
func (l load) drive(ctx context.Context, s *system) (m measured, err error) {
	client := rig.NewClient(s.url, l.clients)
	// The first call of a connection makes it; that is not what is measured.
	warm := func(int) error {
		_, err := s.persist(ctx, client, "status", s.warm)
		return err
	}
	if err := together(l.clients, warm); err != nil {
		return m, err
	}
	var next, busy atomic.Int64
	took := make([][]time.Duration, l.clients)
	began := time.Now()
	err = together(l.clients, func(c int) error {
		for {
			i := int(next.Add(1)) - 1
			if l.verb == "status" && time.Since(began) >= l.lasting || l.verb != "status" && i >= len(l.ids) {
				return nil
			}
			at := time.Now()
			refused, err := s.persist(ctx, client, l.verb, l.ids[i%len(l.ids)])
			if err != nil {
				return err
			}
			busy.Add(int64(refused))
			took[c] = append(took[c], time.Since(at))
		}
	})
	m.elapsed, m.busy = time.Since(began), int(busy.Load())
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

// errBusy is an answer of 503: the system asks to be called again.
var errBusy = errors.New("it was answered with 503")

// A call that was answered with 503 is made again after busyPause, and at most
// busyMost times.
const (
	busyPause = 100 * time.Millisecond
	busyMost  = 100
)

// persist makes a call until it is answered with something else than 503, and
// says how often it was.
func (s *system) persist(ctx context.Context, client *rig.Client, verb, id string) (refused int, err error) {
	for {
		err := s.call(ctx, client, verb, id)
		if !errors.Is(err, errBusy) || refused == busyMost {
			return refused, err
		}
		refused++
		pause := time.NewTimer(busyPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return refused, ctx.Err()
		}
	}
}

// call makes one call about a project of the peer's tenant, and looks whether it
// was answered as it must be. A run and a restart have an Idempotency-Key, as the
// portal's have: made again they start nothing twice.
func (s *system) call(ctx context.Context, client *rig.Client, verb, id string) error {
	c := projectCall(http.MethodGet, peerTenant, id, verb)
	if verb != "status" {
		c.Method, c.Key = http.MethodPost, verb+" "+id
	}
	answer, err := client.Do(ctx, c)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if answer.Status == http.StatusServiceUnavailable {
		return fmt.Errorf("%s: %s of %s: %w", s.name, verb, id, errBusy)
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
