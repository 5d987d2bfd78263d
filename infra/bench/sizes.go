package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// runSizes builds the functions as they are deployed, and measures their
// binaries. A function that is over its limit is an error.
func runSizes(ctx context.Context, e *env) ([]row, error) {
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", "--silent", "sizes")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	rows, parseErr := parseSizes(string(out))
	if err != nil {
		return rows, fmt.Errorf("make sizes: %w: %s", err, lastLines(out))
	}
	arch := os.Getenv("GOARCH_LAMBDA")
	if arch == "" {
		arch = "arm64"
	}
	e.note("bootstrap, stripped, for %s, built by %s: what Lambda loads at a cold start.", arch, runtime.Version())
	return rows, parseErr
}

// parseSizes reads lines of "bytes name".
func parseSizes(text string) ([]row, error) {
	var rows []row
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			continue
		}
		bytes, err := strconv.Atoi(fields[0])
		if err != nil {
			continue
		}
		rows = append(rows, row{Name: fields[1], N: 1, Metrics: []metric{{float64(bytes), "bytes"}}})
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("make sizes printed no sizes: %.200q", text)
	}
	return rows, nil
}
