package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"rekindle/infra/prove/rig"
	"rekindle/internal/project"
)

// clients is how many call at once.
var clients = []int{1, 8, 64}

// e2eTenants is over how many tenants the projects are spread: as many sessions
// and items are read.
const e2eTenants = 20

// e2ePlan is how much is measured.
type e2ePlan struct {
	reading time.Duration // of status, at each number of clients
	alone   int           // runs, and restarts, whose runner does nothing
	working int           // runs, and restarts, whose runner does its work
}

// started is a kind of request that starts an execution, and what of the machine
// is in its figures beside Rekindle.
type started struct {
	name, verb string
	status     project.Status // of the projects that it is for
	working    bool
}

var starts = []started{
	{"run/api-alone", "run", project.Pending, false},
	{"restart/api-alone", "restart", project.Failed, false},
	{"run/with-work", "run", project.Pending, true},
	{"restart/with-work", "restart", project.Failed, true},
}

func (p e2ePlan) of(s started) int {
	if s.working {
		return p.working
	}
	return p.alone
}

// place is a project that a request is about.
type place struct{ tenant, project string }

func (p place) call(method, verb string) rig.Call {
	return rig.Call{Method: method, Path: path.Join("/api/tenant/projects", p.project, verb), Session: sessionOf(p.tenant)}
}

func sessionOf(tenant string) string { return tenant + ".bench-session" }

// seed writes the stack's seed file, and returns which projects are for which
// start at which number of clients.
func (p e2ePlan) seed(file string) (map[string][]place, error) {
	type object map[string]any
	var content struct {
		Tenants  []object `json:"tenants"`
		Projects []object `json:"projects"`
	}
	for t := range e2eTenants {
		id := fmt.Sprintf("tenant-%02d", t)
		content.Tenants = append(content.Tenants, object{
			"tenant_id": id, "name": id, "slug": id, "email": id + "@example.com", "subscription_state": project.Active, "session_token": sessionOf(id),
		})
	}
	places := map[string][]place{}
	n := 0
	for _, s := range starts {
		for _, c := range clients {
			for range p.of(s) {
				where := place{fmt.Sprintf("tenant-%02d", n%e2eTenants), fmt.Sprintf("project-%05d", n)}
				o := object{
					"tenant_id": where.tenant, "project_id": where.project, "name": "Corporate site", "description": small.description,
					"objectives": small.objectives, "activation_code": fmt.Sprintf("BENCH-%05d-2222", n), "execution_status": s.status,
				}
				if s.status == project.Failed {
					o["execution_id"], o["attempt"], o["execution_error"] = 1000+n, 1, small.failure
					o["execution_started_at"], o["execution_completed_at"] = "-2h", "-1h"
				}
				content.Projects = append(content.Projects, o)
				key := levelOf(s.name, c)
				places[key] = append(places[key], where)
				n++
			}
		}
	}
	text, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	return places, os.WriteFile(file, text, 0o600)
}

func levelOf(name string, clients int) string { return fmt.Sprintf("%s/clients=%d", name, clients) }

// runEndToEnd measures requests to the local stack, which is a process of its
// own, as its clients see them.
func runEndToEnd(ctx context.Context, e *env) (rows []row, err error) {
	p := e2ePlan{reading: 10 * time.Second, alone: 640, working: 320}
	if e.quick {
		p = e2ePlan{reading: time.Second, alone: 64, working: 64}
	}
	e.progress("building and seeding the local stack")
	programs, err := rig.Build(ctx, e.work)
	if err != nil {
		return nil, err
	}
	address, err := rig.FreeAddress()
	if err != nil {
		return nil, err
	}
	seed := filepath.Join(e.work, "seed.json")
	places, err := p.seed(seed)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(e.work, "data")
	stack, err := rig.Start(ctx, rig.Config{
		Program: programs.Stack, Listen: address, Data: data, Seed: seed, LogFile: filepath.Join(e.work, "stack.log"),
		Environ: []string{`PROJECT_COMMAND=["true"]`},
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if stack.Serves() {
			err = errors.Join(err, stack.Stop())
		}
		if err != nil && ctx.Err() == nil {
			rig.KeepLog(filepath.Join(e.work, "stack.log"), filepath.Base(e.work))
		}
		for _, left := range rig.Naming(e.work) {
			_ = syscall.Kill(left.PID, syscall.SIGKILL) // fails where it is gone
		}
	}()
	b := &e2eBench{stack: stack, home: e.work}

	someone := places[levelOf(starts[0].name, clients[0])]
	for _, c := range clients {
		e.progress("status with %d clients for %s", c, p.reading)
		r, err := b.reads(ctx, levelOf("status", c), c, p.reading, someone)
		if err != nil {
			return rows, err
		}
		rows = append(rows, r)
	}
	// First the starts that do their work, whose runners end; then those of a
	// runner that does nothing, which are left until the end.
	for _, working := range []bool{true, false} {
		if !working {
			if err := idleRunner(filepath.Join(data, "bin", "rekindle-runner")); err != nil {
				return rows, err
			}
		}
		for _, s := range starts {
			if s.working != working {
				continue
			}
			for _, c := range clients {
				e.progress("%d of %s with %d clients", p.of(s), s.name, c)
				r, err := b.starts(ctx, s, c, places[levelOf(s.name, c)])
				if err != nil {
					return rows, err
				}
				rows = append(rows, r)
			}
		}
	}
	e.note("As clients of the local stack see it: HTTP on this machine's loopback, the gateway, the function, the local database (dynalite on disk, one Node.js thread). Clients, stack and database share this machine's cores. What DynamoDB, API Gateway, Lambda and the network take of their own is not in it.")
	e.note("A client makes its next request when the last one is answered. Percentiles are nearest ranks: with n under 100 p99 is the slowest.")
	e.note("run and restart start a process on this machine before they answer. api-alone: it sleeps. with-work: it is the runner, which claims, runs true, and reports, and so makes two more calls and starts one more process, on the same cores; what clients wait for then is mostly that.")
	return rows, nil
}

// idleRunner puts a program that sleeps in the runner's place.
func idleRunner(runner string) error {
	script := runner + ".idle"
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec sleep 3600\n"), 0o700); err != nil {
		return err
	}
	return os.Rename(script, runner)
}

