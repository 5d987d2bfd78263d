package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rekindle/infra/prove/rig"
	"rekindle/internal/dynamo"
)

// peerPython is what Makefile's .venv/bench/installed installs.
const peerPython = ".venv/bench/bin/python"

// peerFolder is where the Python package peer is.
const peerFolder = "infra/bench"

// serveWithin is how long a system may take until it answers.
const serveWithin = 2 * time.Minute

// system is something that serves the three calls, as processes of its own.
type system struct {
	name string
	url  string
	warm string // a failed project whose status is asked before anything is measured
	up   time.Duration
	pid  int
	// sweep is where the sweep is asked for.
	sweep string
	stop  func() error
}

// havePeer says how to install what the peer needs, where it is not there.
func havePeer() error {
	if _, err := os.Stat(".venv/bench/installed"); err != nil {
		return errors.New("the peer's Python packages are not installed: run make .venv/bench/installed")
	}
	return nil
}

// spawn starts a program whose output goes to a file, and returns once it answers
// the status of a project. The time that this took is the system's up.
func spawn(ctx context.Context, s *system, log string, environ []string, program string, args ...string) error {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), environ...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", s.name, err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	s.pid = cmd.Process.Pid
	s.stop = func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		limit := time.NewTimer(20 * time.Second)
		defer limit.Stop()
		select {
		case <-ended:
			return nil
		case <-limit.C:
			// The group is its own: nobody else's process is in it.
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
			return fmt.Errorf("%s did not end when it was asked to", s.name)
		}
	}
	if err := s.awaitServing(ctx, ended, began); err != nil {
		said, _ := os.ReadFile(log)
		return errors.Join(fmt.Errorf("%w; its last words: %s", err, said[max(0, len(said)-500):]), s.stop())
	}
	return nil
}

// awaitServing asks for a status until it is answered.
func (s *system) awaitServing(ctx context.Context, ended <-chan struct{}, began time.Time) error {
	client := rig.NewClient(s.url, 1)
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		err := s.call(ctx, client, "status", s.warm)
		if err == nil {
			s.up = time.Since(began)
			return nil
		}
		if time.Since(began) > serveWithin {
			return fmt.Errorf("%s does not serve: %w", s.name, err)
		}
		select {
		case <-again.C:
		case <-ended:
			return fmt.Errorf("%s has ended", s.name)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// peerBench is what the parts of the comparison share.
type peerBench struct {
	*env
	programs rig.Programs
	handlers string    // the built ./infra/bench/peer/handlers
	seed     *seedData // what the next system is seeded with
}

// warmProject is the failed project of every seed whose status is asked.
const warmProject = "check-status-0"

// uvicorn starts the peer over some store.
func (b *peerBench) uvicorn(ctx context.Context, name string, workers int, environ ...string) (*system, error) {
	address, err := rig.FreeAddress()
	if err != nil {
		return nil, err
	}
	s := &system{name: name, url: "http://" + address, warm: warmProject, sweep: "/internal/sweep"}
	_, port, _ := strings.Cut(address, ":")
	environ = append(environ, "OUTPUT_BASE="+filepath.Join(b.work, "output"))
	return s, spawn(ctx, s, filepath.Join(b.work, name+".log"), environ,
		peerPython, "-m", "uvicorn", "peer.app:app", "--app-dir", peerFolder, "--host", "127.0.0.1", "--port", port, "--workers", strconv.Itoa(workers))
}

// onSQLite starts the peer on a new database with what the seed has.
func (b *peerBench) onSQLite(ctx context.Context, name string, workers int) (*system, error) {
	database, seed := filepath.Join(b.work, name+".db"), filepath.Join(b.work, name+".json")
	if err := b.seed.write(seed); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, peerPython, "-m", "peer.seed", database, seed)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+peerFolder)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("seeding %s: %w: %s", name, err, out)
	}
	return b.uvicorn(ctx, name, workers, "PEER_STORE=sqlite", "PEER_DATABASE="+database)
}

// tablesAt are the settings by which functions, and the peer on boto3, reach a
// database with the template's tables.
func tablesAt(endpoint string) []string {
	return []string{
		dynamo.EndpointSetting + "=" + endpoint, "AWS_REGION=eu-central-1", "AWS_DEFAULT_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench",
		"PROJECTS_TABLE=" + projectsTable, "TENANTS_TABLE=" + tenantsTable, "SESSIONS_TABLE=" + sessionsTable, "SWEEPS_TABLE=SweepsTable",
	}
}

// onTables starts the peer on a database with the template's tables.
func (b *peerBench) onTables(ctx context.Context, name string, workers int, endpoint string) (*system, error) {
	return b.uvicorn(ctx, name, workers, append(tablesAt(endpoint), "PEER_STORE=dynamodb")...)
}

