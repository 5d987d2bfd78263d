//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The command of the projects, and the process that it starts in turn: this
// same program under other names.
//
//	kill command HOME    takes its project's lock, starts a helper, says hello to
//	                     the proof and does as that tells it
//	kill helper HOME     is there, and holds the lock too unless it has left the
//	                     command's session
const (
	commandName = "command"
	helperName  = "helper"
)

// longest is how long a helper lives that nobody ends. Nothing waits for it: it
// is for a proof that was itself killed.
const longest = 10 * time.Minute

// hello is what a command says to the proof once it works.
type hello struct {
	Tenant    string `json:"tenant"`
	Project   string `json:"project"`
	Execution string `json:"execution"`
	PID       int    `json:"pid"`
	Helper    int    `json:"helper"`
}

// order is what the proof tells a command.
type order string

const (
	complete order = "complete" // write the output and end well
	fill     order = "fill"     // write more than the disk of the tests takes
)

// fillBytes is more than the disk in disk.go has.
const fillBytes = 16 << 20

func socketOf(home string) string  { return filepath.Join(home, "hello") }
func screamsOf(home string) string { return filepath.Join(home, "screams") }

func lockOf(home, tenant, project string) string {
	return filepath.Join(home, "locks", tenant+"."+project)
}

// runCommand is the command; it returns its exit code.
func runCommand(home string) int {
	if err := work(home); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func work(home string) error {
	me := hello{
		Tenant: os.Getenv("TENANT_ID"), Project: os.Getenv("PROJECT_ID"), Execution: os.Getenv("EXECUTION_ID"), PID: os.Getpid(),
	}
	lock, err := takeLock(home, me)
	if err != nil {
		return err
	}
	// The helper inherits the lock: while it lives, no other command of the
	// project may.
	self, err := os.Executable()
	if err != nil {
		return err
	}
	helper := exec.Command(self, helperName, home)
	if strings.ContainsAny(me.Execution[len(me.Execution)-1:], "02468") {
		// That of every other execution leaves the session, as a server would.
		// It ends just after the runner, so a restart may come a moment before:
		// it must not be left, but it does not hold the lock.
		helper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	} else {
		helper.ExtraFiles = []*os.File{lock}
	}
	if err := helper.Start(); err != nil {
		return fmt.Errorf("starting the helper: %w", err)
	}
	helperGone := make(chan struct{})
	go func() { _ = helper.Wait(); close(helperGone) }()
	me.Helper = helper.Process.Pid

	conn, err := dialHello(home, me)
	if err != nil {
		return err
	}
	defer conn.Close()
	orders := make(chan order, 1)
	go func() {
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil {
			orders <- order(line[:len(line)-1])
		}
		close(orders)
	}()
	select {
	case o, ok := <-orders:
		if !ok {
			return errors.New("the proof is gone")
		}
		return obey(o, me)
	case <-helperGone:
		return errors.New("The helper was killed")
	}
}

// dialHello says hello to the proof.
func dialHello(home string, me hello) (net.Conn, error) {
	conn, err := net.Dial("unix", socketOf(home))
	if err != nil {
		return nil, fmt.Errorf("saying hello: %w", err)
	}
	if err := json.NewEncoder(conn).Encode(me); err != nil {
		return nil, errors.Join(fmt.Errorf("saying hello: %w", err), conn.Close())
	}
	return conn, nil
}

func obey(o order, me hello) error {
	// The helper is left as it is: the runner ends what a command leaves.
	text := []byte(me.Execution + "\n")
	if o == fill {
		text = make([]byte, fillBytes)
	}
	if err := os.WriteFile(filepath.Join(os.Getenv("OUTPUT_DIR"), "result.txt"), text, 0o600); err != nil {
		var why syscall.Errno
		if errors.As(err, &why) {
			return fmt.Errorf("The result could not be written: %w", why)
		}
		return err
	}
	return nil
}

// takeLock takes the project's lock. If another process of the project holds
// it, two of its commands are alive: that is kept for the proof to find.
func takeLock(home string, me hello) (*os.File, error) {
	path := lockOf(home, me.Tenant, me.Project)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		return nil, errors.Join(
			fmt.Errorf("the lock of %s is held: %w", me.Project, err),
			scream(home, fmt.Sprintf("%s: execution %s (process %d) began while execution %s lived", me.Project, me.Execution, me.PID, holder)))
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintf("%s (process %d)", me.Execution, me.PID))); err != nil {
		return nil, fmt.Errorf("the lock: %w", err)
	}
	return f, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

func scream(home, text string) error {
	f, err := os.OpenFile(screamsOf(home), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, text)
	return errors.Join(err, f.Close())
}

// runHelper is the helper: it is there until it is ended.
func runHelper() int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	select {
	case <-signals:
	case <-time.After(longest):
	}
	return 0
}
