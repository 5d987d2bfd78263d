package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"rekindle/infra/prove/rig"
	"rekindle/internal/api"
	"rekindle/internal/dynamo"
	"rekindle/internal/project"
)

// How many times better than the peer Rekindle is to be.
const (
	goalRequests = 10 // of status and restart a second
	goalSweep    = 5  // projects a second
	goalMemory   = 5
	goalStart    = 10
)

// How many times better a row is than the peer's with one worker, and with one a
// core; how many times better than the former it is to be, and whether it is not
// (1, or 0).
const (
	timesPeer     = "times-peer"
	timesAllCores = "times-peer-all-cores"
	goalTimes     = "goal-times"
	goalMissed    = "missed"
)

// judged are the figures of a goal.
func judged(times, goal float64) []metric {
	missed := 0.0
	if times < goal {
		missed = 1
	}
	return []metric{{goal, goalTimes}, {missed, goalMissed}}
}

// peerPlan is how much is measured.
type peerPlan struct {
	clients  []int
	status   time.Duration // how long
	starts   int           // runs and restarts each
	launched int           // of those that launch a process
	stuck    int
	alone    int // calls in one process
	workers  []int
}

func planOf(quick bool) peerPlan {
	if quick {
		return peerPlan{clients: []int{8}, status: 500 * time.Millisecond, starts: 40, launched: 6, stuck: 160, alone: 200, workers: []int{1}}
	}
	workers := []int{1}
	if cpus() > 1 {
		workers = append(workers, cpus())
	}
	return peerPlan{workers: workers, clients: []int{1, 8, 64}, status: 3 * time.Second, starts: 400, launched: 64, stuck: 10_000, alone: 2000}
}

// runPeer compares Rekindle with the peer, in four ways: the whole of what a
// developer starts; the handlers on one and the same local database; the same on
// a database that answers at once; and a handler called in its own process.
func runPeer(ctx context.Context, e *env) (rows []row, err error) {
	if err := havePeer(); err != nil {
		return nil, err
	}
	plan := planOf(e.quick)
	b := &peerBench{env: e, handlers: filepath.Join(e.work, "handlers")}
	e.progress("building")
	if b.programs, err = rig.Build(ctx, e.work); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.handlers, "./infra/bench/peer/handlers").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the handlers: %w: %s", err, out)
	}
	defer func() { // runners of the stack that a failure has left
		for _, left := range rig.Naming(e.work) {
			_ = syscall.Kill(left.PID, syscall.SIGKILL) // fails where it is gone
		}
	}()
	for _, part := range []func(context.Context, peerPlan) ([]row, error){b.whole, b.sameDatabase, b.instantDatabase, b.inProcess} {
		more, err := part(ctx, plan)
		if rows = append(rows, more...); err != nil {
			return rows, err
		}
	}
	e.note("The peer is FastAPI on uvicorn with one worker, as it starts by itself, and in a full run also with one a core. times-peer is how many times better Rekindle is than the former, times-peer-all-cores than the latter; goal-times is what times-peer is to be, and missed says where it is less.")
	e.note("memory is resident memory after the loads; memory-of-its-own leaves out the pages of program files, which the system can drop and share. Of several processes it is the sum.")
	e.note("Clients, servers and databases share this machine's %d cores. cpu is the processor time that a request took of the server's program and its children (the stack's runners), cpu-database that of the local database. They depend least on what else the machine does.", cpus())
	return rows, nil
}

// comparison collects the rows of one way to compare.
type comparison struct {
	name string
	rows []row
}

// add keeps what a system had. The name reads way/what/system.
func (c *comparison) add(what, system string, n int, m ...metric) {
	c.rows = append(c.rows, row{Name: c.name + "/" + what + "/" + system, N: n, Metrics: m})
}