// handlersOn starts Rekindle's handlers on one.
func (b *peerBench) handlersOn(ctx context.Context, name, endpoint string) (*system, error) {
	address, err := rig.FreeAddress()
	if err != nil {
		return nil, err
	}
	s := &system{name: name, url: "http://" + address, warm: warmProject, sweep: "/internal/sweep"}
	environ := append(tablesAt(endpoint), "OUTPUT_BASE="+filepath.Join(b.work, "output"))
	return s, spawn(ctx, s, filepath.Join(b.work, name+".log"), environ, b.handlers, address)
}

// stack starts the local stack on a data folder whose database has the seed.
func (b *peerBench) stack(ctx context.Context, name string) (*system, *rig.Stack, error) {
	address, err := rig.FreeAddress()
	if err != nil {
		return nil, nil, err
	}
	data := filepath.Join(b.work, name)
	d, err := openDatabase(ctx, filepath.Join(data, "dynamodb"), false)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(b.seed.insert(ctx, d.store, time.Now()), d.close()); err != nil {
		return nil, nil, err
	}
	began := time.Now()
	running, err := rig.Start(ctx, rig.Config{
		Program: b.programs.Stack, Listen: address, Data: data, LogFile: filepath.Join(b.work, name+".log"),
		Environ: []string{`PROJECT_COMMAND=["true"]`, "PROJECT_EXECUTION_TIMEOUT_HOURS=24"},
	})
	if err != nil {
		return nil, nil, err
	}
	s := &system{
		name: name, url: running.URL, warm: warmProject, sweep: "/2015-03-31/functions/CleanupFunction/invocations",
		pid: running.PID(), stop: running.Stop,
	}
	if err := s.awaitServing(ctx, running.Done(), began); err != nil {
		return nil, nil, errors.Join(err, running.Stop())
	}
	return s, running, nil
}

// sweepNow has a system sweep until everything that is stuck has failed, and
// returns how long that took.
func (s *system) sweepNow(ctx context.Context, stuck int) (time.Duration, error) {
	began := time.Now()
	for failed := 0; failed < stuck; {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+s.sweep, nil)
		if err != nil {
			return 0, err
		}
		// Longer than a sweep may take on Lambda.
		resp, err := (&http.Client{Timeout: 16 * time.Minute}).Do(req)
		if err != nil {
			return 0, fmt.Errorf("%s: the sweep: %w", s.name, err)
		}
		var text bytes.Buffer
		_, err = text.ReadFrom(resp.Body)
		_ = resp.Body.Close()
		var receipt struct {
			Failed int `json:"failed"`
		}
		if err == nil {
			err = json.Unmarshal(text.Bytes(), &receipt)
		}
		if err != nil || resp.StatusCode != http.StatusOK || receipt.Failed == 0 {
			return 0, errors.Join(fmt.Errorf("%s: the sweep was answered with %d %s", s.name, resp.StatusCode, text.String()), err)
		}
		if failed += receipt.Failed; failed > stuck {
			return 0, fmt.Errorf("%s: the sweep failed %d, and %d were stuck", s.name, failed, stuck)
		}
	}
	return time.Since(began), nil
}

// family is a process and its descendants, all of which name a folder.
func family(pid int, folder string) []int {
	members := []int{pid}
	processes := rig.Naming(folder)
	slices.SortFunc(processes, func(a, b rig.Process) int { return a.PID - b.PID })
	for _, p := range processes {
		if slices.Contains(members, p.Parent) {
			members = append(members, p.PID)
		}
	}
	return members
}

// databaseOf returns the process of the local database that another has started, 0
// if there is none.
func databaseOf(parent int) int {
	for _, p := range rig.Naming("dynalite.mjs") {
		if p.Parent == parent {
			return p.PID
		}
	}
	return 0
}

// resident is how many bytes of memory a process and its descendants use, without
// one of them: what /proc/PID/status has as VmRSS, all of it, or as RssAnon. Pages
// that several share count for each.
func resident(pid int, folder, field string, without int) (bytes float64) {
	for _, one := range family(pid, folder) {
		if one == without {
			continue
		}
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(one), "status"))
		if err != nil {
			continue // it has ended
		}
		bytes += float64(fieldOf(string(text), field)) * 1024
	}
	return bytes
}

// processorTime is what a process, and those of its children that have ended,
// used of the processors.
func processorTime(pid int) time.Duration {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0 // it has ended: its parent's figure has it
	}
	return processorTimeOf(string(text))
}

// processorTimeOf reads a /proc/PID/stat: utime, stime, cutime and cstime, in
// ticks of 10 ms on every Linux that Go runs on.
func processorTimeOf(stat string) (sum time.Duration) {
	// The program's name, in brackets, may hold anything.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return 0
	}
	for _, text := range fields[11:15] {
		ticks, _ := strconv.ParseInt(text, 10, 64)
		sum += time.Duration(ticks) * 10 * time.Millisecond
	}
	return sum
}

// cpus is how many workers the peer gets where it is to use the whole machine.
func cpus() int { return runtime.GOMAXPROCS(0) }
