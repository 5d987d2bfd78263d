// Command load proves on the real local stack that nothing is lost under load:
// `make load`.
//
// It serves the stack on a data folder of its own, with 200 tenants (every tenth
// on trial) and 2,000 projects, and for a minute has 64 clients make mixed calls,
// while the sweep runs every few seconds. Real runners run a command that fails,
// ends well or waits until it is stopped. Half of those who start a project race
// its runner for the claim, with an execution token that is made with the stack's
// own secret, and play the runner where they win. Runs and restarts are limited
// to so many a second, for each starts processes on this machine; all other calls
// are made as fast as they are answered.
//
// At the end, when nothing runs any more, every project is held against what the
// clients were answered. It prints a table, and exits with 1 if anything was
// wrong: an answer of 5xx (503 too), a transition that was lost or came twice, or
// memory of the stack that grew.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"rekindle/infra/prove/rig"
	"rekindle/internal/project"
	"rekindle/internal/token"
)

const (
	// sweepEvery is the pace of the sweeps, limitHours what they judge by
	// (9 seconds), so that they have something to fail.
	sweepEvery = 3 * time.Second
	limitHours = "0.0025"
	// restWithin is how long what runs at the end may take to end.
	restWithin = 2 * time.Minute
	// spelledOut is how many violations are printed in full.
	spelledOut = 10
)

// command is what runs a project: by its objectives it waits to be stopped,
// fails, or ends well.
const command = `case $PROJECT_OBJECTIVES in wait*) exec sleep 60;; fail*) echo no luck >&2; exit 3;; esac`

// objectives of the projects, in turn.
var objectives = []string{"fail", "wait", "fail", "fail", "end well"}

type plan struct {
	seconds, clients, tenants, projects, starts int
}

func main() {
	var p plan
	flag.IntVar(&p.seconds, "seconds", 60, "how long")
	flag.IntVar(&p.clients, "clients", 64, "how many at once")
	flag.IntVar(&p.tenants, "tenants", 200, "how many")
	flag.IntVar(&p.projects, "projects", 2000, "how many there are at first, of all tenants together")
	flag.IntVar(&p.starts, "starts", 25, "how many runs and restarts a second, at most")
	flag.Parse()
	if flag.NArg() > 0 || p.seconds < 1 || p.clients < 1 || p.tenants < 1 || p.projects < p.tenants || p.starts < 1 {
		fmt.Fprintln(os.Stderr, "usage: go run ./infra/prove/load [-seconds 60] [-clients 64] [-tenants 200] [-projects 2000] [-starts 25]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	good, err := p.prove(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
	}
	if err != nil || !good {
		stop()
		os.Exit(1)
	}
}

// seedFile writes the tenants and their projects.
func (p plan) seedFile(path string) (tenants []string, err error) {
	type object map[string]any
	var file struct {
		Tenants  []object `json:"tenants"`
		Projects []object `json:"projects"`
	}
	for t := range p.tenants {
		id := fmt.Sprintf("tenant-%03d", t)
		tenants = append(tenants, id)
		subscription := project.Active
		if onTrial(t) {
			subscription = project.Trialing
		}
		file.Tenants = append(file.Tenants, object{
			"tenant_id": id, "name": id, "slug": id, "email": id + "@example.com", "subscription_state": subscription, "session_token": sessionOf(id),
		})
		for n := range p.projects / p.tenants {
			file.Projects = append(file.Projects, object{
				"tenant_id": id, "project_id": slug(n), "name": fmt.Sprintf("Project %d", n), "description": "There from the beginning",
				"objectives": objectives[(t+n)%len(objectives)], "activation_code": fmt.Sprintf("LOAD-%04d-%04d-2222", t, n),
			})
		}
	}
	text, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	return tenants, os.WriteFile(path, text, 0o600)
}

// onTrial says whether the n-th tenant is on trial.
func onTrial(n int) bool { return n%10 == 3 }

func (p plan) prove(ctx context.Context) (good bool, err error) {
	home, err := os.MkdirTemp("", "rekindle-load-")
	if err != nil {
		return false, err
	}
	defer func() {
		if !good || err != nil {
			rig.KeepLog(filepath.Join(home, "stack.log"), filepath.Base(home))
		}
		err = errors.Join(err, os.RemoveAll(home))
	}()
	programs, err := rig.Build(ctx, home)
	if err != nil {
		return false, err
	}
	address, err := rig.FreeAddress()
	if err != nil {
		return false, err
	}
	seed := filepath.Join(home, "seed.json")
	tenants, err := p.seedFile(seed)
	if err != nil {
		return false, err
	}
	used := &memory{}
	l := &load{
		api: rig.NewClient("http://"+address, p.clients), journal: newJournal(), measures: newMeasures(),
		tenants: tenants, seeded: p.projects / p.tenants, starts: make(chan struct{}, p.starts), wrong: map[string]int{},
	}
	for _, tenant := range tenants {
		for n := range l.seeded {
			l.journal.at(project.Key{TenantID: tenant, ProjectID: slug(n)}, func(*entry) {})
		}
	}
	// The stack tells of its collections before it is known where it serves.
	var loading sync.Map
	seeded := time.Now()
	stack, err := rig.Start(ctx, rig.Config{
		Program: programs.Stack, Listen: address, Data: filepath.Join(home, "data"), Seed: seed, LogFile: filepath.Join(home, "stack.log"),
		Environ: []string{
			"PROJECT_COMMAND=" + command, "PROJECT_EXECUTION_TIMEOUT_HOURS=" + limitHours, "PROJECT_HEARTBEAT_SECONDS=3", "GODEBUG=gctrace=1",
		},
		OnLine: func(line string) {
			heap, ok := heapOf(line)
			if run, began := loading.Load("run"); ok && began {
				run.(func(int))(heap)
			}
		},
	})
	if err != nil {
		return false, err
	}
	defer func() {
		if stack.Serves() {
			err = errors.Join(err, stack.Stop())
		}
		for _, left := range rig.Naming(home) {
			_ = syscall.Kill(left.PID, syscall.SIGKILL) // fails where it is gone
		}
	}()
	secret, err := os.ReadFile(filepath.Join(home, "data", "secret"))
	if err != nil {
		return false, err
	}
	if l.keys, err = token.NewKeyring(string(secret)); err != nil {
		return false, err
	}
	fmt.Printf("%d tenants with %d projects, seeded and served in %.1f s; %d clients for %d s, at most %d runs and restarts a second\n",
		p.tenants, p.projects, time.Since(seeded).Seconds(), p.clients, p.seconds, p.starts)

	database, _ := stack.Database()
	l.began = time.Now()
	loading.Store("run", func(heap int) {
		used.add(sample{
			at: time.Since(l.began), heapMB: heap, stackMB: rig.ResidentKB(stack.PID()) >> 10, database: rig.ResidentKB(database.PID) >> 10,
		})
	})
	lasted := l.drive(ctx, p, stack)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if !stack.Serves() {
		l.violation("the stack has ended")
	} else if err := l.verify(ctx); err != nil {
		return false, err
	}
	medians, grown := used.verdict(lasted)
	for _, w := range grown {
		l.violation("%s", w)
	}
	return l.tell(lasted, medians), nil
}

// drive has the clients make their calls, and returns how long that lasted.
func (l *load) drive(ctx context.Context, p plan, stack *rig.Stack) time.Duration {
	during, cancel := context.WithTimeout(ctx, time.Duration(p.seconds)*time.Second)
	defer cancel()
	go func() {
		select {
		case <-stack.Done():
			cancel()
		case <-during.Done():
		}
	}()
	var all, beside sync.WaitGroup
	background, end := context.WithCancel(ctx)
	beside.Go(func() {
		leave := time.NewTicker(time.Second / time.Duration(p.starts))
		defer leave.Stop()
		for {
			select {
			case <-leave.C:
				select {
				case l.starts <- struct{}{}:
				default:
				}
			case <-background.Done():
				return
			}
		}
	})
	beside.Go(func() {
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				l.sweep(background)
			case <-background.Done():
				return
			}
		}
	})
	for range p.clients {
		all.Go(func() {
			l.client(during, context.WithoutCancel(ctx))
		})
	}
	all.Wait()
	lasted := time.Since(l.began)
	end()
	beside.Wait()
	return lasted
}

