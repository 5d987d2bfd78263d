//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"rekindle/internal/project"
)

// The sizes of the small disks: of the stack's data, which takes the built
// programs too, and of the outputs.
const (
	dataDisk   = "size=128m,mode=755"
	outputDisk = "size=4m,nr_inodes=4096,mode=755"
)

// mountDisks mounts the small disks in the data folder. Only root may, and only
// where the system lets it; mounted says whether.
func mountDisks(home string) (mounted bool, unmount func() error, err error) {
	data := filepath.Join(home, "data")
	output := filepath.Join(data, "output")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return false, nil, err
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, dataDisk); err != nil {
		if errors.Is(err, syscall.EPERM) {
			return false, func() error { return nil }, nil
		}
		return false, nil, fmt.Errorf("mounting a small disk: %w", err)
	}
	undo := func() error { return unmountAll(data) }
	if err := os.MkdirAll(output, 0o755); err != nil {
		return false, nil, errors.Join(err, undo())
	}
	if err := syscall.Mount("tmpfs", output, "tmpfs", 0, outputDisk); err != nil {
		return false, nil, errors.Join(fmt.Errorf("mounting a small disk: %w", err), undo())
	}
	return true, func() error { return unmountAll(output, data) }, nil
}

// unmountAll takes disks off. One that a process still works on goes once that
// has ended.
func unmountAll(folders ...string) error {
	var failures []error
	for _, folder := range folders {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			failures = append(failures, fmt.Errorf("unmounting %s: %w", folder, err))
		}
	}
	return errors.Join(failures...)
}

// takeAll writes into a folder until its disk takes no more, and returns what
// gives the room back.
func takeAll(folder string) (giveBack func() error, err error) {
	ballast := filepath.Join(folder, "ballast")
	f, err := os.OpenFile(ballast, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2 // to the last byte
		} else if err != nil {
			return nil, errors.Join(err, os.Remove(ballast))
		}
	}
	return func() error { return os.Remove(ballast) }, nil
}

// takeInodes makes files until the disk takes no more of them.
func takeInodes(folder string) (giveBack func() error, err error) {
	many := filepath.Join(folder, "many")
	if err := os.Mkdir(many, 0o700); err != nil {
		return nil, err
	}
	giveBack = func() error { return os.RemoveAll(many) }
	for n := 0; ; n++ {
		err := os.WriteFile(filepath.Join(many, fmt.Sprint(n)), nil, 0o600)
		if errors.Is(err, syscall.ENOSPC) {
			return giveBack, nil
		}
		if err != nil {
			return nil, errors.Join(err, giveBack())
		}
	}
}

// outputFull has the disk of the outputs fill up: once by what a command writes,
// once before its folder can be made.
func (p *proof) outputFull(ctx context.Context) (string, []string, error) {
	var said, wrong []string
	attempt := func(id, operation string, o order, want string) error {
		p.hub.order(id, o)
		if _, err := p.ask(ctx, id, operation); err != nil {
			return err
		}
		s, err := p.settle(ctx, id)
		if err != nil {
			return err
		}
		said = append(said, strings.TrimSpace(s.Status+" "+s.Error))
		if want == "" && s.Status != string(project.Completed) || want != "" && s.Status != string(project.Failed) || !strings.Contains(s.Error, want) {
			wrong = append(wrong, fmt.Sprintf("%s, %s: got %s (%s), want the reason %q", id, operation, s.Status, s.Error, want))
		}
		return nil
	}
	id, err := p.create(ctx, "Full output")
	if err != nil {
		return "", nil, err
	}
	if err := attempt(id, "run", fill, "The result could not be written: no space left on device"); err != nil {
		return "", nil, err
	}
	// What a tenant's own attempt has filled goes when the disk has room again:
	// here, by hand.
	if err := os.RemoveAll(filepath.Join(p.config.Data, "output", tenant)); err != nil {
		return "", nil, err
	}
	giveBack, err := takeInodes(filepath.Join(p.config.Data, "output"))
	if err != nil {
		return "", nil, err
	}
	err = attempt(id, "restart", complete, "The output folder could not be made: ")
	if err = errors.Join(err, giveBack()); err != nil {
		return "", nil, err
	}
	if err := attempt(id, "restart", complete, ""); err != nil {
		return "", nil, err
	}
	found, err := p.check(ctx, id)
	return "output's disk full: " + strings.Join(said, " | "), append(wrong, found...), err
}

// dataFull fills the disk of the database, the records and the logs, while a
// project runs, another is started and a third is ended. Whatever is answered
// then, all is well once there is room again.
func (p *proof) dataFull(ctx context.Context) (string, []string, error) {
	beside, err := p.create(ctx, "Beside a full disk")
	if err != nil {
		return "", nil, err
	}
	target, err := p.create(ctx, "On a full disk")
	if err != nil {
		return "", nil, err
	}
	if _, err := p.begin(ctx, beside); err != nil {
		return "", nil, err
	}
	giveBack, err := takeAll(p.config.Data)
	if err != nil {
		return "", nil, err
	}
	p.hub.order(target, complete)
	answered := "the run was answered"
	began, err := p.ask(ctx, target, "run")
	if began == 0 {
		answered = "the run was not accepted"
	}
	p.hub.order(beside, complete) // it ends and reports on a full disk
	if err := errors.Join(err, giveBack()); err != nil {
		return "", nil, err
	}
	// A database that can't write ends, and the stack with it.
	p.mayEnd = true
	defer func() { p.mayEnd = false }()
	before := p.stack
	var said, wrong []string
	for _, id := range []string{beside, target} {
		s, err := p.settle(ctx, id)
		if err != nil {
			return "", nil, err
		}
		said = append(said, strings.TrimSpace(s.Status+" "+s.Error))
		if s.Status == string(project.Failed) {
			if _, err := p.ask(ctx, id, "restart"); err != nil {
				return "", nil, err
			}
			if s, err = p.settle(ctx, id); err != nil {
				return "", nil, err
			}
		}
		if s.Status != string(project.Completed) {
			wrong = append(wrong, fmt.Sprintf("%s: in the end it is %s: %s", id, s.Status, s.Error))
		}
	}
	died := "the stack went on"
	if p.stack != before {
		died = "the stack ended and was started again"
	}
	found, err := p.check(ctx, beside, target)
	return fmt.Sprintf("data's disk full: %s, %s; then %s", answered, died, strings.Join(said, " | ")), append(wrong, found...), err
}
