// Command bench measures Rekindle's speed and cost, and prints them as one
// table: `make bench`.
//
// See docs/performance.md for what the figures mean. It fails where an answer was
// wrong or a sweep did not fail what it had to; it never fails for being slow.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// section is a part of the table.
type section struct {
	name  string // what -only takes
	title string
	run   func(ctx context.Context, e *env) ([]row, error)
}

// sections are all there are, in the table's order.
var sections = []section{
	{"calls", "DynamoDB's calls and capacity units of one request", runCalls},
	{"handlers", "The handlers without the database", runHandlers},
	{"endtoend", "Requests to the local stack", runEndToEnd},
	{"sweep", "The sweep of stuck projects among healthy ones", runSweeps},
	{"sizes", "The functions' binaries", runSizes},
	{"cold", "Cold starts of the functions", runCold},
	{"peer", "Rekindle beside the same calls in Python", runPeer},
}

// env is what a section gets.
type env struct {
	quick bool   // a look, for continuous integration: a few seconds a section
	work  string // a temporary folder of the section's own; removed after it

	section string
	notes   map[string][]string
	log     io.Writer // gets what happens meanwhile, line by line
}

// note puts a sentence under the section's table. The same one is put once.
func (e *env) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(e.notes[e.section], text) {
		e.notes[e.section] = append(e.notes[e.section], text)
	}
}

// progress tells whoever waits what is being done.
func (e *env) progress(format string, args ...any) {
	fmt.Fprintf(e.log, "%s: %s\n", e.section, fmt.Sprintf(format, args...))
}

// options are the command line's.
type options struct {
	quick     bool
	rounds    int
	only      []string
	benchstat string
	markdown  string
	update    string
}

const usageText = `Measures Rekindle's speed and cost, and prints a table. Called in the module's folder.

Usage: go run ./infra/bench [flags]

  -quick           a look: small sizes, a few seconds a section; what continuous integration runs
  -only A,B        these sections alone: %s
  -count N         measures everything N times: the table has the medians, benchstat gets each (1)
  -benchstat FILE  writes the figures in Go's benchmark format as well, for benchstat OLD NEW
  -markdown FILE   writes the table in Markdown as well
  -update FILE     puts the table into a document, between the lines
                   %s and %s

Times of a machine that does other things meanwhile are those things' as well: the
table says how busy it was.
`

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	only := ""
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprintf(stderr, usageText, strings.Join(names, ", "), beginMark, endMark) }
	f.BoolVar(&o.quick, "quick", false, "")
	f.IntVar(&o.rounds, "count", 1, "")
	f.StringVar(&only, "only", "", "")
	f.StringVar(&o.benchstat, "benchstat", "", "")
	f.StringVar(&o.markdown, "markdown", "", "")
	f.StringVar(&o.update, "update", "", "")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag; -h lists them", f.Arg(0))
	}
	if o.rounds < 1 {
		return o, fmt.Errorf("-count %d: there is nothing to measure less than once", o.rounds)
	}
	if o.update != "" && only != "" {
		return o, errors.New("-update replaces all tables of a document, and -only measures some: use -markdown and paste")
	}
	if only != "" {
		for _, name := range strings.Split(only, ",") {
			if name = strings.TrimSpace(name); !slices.Contains(names, name) {
				return o, fmt.Errorf("-only %q: the sections are %s", name, strings.Join(names, ", "))
			}
			o.only = append(o.only, name)
		}
	}
	return o, nil
}

func main() {
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// bench measures, and prints what it measured even where a section failed.
func bench(ctx context.Context, o options, stdout, stderr io.Writer) error {
	if o.update != "" { // minutes of measuring are not to end in a wrong name
		if _, err := spliced(o.update, nil); err != nil {
			return err
		}
	}
	r := &report{machine: thisMachine(), notes: map[string][]string{}}
	r.machine.quick, r.machine.rounds = o.quick, o.rounds
	if r.machine.busy {
		fmt.Fprintf(stderr, "bench: the load average is %s: others use this machine\n", r.machine.load)
	}
	for _, s := range sections {
		if len(o.only) == 0 || slices.Contains(o.only, s.name) {
			r.ran = append(r.ran, s)
		}
	}
	var failures []error
	for round := range o.rounds {
		for _, s := range r.ran {
			if ctx.Err() != nil {
				break // what was measured until now is printed
			}
			began := time.Now()
			rows, err := measure(ctx, s, o.quick, r.notes, stderr)
			r.rows = append(r.rows, rows...)
			if err != nil {
				failures = append(failures, fmt.Errorf("%s: %w", s.name, err))
				continue
			}
			fmt.Fprintf(stderr, "%s: measured in %.0f s (round %d of %d)\n", s.name, time.Since(began).Seconds(), round+1, o.rounds)
		}
	}
	failures = append(failures, ctx.Err(), r.print(stdout))
	if err := errors.Join(failures...); err != nil {
		return err // nothing is kept of a run in which something was wrong
	}
	return r.keep(o)
}

// measure runs a section in a folder of its own.
func measure(ctx context.Context, s section, quick bool, notes map[string][]string, log io.Writer) (rows []row, err error) {
	work, err := os.MkdirTemp("", "rekindle-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	rows, err = s.run(ctx, &env{quick: quick, work: work, section: s.name, notes: notes, log: log})
	for i := range rows {
		rows[i].Section = s.name
	}
	return rows, err
}

// keep writes the files that were asked for.
func (r *report) keep(o options) error {
	if o.benchstat != "" {
		var b strings.Builder
		if err := r.benchstat(&b); err != nil {
			return err
		}
		if err := os.WriteFile(o.benchstat, []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	if o.markdown == "" && o.update == "" {
		return nil
	}
	var b strings.Builder
	if err := r.markdown(&b); err != nil {
		return err
	}
	if o.markdown != "" {
		if err := os.WriteFile(o.markdown, []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	if o.update != "" {
		text, err := spliced(o.update, []byte(b.String()))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Clean(o.update), text, 0o644)
	}
	return nil
}

// The lines of a document between which -update puts the table.
const (
	beginMark = "<!-- bench: begin -->"
	endMark   = "<!-- bench: end -->"
)

// spliced returns a document with what is between its marks replaced.
func spliced(path string, table []byte) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	before, rest, begins := strings.Cut(string(text), beginMark+"\n")
	_, after, ends := strings.Cut(rest, endMark)
	if !begins || !ends {
		return nil, fmt.Errorf("%s has no lines %s and %s", path, beginMark, endMark)
	}
	return []byte(before + beginMark + "\n" + string(table) + endMark + after), nil
}