// judge says how many times better Rekindle's row of something is than the peer's
// with one worker, and than the one with a worker a core where there is one. Unit
// is what is compared; goal is 0 where there is none.
func (c *comparison) judge(what, rekindle, unit string, goal float64) {
	prefix := c.name + "/" + what + "/"
	mine := slices.IndexFunc(c.rows, func(r row) bool { return r.Name == prefix+rekindle })
	if mine < 0 {
		return
	}
	own, has := c.rows[mine].get(unit)
	against := 0.0
	for _, r := range c.rows {
		peer, of := strings.CutPrefix(r.Name, prefix+"fastapi")
		v, there := r.get(unit)
		if !of || !there || !has {
			continue
		}
		times := v / own
		if betterMore[unit] {
			times = own / v
		}
		if strings.HasSuffix(peer, "-workers") {
			c.rows[mine].Metrics = append(c.rows[mine].Metrics, metric{times, timesAllCores})
		} else {
			c.rows[mine].Metrics = append(c.rows[mine].Metrics, metric{times, timesPeer})
			against = times
		}
	}
	if goal > 0 {
		c.rows[mine].Metrics = append(c.rows[mine].Metrics, judged(against, goal)...)
	}
}

// loaded is a system with what is done to it in the loads of one comparison.
type loaded struct {
	*system
	starts   int // runs, and restarts, of each number of clients
	database int // the process of the local database; 0 where there is none
	// rest waits until what was started has ended; may be nil.
	rest func(context.Context) error
}

// seedStarts puts in what the loads of all systems run and restart.
func seedStarts(s *seedData, now time.Time, plan peerPlan, n int) {
	s.addMany(now, peerTenant, "check-status", 20, project.Failed)
	for _, clients := range plan.clients {
		s.addMany(now, peerTenant, fmt.Sprintf("run-%d", clients), n, project.Pending)
		s.addMany(now, peerTenant, fmt.Sprintf("restart-%d", clients), n, project.Failed)
	}
}

// idsOf are the projects that seedStarts has put in.
func idsOf(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = prefix + "-" + strconv.Itoa(i)
	}
	return ids
}

