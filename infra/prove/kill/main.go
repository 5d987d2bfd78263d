//go:build linux

// Command kill proves on the real local stack that nothing is lost, nothing runs
// twice and nothing stays stuck, whatever is killed: `make kill`.
//
// It builds the stack, serves it on a data folder of its own, and has projects
// run a command that is this same program. In each round it kills the stack, its
// database, a runner, a command or a process that the command has started, or
// two of them at once, by SIGKILL, as an execution starts, as it runs or as it
// ends. A round is over when everything is at rest; then the API is held against
// a journal of what it answered. Further rounds fill the disks (as root, who may
// mount small ones). Before all, faults are planted, to see that each is found.
//
// It prints a line a round, and exits with 1 if anything was wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"rekindle/infra/prove/rig"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == commandName {
		os.Exit(runCommand(os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == helperName {
		os.Exit(runHelper())
	}
	rounds := flag.Int("rounds", 20, "how often something is killed")
	flag.Parse()
	if flag.NArg() > 0 || *rounds < 0 {
		fmt.Fprintln(os.Stderr, "usage: go run ./infra/prove/kill [-rounds 20]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	wrong, err := prove(ctx, *rounds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kill:", err)
	}
	if err != nil || wrong > 0 {
		stop()
		os.Exit(1)
	}
}

// prove returns how much was found wrong. An error is that it could not go on.
func prove(ctx context.Context, rounds int) (wrong int, err error) {
	home, err := os.MkdirTemp("", "rekindle-kill-")
	if err != nil {
		return 0, err
	}
	defer func() {
		if wrong > 0 || err != nil {
			rig.KeepLog(filepath.Join(home, "stack.log"), filepath.Base(home))
		}
		err = errors.Join(err, os.RemoveAll(home))
	}()
	began := time.Now()
	mounted, unmount, err := mountDisks(home)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	p, err := newProof(ctx, home)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	if err := p.issue(ctx, 2*rounds+20); err != nil {
		return 0, err
	}
	tell := func(label, line string, found []string) {
		fmt.Printf("%-9s %s\n", label, line)
		for _, w := range found {
			fmt.Println("  WRONG:", strings.ReplaceAll(w, "\n", "; "))
		}
		wrong += len(found)
	}

	line, found, err := p.selfCheck(ctx)
	if err != nil {
		return wrong, fmt.Errorf("self-check: %w", err)
	}
	tell("self", line, found)
	for n := range rounds {
		line, found, err := p.round(ctx, n)
		if err != nil {
			plan, when := plan(n)
			return wrong, fmt.Errorf("round %d, %v, %s: %w", n+1, plan, when, err)
		}
		tell(fmt.Sprintf("round %d", n+1), line, found)
	}
	if !mounted {
		fmt.Println("Not run: the rounds with full disks. Mounting small disks needs root.")
	} else {
		for _, full := range []struct {
			name string
			run  func(context.Context) (string, []string, error)
		}{{"the output's disk", p.outputFull}, {"the data's disk", p.dataFull}} {
			line, found, err := full.run(ctx)
			if err != nil {
				return wrong, fmt.Errorf("%s full: %w", full.name, err)
			}
			tell("disk", line, found)
		}
	}
	fmt.Printf("%d rounds, %d projects, %s: ", rounds, len(p.journal), time.Since(began).Round(time.Second))
	if wrong > 0 {
		fmt.Printf("%d things are wrong\n", wrong)
	} else {
		fmt.Println("nothing lost, nothing twice, nothing stuck, nothing left behind")
	}
	return wrong, nil
}
