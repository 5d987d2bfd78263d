//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"rekindle/infra/prove/rig"
	"rekindle/internal/project"
)

// victim is what is killed.
type victim string

const (
	theStack    victim = "stack"
	theDatabase victim = "database"
	theRunner   victim = "runner"
	theCommand  victim = "command"
	theHelper   victim = "helper" // what the command has started
)

// moment is when: in the life of the execution whose runner, command and helper
// are the victims.
type moment string

const (
	starting  moment = "starting"  // as it is started
	running   moment = "running"   // as the command works
	finishing moment = "finishing" // as the command ends and its runner reports
)

var (
	moments = []moment{running, starting, finishing}
	// In half of the rounds one is killed, in the others two at once: in this
	// order, as fast as can be.
	victims = [][]victim{
		{theStack}, {theRunner}, {theHelper}, {theRunner, theStack}, {theStack, theRunner},
		{theStack, theCommand}, {theDatabase}, {theCommand}, {theStack, theHelper}, {theDatabase, theRunner},
	}
)

// plan is what a round kills and when. Each goes with each moment within 30
// rounds.
func plan(round int) ([]victim, moment) {
	return victims[round%len(victims)], moments[(round+round/len(victims))%len(moments)]
}

// within is how far into the start or the end of an execution a kill may come.
const within = 60 * time.Millisecond

func kill(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) } // fails where it is gone

// reasons are what a tenant may be told of an attempt that a kill has ended, by
// who was killed. Without its runner, command or helper killed, an execution
// completes.
var reasons = map[victim]*regexp.Regexp{
	theRunner: regexp.MustCompile(`^(The runner was killed by signal 9 without reporting a result` +
		`|The runner ended while the local stack was down, without reporting a result` +
		`|The runner ended without reporting a result)$`),
	theCommand: regexp.MustCompile(`^The command was killed by signal SIGKILL \(9\)$`),
	theHelper:  regexp.MustCompile(`^The helper was killed$`),
}

// startReasons are those of a start that the stack's or the database's end cut
// off.
var startReasons = regexp.MustCompile(`^(The local stack was stopped while it started the runner` +
	`|The project could not be launched: the execution engine did not accept it)$`)

// explained says whether a failure is one that these kills explain.
func explained(why string, killed []victim, when moment) bool {
	for _, v := range killed {
		if r := reasons[v]; r != nil && r.MatchString(why) {
			return true
		}
		if (v == theStack || v == theDatabase) && when == starting && startReasons.MatchString(why) {
			return true
		}
	}
	return false
}

// round has two projects run, kills something of the first one, and sees both to
// their end, and the first one's restart. It returns the line to print, and what
// was wrong.
func (p *proof) round(ctx context.Context, n int) (string, []string, error) {
	plan, when := plan(n)
	beside, err := p.create(ctx, fmt.Sprintf("Round %d beside", n+1))
	if err != nil {
		return "", nil, err
	}
	target, err := p.create(ctx, fmt.Sprintf("Round %d target", n+1))
	if err != nil {
		return "", nil, err
	}
	besideHello, err := p.begin(ctx, beside)
	if err != nil {
		return "", nil, err
	}
	besideRunner := parentRunner(p.home, besideHello.PID)

	began := make(chan error, 1) // what came of the start of the target
	switch when {
	case starting:
		go func() { _, err := p.ask(ctx, target, "run"); began <- err }()
		pause(ctx, rand.N(within))
	default:
		if _, err := p.begin(ctx, target); err != nil {
			return "", nil, err
		}
		began <- nil
		if when == finishing {
			p.hub.order(target, complete)
			pause(ctx, rand.N(within))
		}
	}

	at := time.Now()
	var killed []victim
	down := false
	for _, v := range plan {
		pid := p.find(ctx, v, besideRunner, when == starting)
		if pid == 0 {
			continue // it had ended, or never began
		}
		kill(pid)
		killed = append(killed, v)
		down = down || v == theStack || v == theDatabase
	}
	if down {
		if err := p.stack.AwaitEnd(); err != nil {
			return "", nil, err
		}
	}
	if err := <-began; err != nil {
		return "", nil, err
	}
	// In every other round the commands end while nobody is there to be told.
	if n%2 == 0 {
		p.hub.order(beside, complete)
		p.hub.order(target, complete)
	}
	if down {
		if err := p.start(ctx); err != nil {
			return "", nil, err
		}
	}
	p.hub.order(beside, complete)
	p.hub.order(target, complete)

	var wrong []string
	got, err := p.settle(ctx, target)
	if err != nil {
		return "", nil, err
	}
	gotBeside, err := p.settle(ctx, beside)
	if err != nil {
		return "", nil, err
	}
	settled := time.Since(at)
	if gotBeside.Status != string(project.Completed) {
		wrong = append(wrong, fmt.Sprintf("%s: nothing of it was killed, and it is %s: %s", beside, gotBeside.Status, gotBeside.Error))
	}
	came := got.Status
	if got.Status == string(project.Failed) {
		came = fmt.Sprintf("failed (%s)", got.Error)
		if !explained(got.Error, killed, when) {
			wrong = append(wrong, fmt.Sprintf("%s: killed were %v, %s, and it says %q", target, killed, when, got.Error))
		}
		if _, err := p.ask(ctx, target, "restart"); err != nil {
			return "", nil, err
		}
		if got, err = p.settle(ctx, target); err != nil {
			return "", nil, err
		}
		came += ", restarted, " + got.Status
	}
	if got.Status != string(project.Completed) {
		wrong = append(wrong, fmt.Sprintf("%s: in the end it is %s: %s", target, got.Status, got.Error))
	}
	if err := resultOf(got, p.config.Data); err != nil {
		wrong = append(wrong, fmt.Sprintf("%s: it has completed, and its output is not there: %v", target, err))
	}
	found, err := p.check(ctx, target, beside)
	if err != nil {
		return "", nil, err
	}
	names := make([]string, 0, len(killed))
	for _, v := range killed {
		names = append(names, string(v))
	}
	if len(names) == 0 {
		names = []string{"nothing, it was over"}
	}
	line := fmt.Sprintf("%-18s %-10s %s; at rest after %.1f s", strings.Join(names, " + "), when, came, settled.Seconds())
	return line, append(wrong, found...), nil
}