// loads has each number of clients ask a system for status, run and restart.
func (c *comparison) loads(ctx context.Context, e *env, plan peerPlan, s loaded) error {
	for _, verb := range []string{"status", "run", "restart"} {
		for _, clients := range plan.clients {
			e.progress("%s: %s by %d clients of %s", c.name, verb, clients, s.name)
			l := load{clients: clients, verb: verb, lasting: plan.status, ids: idsOf(fmt.Sprintf("%s-%d", verb, clients), s.starts)}
			if verb == "status" {
				l.ids = idsOf("check-status", 20)
			}
			before := s.used(e.work)
			m, err := l.drive(ctx, s.system)
			if err != nil {
				return err
			}
			after := s.used(e.work)
			n := time.Duration(len(m.took))
			metrics := append(m.metrics(), nanoseconds((after.program-before.program)/n, "cpu-ns"))
			if s.database != 0 {
				metrics = append(metrics, nanoseconds((after.database-before.database)/n, "cpu-database-ns"))
			}
			c.add(fmt.Sprintf("%s/clients=%d", verb, clients), s.name, len(m.took), metrics...)
			if s.rest != nil && verb != "status" {
				if err := s.rest(ctx); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// processors is what a system used of the processors: its program, with its
// children, and the local database.
type processors struct{ program, database time.Duration }

func (s loaded) used(folder string) (p processors) {
	for _, one := range family(s.pid, folder) {
		if one != s.database {
			p.program += processorTime(one)
		}
	}
	if s.database != 0 {
		p.database = processorTime(s.database)
	}
	return p
}

// judgeLoads compares what loads has measured.
func (c *comparison) judgeLoads(plan peerPlan, rekindle string) {
	for _, verb := range []string{"status", "run", "restart"} {
		goal := float64(goalRequests)
		if verb == "run" {
			goal = 0
		}
		for _, clients := range plan.clients {
			c.judge(fmt.Sprintf("%s/clients=%d", verb, clients), rekindle, "requests/s", goal)
		}
	}
}

// footprint keeps how soon a system served and how much memory its processes
// have, without one.
func (c *comparison) footprint(s *system, folder string, without int) {
	c.add("start", s.name, 1, nanoseconds(s.up, "up-ns"))
	c.add("memory", s.name, 1, metric{resident(s.pid, folder, "VmRSS", without), "rss-bytes"})
	c.add("memory-of-its-own", s.name, 1, metric{resident(s.pid, folder, "RssAnon", without), "rss-bytes"})
}

// sweep measures a sweep of what is stuck.
func (c *comparison) sweep(ctx context.Context, e *env, s *system, stuck int) error {
	e.progress("%s: %s sweeps %d", c.name, s.name, stuck)
	took, err := s.sweepNow(ctx, stuck)
	if err != nil {
		return err
	}
	c.add("sweep", s.name, stuck, metric{float64(stuck) / took.Seconds(), "projects/s"}, nanoseconds(took, "sweep-ns"))
	return nil
}

// The systems' names in the table.
const (
	rekindleStack    = "rekindle-stack"
	rekindleHandlers = "rekindle-handlers"
	fastapiSQLite    = "fastapi-sqlite"
	fastapiBoto3     = "fastapi-boto3"
)

func workersOf(name string, workers int) string {
	if workers == 1 {
		return name
	}
	return fmt.Sprintf("%s-%d-workers", name, workers)
}

// whole compares what a developer starts: the local stack with its database in
// Node.js and real child processes, and the peer with SQLite in its process, which
// launches nothing.
func (b *peerBench) whole(ctx context.Context, plan peerPlan) (_ []row, err error) {
	c := &comparison{name: "whole"}
	now := time.Now()
	for _, workers := range plan.workers {
		b.seed = newSeed(now)
		seedStarts(b.seed, now, plan, plan.starts)
		b.seed.addMany(now, stuckTenant, "stuck", plan.stuck, project.Running)
		s, err := b.onSQLite(ctx, workersOf(fastapiSQLite, workers), workers)
		if err != nil {
			return c.rows, err
		}
		// check-running is stuck as well.
		err = c.peer(ctx, b, plan, loaded{s, plan.starts, 0, nil}, plan.stuck+1, workers)
		if err := errors.Join(err, s.stop()); err != nil {
			return c.rows, err
		}
	}
	b.seed = newSeed(now)
	seedStarts(b.seed, now, plan, plan.launched)
	b.seed.addMany(now, stuckTenant, "stuck", plan.stuck, project.Running)
	b.progress("%s: seeding %s", c.name, rekindleStack)
	s, stack, err := b.stack(ctx, rekindleStack)
	if err != nil {
		return c.rows, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.check(ctx); err != nil {
		return c.rows, err
	}
	rest := func(ctx context.Context) error { return awaitNoRunner(ctx, stack.Data) }
	if err := rest(ctx); err != nil {
		return c.rows, err
	}
	database, found := stack.Database()
	if !found {
		return c.rows, errors.New("the stack's database is not to be found")
	}
	if err := c.loads(ctx, b.env, plan, loaded{s, plan.launched, database.PID, rest}); err != nil {
		return c.rows, err
	}
	c.footprint(s, b.work, database.PID)
	c.add("memory", rekindleStack+"+database", 1, metric{resident(s.pid, b.work, "VmRSS", 0), "rss-bytes"})
	if err := c.sweep(ctx, b.env, s, plan.stuck+1); err != nil {
		return c.rows, err
	}
	c.judgeLoads(plan, rekindleStack)
	c.judge("start", rekindleStack, "up-ns", 0)
	c.judge("memory", rekindleStack, "rss-bytes", goalMemory)
	c.judge("memory", rekindleStack+"+database", "rss-bytes", 0)
	c.judge("memory-of-its-own", rekindleStack, "rss-bytes", 0)
	c.judge("sweep", rekindleStack, "projects/s", goalSweep)
	b.note("whole: what a developer starts. Rekindle's stack has its database in a process of Node.js, of one thread, and each run and restart starts a runner, whose claim and result are further calls; its start builds the runner's program and starts the database. The peer has SQLite in its process and launches nothing. So the two do not do the same work: what is missed in these rows is missed for the database (see cpu-database) and the launches. The rows below take that away.")
	return c.rows, nil
}

// peer checks a system's answers and then measures it.
func (c *comparison) peer(ctx context.Context, b *peerBench, plan peerPlan, s loaded, stuck, workers int) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	return c.all(ctx, b, plan, s, stuck, workers)
}

// all measures a system.
func (c *comparison) all(ctx context.Context, b *peerBench, plan peerPlan, s loaded, stuck, workers int) error {
	if err := c.loads(ctx, b.env, plan, s); err != nil {
		return err
	}
	c.footprint(s.system, b.work, 0)
	if workers > 1 {
		return nil // a sweep is one call, and so one worker's
	}
	return c.sweep(ctx, b.env, s.system, stuck)
}

// awaitNoRunner waits until every runner of a stack has ended.
func awaitNoRunner(ctx context.Context, data string) error {
	limit := time.NewTimer(3 * time.Minute)
	defer limit.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		left := 0
		for _, p := range rig.Naming(data) {
			if p.Program() == "rekindle-runner" {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-again.C:
		case <-limit.C:
			return fmt.Errorf("%d runners have not ended", left)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sameDatabase compares Rekindle's handlers with the peer on boto3, on one local
// database, with the same tables and items. Neither launches anything.
func (b *peerBench) sameDatabase(ctx context.Context, plan peerPlan) ([]row, error) {
	c := &comparison{name: "same-database"}
	one := func(name string, workers int) error {
		d, err := openDatabase(ctx, "", false)
		if err != nil {
			return err
		}
		now := time.Now()
		b.seed = newSeed(now)
		seedStarts(b.seed, now, plan, plan.starts)
		b.seed.addMany(now, stuckTenant, "stuck", plan.stuck, project.Running)
		b.progress("%s: seeding %s", c.name, name)
		if err := b.seed.insert(ctx, d.store, now); err != nil {
			return errors.Join(err, d.close())
		}
		var s *system
		if name == rekindleHandlers {
			s, err = b.handlersOn(ctx, name, d.server.Endpoint())
		} else {
			s, err = b.onTables(ctx, name, workers, d.server.Endpoint())
		}
		if err != nil {
			return errors.Join(err, d.close())
		}
		err = c.peer(ctx, b, plan, loaded{s, plan.starts, databaseOf(os.Getpid()), nil}, plan.stuck+1, workers)
		return errors.Join(err, s.stop(), d.close())
	}
	if err := b.each(plan, one); err != nil {
		return c.rows, err
	}
	c.judgeAll(plan)
	b.note("same-database: both on the same local database with the same items and calls (one BatchGetItem, one UpdateItem), and neither launches anything. What is left between them is the programs. The database is one thread of Node.js, and where it is busy all the time neither can be faster.")
	return c.rows, nil
}

// each measures Rekindle's handlers and the peer with one and with many workers.
func (b *peerBench) each(plan peerPlan, one func(name string, workers int) error) error {
	for _, workers := range plan.workers {
		if err := one(workersOf(fastapiBoto3, workers), workers); err != nil {
			return err
		}
	}
	return one(rekindleHandlers, 1)
}

// judgeAll compares all that Rekindle's handlers had.
func (c *comparison) judgeAll(plan peerPlan) {
	c.judgeLoads(plan, rekindleHandlers)
	c.judge("start", rekindleHandlers, "up-ns", goalStart)
	c.judge("memory", rekindleHandlers, "rss-bytes", goalMemory)
	c.judge("memory-of-its-own", rekindleHandlers, "rss-bytes", 0)
	c.judge("sweep", rekindleHandlers, "projects/s", goalSweep)
}

// instantDatabase compares the same two on a database that answers at once, over
// the same wire.
func (b *peerBench) instantDatabase(ctx context.Context, plan peerPlan) ([]row, error) {
	c := &comparison{name: "instant-database"}
	one := func(name string, workers int) error {
		endpoint, stop, err := serve(&instant{now: time.Now(), stuck: plan.stuck})
		if err != nil {
			return err
		}
		var s *system
		if name == rekindleHandlers {
			s, err = b.handlersOn(ctx, name, endpoint)
		} else {
			s, err = b.onTables(ctx, name, workers, endpoint)
		}
		if err != nil {
			return errors.Join(err, stop())
		}
		// The answers of both were checked on the database that remembers.
		err = c.all(ctx, b, plan, loaded{s, plan.starts, 0, nil}, plan.stuck, workers)
		return errors.Join(err, s.stop(), stop())
	}
	if err := b.each(plan, one); err != nil {
		return c.rows, err
	}
	c.judgeAll(plan)
	b.note("instant-database: the same two programs, over the same protocol, with a database that answers at once and so is the bottleneck of neither, as DynamoDB is not.")
	return c.rows, nil
}

// inProcess compares a handler that is called in its own process, without a
// server: Rekindle's with its DynamoDB client, whose transport answers at once,
// and the peer's with SQLite.
func (b *peerBench) inProcess(ctx context.Context, plan peerPlan) ([]row, error) {
	c := &comparison{name: "in-process"}
	now := time.Now()
	b.seed = newSeed(now)
	seedStarts(b.seed, now, peerPlan{clients: []int{1}}, plan.alone)
	database, seed := filepath.Join(b.work, "in-process.db"), filepath.Join(b.work, "in-process.json")
	if err := b.seed.write(seed); err != nil {
		return nil, err
	}
	b.progress("%s", c.name)
	cmd := exec.CommandContext(ctx, peerPython, "-m", "peer.inprocess", database, seed, sessionToken(peerTenant, ""), strconv.Itoa(plan.alone))
	cmd.Env = append(os.Environ(), "PYTHONPATH="+peerFolder, "PEER_STORE=sqlite", "PEER_DATABASE="+database)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("calling the peer in its process: %w", err)
	}
	var peer map[string]float64 // ns a call, by verb
	if err := json.Unmarshal(out, &peer); err != nil {
		return nil, fmt.Errorf("calling the peer in its process: %w", err)
	}
	settings := map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
	client, err := dynamo.ClientFromEnv(
		func(name string) (string, bool) { v, set := settings[name]; return v, set },
		func(o *dynamodb.Options) { o.HTTPClient = &http.Client{Transport: &instant{now: now}} },
	)
	if err != nil {
		return nil, err
	}
	store := dynamo.New(client, dynamo.Tables{Projects: projectsTable, Tenants: tenantsTable, Sessions: sessionsTable})
	o := api.Options{Log: slog.New(slog.DiscardHandler)}
	for _, v := range []struct {
		method, verb, id string
		handler          *api.Handler
	}{
		{http.MethodGet, "status", warmProject, api.NewStatus(store, project.DefaultTimeout, o)},
		{http.MethodPost, "run", "run-1-0", api.NewRun(store, idleEngine{}, outputBase, o)},
		{http.MethodPost, "restart", "restart-1-0", api.NewRestart(store, idleEngine{}, outputBase, o)},
	} {
		ready := tenants(v.handler, v.method, v.verb, v.id, sessionToken(peerTenant, ""))
		began := time.Now()
		for range plan.alone {
			if err := ready.make(ctx); err != nil {
				return c.rows, err
			}
		}
		mine := time.Since(began) / time.Duration(plan.alone)
		if peer[v.verb] <= 0 {
			return c.rows, fmt.Errorf("the peer in its process has no figure for %s", v.verb)
		}
		c.add(v.verb, fastapiSQLite, plan.alone, metric{peer[v.verb], "ns/op"})
		c.add(v.verb, rekindleHandlers, plan.alone, nanoseconds(mine, "ns/op"))
		goal := float64(goalRequests)
		if v.verb == "run" {
			goal = 0
		}
		c.judge(v.verb, rekindleHandlers, "ns/op", goal)
	}
	b.note("in-process: one call after the other, without a server. Rekindle's has its DynamoDB client's signing and coding, with a transport that answers at once; the peer has SQLite.")
	return c.rows, nil
}
