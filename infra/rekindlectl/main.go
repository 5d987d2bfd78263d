// Command rekindlectl is the operator's command line: tenants, activation codes,
// projects, sessions and the sweep, of a stack on this machine or in an AWS
// account.
//
//	go run ./infra/rekindlectl --help
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	a := &app{out: os.Stdout, err: os.Stderr, now: time.Now, lookup: os.LookupEnv}
	a.connect = func(ctx context.Context) (*stack, error) { return connect(ctx, a.target, a.lookup) }
	code := a.execute(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