// begin runs a project and returns once its command works.
func (p *proof) begin(ctx context.Context, id string) (hello, error) {
	executionID, err := p.ask(ctx, id, "run")
	if err != nil {
		return hello{}, err
	}
	if executionID == 0 {
		return hello{}, fmt.Errorf("%s could not be run, and nothing was killed", id)
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	return p.hub.await(ctx, id, executionID)
}

// pause lets a while pass: nothing is waited for, it only makes the kills come at
// different instants.
func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

// appearWithin is how long a victim that has just been started may take to be
// there.
const appearWithin = 3 * time.Second

// find returns a victim's process, 0 if there is none. Where the execution is
// only just being started it waits for the process to appear.
func (p *proof) find(ctx context.Context, v victim, notRunner int, wait bool) int {
	ctx, cancel := context.WithTimeout(ctx, appearWithin)
	defer cancel()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		if pid := p.lookFor(v, notRunner); pid != 0 || !wait || v == theStack || v == theDatabase {
			return pid
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return 0
		}
	}
}

// lookFor finds a victim among the processes of the proof. Of the two runners it
// is the one that is not given.
func (p *proof) lookFor(v victim, notRunner int) int {
	if v == theStack {
		return p.stack.PID()
	}
	if v == theDatabase {
		database, _ := p.stack.Database()
		return database.PID
	}
	all := rig.Naming(p.home)
	parent := map[int]int{}
	for _, found := range all {
		parent[found.PID] = found.Parent
	}
	for _, found := range all {
		switch {
		case v == theRunner && isRunner(found) && found.PID != notRunner,
			v == theCommand && isOurs(found, commandName) && found.Parent != notRunner,
			v == theHelper && isOurs(found, helperName) && parent[found.Parent] != notRunner:
			return found.PID
		}
	}
	return 0
}

// parentRunner returns the runner of a command.
func parentRunner(home string, command int) int {
	for _, found := range rig.Naming(home) {
		if found.PID == command {
			return found.Parent
		}
	}
	return 0
}

func isRunner(found rig.Process) bool { return found.Program() == "rekindle-runner" }
func isOurs(found rig.Process, name string) bool {
	return len(found.Args) > 1 && slices.Equal(found.Args[1:2], []string{name})
}

// resultOf finds what the command of the project's present execution wrote.
func resultOf(s rig.Status, data string) error {
	files, err := filepath.Glob(filepath.Join(data, "output", tenant, "*", fmt.Sprint(s.ExecutionID), "result.txt"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("got %d files, want one", len(files))
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	if got, want := string(text), fmt.Sprintln(s.ExecutionID); got != want {
		return fmt.Errorf("got %q in it, want %q", got, want)
	}
	return nil
}
