// Command local serves Rekindle on this machine: the functions, routes, tables
// and schedule of template.yaml, with dynalite as the database and child
// processes as the execution engine.
//
//	go run ./infra/local [-listen 127.0.0.1:8080] [-data .local] [-seed FILE] [-template template.yaml]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the command line's.
type options struct {
	listen   string
	data     string
	seed     string
	template string

	now func() time.Time // the clock; nil is the system's
}

const usage = `Serves Rekindle on this machine, as template.yaml describes it.

Usage: go run ./infra/local [flags]

  -listen ADDRESS   where to serve, "127.0.0.1:0" for any free port (127.0.0.1:8080)
  -data FOLDER      where database, outputs and logs are kept; "" keeps nothing (.local)
  -seed FILE        tenants and projects to insert where absent; "" for none (infra/local/seed.json)
  -template FILE    the SAM template to serve; its folder may have a .env file (template.yaml)

Settings come from the environment, then .env, then the template: for example
PROJECT_COMMAND, what runs a project, and PROJECT_EXECUTION_TIMEOUT_HOURS.
AWS_ENDPOINT_URL_DYNAMODB names a DynamoDB to use in dynalite's place.
`

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("local", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, usage) }
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "")
	f.StringVar(&o.data, "data", ".local", "")
	f.StringVar(&o.seed, "seed", filepath.Join("infra", "local", "seed.json"), "")
	f.StringVar(&o.template, "template", "template.yaml", "")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag; -help lists them", f.Arg(0))
	}
	return o, nil
}

func main() {
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	slog.SetDefault(log)
	if err := serve(ctx, o, os.LookupEnv, os.Stdout, log); err != nil {
		fail(err)
	}
}

// fail ends the process with the reason on one line.
func fail(err error) {
	fmt.Fprintln(os.Stderr, "rekindle: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	os.Exit(1)
}