// sweep invokes the cleanup function, as its schedule does.
func (l *load) sweep(ctx context.Context) {
	answer, ok := l.call(ctx, "sweep", rig.Call{Method: http.MethodPost, Path: "/2015-03-31/functions/CleanupFunction/invocations"}, project.Key{})
	if !ok {
		return
	}
	var receipt struct {
		Failed   int            `json:"failed"`
		Complete bool           `json:"complete"`
		Skipped  map[string]int `json:"skipped"`
	}
	if err := answer.Into(&receipt); err != nil || !receipt.Complete || receipt.Skipped["error"] > 0 {
		l.violation("a sweep was not complete: %s", answer.Body)
	}
	l.mu.Lock()
	l.swept += receipt.Failed
	l.mu.Unlock()
}

// tell prints the table and the verdict, and returns whether all is well.
func (l *load) tell(lasted time.Duration, medians []sample) bool {
	table, total := l.measures.table()
	fmt.Print(table)
	fmt.Printf("%d calls in %.1f s: %.0f a second; %d executions were failed by the sweep\n", total, lasted.Seconds(), float64(total)/lasted.Seconds(), l.swept)
	fmt.Println("memory in MB after collections, medians:")
	for _, m := range medians {
		fmt.Printf("  to %4.0f s  stack %4d  of it in use %4d  database %4d\n", m.at.Seconds(), m.stackMB, m.heapMB, m.database)
	}
	if len(l.order) == 0 {
		fmt.Println("nothing lost, nothing twice, no answer of 5xx, memory flat")
		return true
	}
	fmt.Printf("%d kinds of things are wrong\n", len(l.order))
	for _, text := range l.order[:min(spelledOut, len(l.order))] {
		fmt.Printf("  WRONG (%d times): %s\n", l.wrong[text], strings.ReplaceAll(text, "\n", "; "))
	}
	return false
}
