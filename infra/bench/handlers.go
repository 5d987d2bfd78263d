package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"unicode"
)

// handlerBenchmarks are the Go benchmarks that need no database. Those that do
// are for developers: what they measure is in the other sections.
const handlerBenchmarks = "Handler$|ThroughClient$"

// runHandlers measures the handlers' own time and allocations, by the benchmarks
// of their package.
func runHandlers(ctx context.Context, e *env) ([]row, error) {
	benchtime := "2s"
	if e.quick {
		benchtime = "200x"
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", handlerBenchmarks, "-benchmem", "-benchtime", benchtime, "./internal/api")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test -bench: %w: %s", err, lastLines(out))
	}
	rows, err := parseBenchmarks(out)
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("go test -bench %s found no benchmark", handlerBenchmarks)
	}
	e.note("A whole invocation: the event's JSON in, the answer's JSON out. through-client is with the DynamoDB client over a transport that answers at once: what is left out is the network and the database.")
	if e.quick {
		e.note("A quick run repeats each 200 times, which is no more than a look.")
	}
	return rows, err
}

func lastLines(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "; ")
}

// parseBenchmarks reads the result lines of Go's benchmark format; whatever else
// is between them is passed over.
func parseBenchmarks(text []byte) ([]row, error) {
	var rows []row
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		n, err := strconv.Atoi(fields[1])
		if err != nil {
			continue // a name that a benchmark printed before its result
		}
		r := row{Name: benchmarkName(fields[0]), N: n}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("the benchmark's line %q: %w", lines.Text(), err)
			}
			r.Metrics = append(r.Metrics, metric{value, fields[i+1]})
		}
		rows = append(rows, r)
	}
	return rows, lines.Err()
}

// benchmarkName is what the table calls BenchmarkStatusThroughClient/x-8:
// status-through-client/x.
func benchmarkName(name string) string {
	name = strings.TrimPrefix(name, "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i > 0 && strings.Trim(name[i+1:], "0123456789") == "" {
		name = name[:i] // the processors that it ran on
	}
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 && name[i-1] != '/' {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.TrimSuffix(b.String(), "-handler")
}