type e2eBench struct {
	stack *rig.Stack
	home  string
}

// timings are how long requests took.
type timings struct {
	mu   sync.Mutex
	took []time.Duration
}

func (t *timings) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.took = append(t.took, d)
}

// row makes the row of timings that were taken side by side for so long.
func (t *timings) row(name string, lasted time.Duration) row {
	slices.Sort(t.took)
	n := len(t.took)
	return row{Name: name, N: n, Metrics: []metric{
		nanoseconds(percentile(t.took, 0.5), "p50-ns"), nanoseconds(percentile(t.took, 0.99), "p99-ns"),
		{float64(n) / lasted.Seconds(), "requests/s"},
	}}
}

// each has clients make requests side by side until next has no more, and returns
// how long each took and all of them. The connections are there before.
func (b *e2eBench) each(ctx context.Context, clients int, warm place, next func() (rig.Call, func(rig.Answer) error, bool)) (*timings, time.Duration, error) {
	api := rig.NewClient(b.stack.URL, clients)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := func(do func() error) {
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				if err := do(); err != nil {
					cancel(err)
				}
			})
		}
		wg.Wait()
	}
	all(func() error {
		_, err := answered(ctx, api, warm.call(http.MethodGet, "status"))
		return err
	})
	t := &timings{}
	began := time.Now()
	all(func() error {
		for ctx.Err() == nil {
			c, check, more := next()
			if !more {
				return nil
			}
			at := time.Now()
			answer, err := answered(ctx, api, c)
			t.add(time.Since(at))
			if err == nil {
				err = check(answer)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return t, time.Since(began), context.Cause(ctx)
}

// answered makes a call; any answer but 200 is an error.
func answered(ctx context.Context, api *rig.Client, c rig.Call) (rig.Answer, error) {
	answer, err := api.Do(ctx, c)
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("%s %s was answered with %d %.300s", c.Method, c.Path, answer.Status, answer.Body)
	}
	return answer, err
}

// reads measures status for some time.
func (b *e2eBench) reads(ctx context.Context, name string, clients int, long time.Duration, of []place) (row, error) {
	until := time.Now().Add(long)
	var n atomic.Int64
	t, lasted, err := b.each(ctx, clients, of[0], func() (rig.Call, func(rig.Answer) error, bool) {
		where := of[int(n.Add(1))%len(of)]
		return where.call(http.MethodGet, "status"), func(a rig.Answer) error {
			var s rig.Status
			if err := a.Into(&s); err != nil {
				return err
			}
			if s.ProjectID != where.project || s.Status == "" {
				return fmt.Errorf("the status of %s was answered with %.300s", where.project, a.Body)
			}
			return nil
		}, time.Now().Before(until)
	})
	return t.row(name, lasted), err
}

// starts measures the start of each of some projects. Those that do their work
// have completed when it returns.
func (b *e2eBench) starts(ctx context.Context, s started, clients int, of []place) (row, error) {
	var n atomic.Int64
	t, lasted, err := b.each(ctx, clients, of[0], func() (rig.Call, func(rig.Answer) error, bool) {
		i := int(n.Add(1)) - 1
		if i >= len(of) {
			return rig.Call{}, nil, false
		}
		return of[i].call(http.MethodPost, s.verb), func(a rig.Answer) error {
			var began rig.Started
			if err := a.Into(&began); err != nil {
				return err
			}
			if began.Status != string(project.Running) || began.ExecutionID == 0 {
				return fmt.Errorf("%s was answered with %.300s", s.verb, a.Body)
			}
			return nil
		}, true
	})
	if err == nil && s.working {
		err = b.completed(ctx, of)
	}
	return t.row(levelOf(s.name, clients), lasted), err
}

// workWithin is how long started work may take to be over.
const workWithin = 5 * time.Minute

// completed waits until the work of some projects is over, and fails if it did
// not end well.
func (b *e2eBench) completed(ctx context.Context, of []place) error {
	ctx, cancel := context.WithTimeout(ctx, workWithin)
	defer cancel()
	api := rig.NewClient(b.stack.URL, 1)
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for _, where := range of {
		for {
			answer, err := answered(ctx, api, where.call(http.MethodGet, "status"))
			if err != nil {
				return err
			}
			var s rig.Status
			if err := answer.Into(&s); err != nil {
				return err
			}
			if s.Status == string(project.Completed) {
				break
			}
			if s.Status != string(project.Running) {
				return fmt.Errorf("the work of %s ended as %s: %s", where.project, s.Status, s.Error)
			}
			select {
			case <-look.C:
			case <-ctx.Done():
				return fmt.Errorf("the work of %s was not over: %w", where.project, ctx.Err())
			}
		}
	}
	// Completed is reported by the runner, which is there a moment longer.
	for len(b.runners()) > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("%d runners did not end: %w", len(b.runners()), ctx.Err())
		}
	}
	return nil
}

func (b *e2eBench) runners() []rig.Process {
	return slices.DeleteFunc(rig.Naming(b.home), func(p rig.Process) bool { return p.Program() != "rekindle-runner" })
}
