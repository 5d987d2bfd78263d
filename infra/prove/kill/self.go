//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"rekindle/infra/prove/rig"
	"rekindle/internal/project"
)

// selfCheck plants what must never be, and sees that each is found: a proof that
// can't fail proves nothing.
func (p *proof) selfCheck(ctx context.Context) (string, []string, error) {
	id, err := p.create(ctx, "Self-check")
	if err != nil {
		return "", nil, err
	}
	live, err := p.begin(ctx, id)
	if err != nil {
		return "", nil, err
	}
	var missed []string
	seen := 0
	expect := func(what, part string, found []string) {
		for _, f := range found {
			if strings.Contains(f, part) {
				seen++
				return
			}
		}
		missed = append(missed, fmt.Sprintf("planted: %s; found: %q", what, found))
	}

	// A second command of the project, while the first lives.
	second := exec.CommandContext(ctx, os.Args[0], commandName, p.home)
	second.Env = append(os.Environ(), "TENANT_ID="+tenant, "PROJECT_ID="+id, "EXECUTION_ID=1")
	if err := second.Run(); err == nil {
		return "", nil, errors.New("a second command of a project ran to its end")
	}
	expect("a second live command", "execution 1 ", p.twins())
	// The command of one execution, begun again.
	if err := p.again(live); err != nil {
		return "", nil, err
	}
	expect("a command that begins again", "began 2 times", p.awaitTwins(ctx))
	// It runs, and is said to be at rest; its processes are there.
	s, err := p.status(ctx, id)
	if err != nil {
		return "", nil, err
	}
	expect("a project that runs", "nothing should run", rig.Implausible(s))
	expect("processes that are left", fmt.Sprintf("%d (", live.Helper), p.orphans())
	expect("a record that is left", ".json", p.records())

	p.hub.order(id, complete)
	if s, err = p.settle(ctx, id); err != nil {
		return "", nil, err
	}
	found, err := p.check(ctx, id)
	if err != nil {
		return "", nil, err
	}
	// What the journal has and the API does not, and the other way round.
	e := p.journal[id]
	e.executions = append(e.executions, 7)
	p.journal["lost"] = &entry{}
	extra, err := p.check(ctx, id)
	if err != nil {
		return "", nil, err
	}
	expect("an accepted run too many", "got attempt 1, want 2", extra)
	expect("an accepted run too many", "execution 7 was accepted", extra)
	expect("a project that is lost", "lost: it was created", extra)
	delete(p.journal, "lost")
	delete(p.journal, id)
	if extra, err = p.check(ctx); err != nil {
		return "", nil, err
	}
	expect("a project that nobody made", "nobody created it", extra)
	e.executions = e.executions[:1]
	p.journal[id] = e
	if explained("The disk was full", []victim{theStack, theRunner}, starting) {
		missed = append(missed, "planted: a reason that no kill explains")
	} else {
		seen++
	}
	if s.Status != string(project.Completed) {
		missed = append(missed, "the project of the self-check is "+s.Status)
	}
	return fmt.Sprintf("%d planted faults were found", seen), append(missed, found...), nil
}

// again says a command's hello a second time.
func (p *proof) again(live hello) error {
	conn, err := dialHello(p.home, live)
	if err != nil {
		return err
	}
	return conn.Close()
}

// awaitTwins waits for a fault to be heard.
func (p *proof) awaitTwins(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, goneWithin)
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if found := p.twins(); len(found) > 0 {
			return found
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
}
