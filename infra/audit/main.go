// Command audit looks for known vulnerabilities in what the project depends on:
// govulncheck for the Go modules and for Go itself, and npm's audit for what the
// local stack and the portal ship. It fails on a finding that exceptions.txt does
// not explain, on an explanation without its finding, and on a tool that could
// not do its work.
//
//	go run ./infra/audit
//
// AUDIT_VULNDB names another Go vulnerability database than vuln.go.dev: a URL,
// https:// or file://. AUDIT_OFFLINE=1 is for a machine that can reach none: what
// could not be checked is then listed at the end, and does not fail.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// govulncheck is pinned: a finding of tomorrow's version is tomorrow's.
const govulncheck = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"

// packages are the folders with a package-lock.json of what is shipped.
var packages = []string{"infra/local", "portal"}

// finding is a vulnerability that was found.
type finding struct {
	id    string // GO-… or GHSA-…
	where string
}

// tool runs a command in a folder and returns its standard output. Its error is
// that of a command that could not be run, or that ended with another code than
// 0; the output is there nevertheless.
type tool func(ctx context.Context, dir string, argv ...string) ([]byte, error)

func main() {
	if err := audit(context.Background(), run, os.Getenv, filepath.Join("infra", "audit", "exceptions.txt"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "audit: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, reason(said.String()))
	}
	return out.Bytes(), err
}

// reason is the first thing that a tool said which is no news of a download.
func reason(said string) string {
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "go: downloading") {
			return line
		}
	}
	return ""
}

var (
	errFound     = errors.New("there are findings: update what they name, or say in infra/audit/exceptions.txt why they do no harm")
	errUnchecked = errors.New("not everything was checked; AUDIT_OFFLINE=1 lets that pass on a machine without the network")
)

func audit(ctx context.Context, do tool, getenv func(string) string, exceptions string, out io.Writer) error {
	excused, err := readExceptions(exceptions)
	if err != nil {
		return err
	}
	var (
		found     []finding
		unchecked []string
	)
	check := func(what string, look func() ([]finding, error)) {
		got, err := look()
		if err != nil {
			fmt.Fprintf(out, "%s: NOT CHECKED: %v\n", what, err)
			unchecked = append(unchecked, what)
			return
		}
		fmt.Fprintf(out, "%s: %d found\n", what, len(got))
		found = append(found, got...)
	}
	check("that the Go modules are those of go.sum", func() ([]finding, error) {
		// It needs no network, so there is no excuse.
		if _, err := do(ctx, ".", "go", "mod", "verify"); err != nil {
			return []finding{{"go.sum", err.Error()}}, nil
		}
		return nil, nil
	})
	check("known vulnerabilities of Go and its modules", func() ([]finding, error) {
		argv := []string{"go", "run", govulncheck, "-format", "json", "-test"}
		if db := getenv("AUDIT_VULNDB"); db != "" {
			argv = append(argv, "-db", db)
		}
		text, err := do(ctx, ".", append(argv, "./...")...)
		if err != nil {
			return nil, err
		}
		return readGovulncheck(text)
	})
	for _, dir := range packages {
		check("known vulnerabilities of the Node packages of "+dir, func() ([]finding, error) {
			// With findings it ends with code 1, and its answer is complete.
			text, err := do(ctx, dir, "npm", "audit", "--omit=dev", "--json")
			got, readErr := readNPM(text, dir)
			if readErr != nil {
				return nil, cmp.Or(err, readErr)
			}
			return got, nil
		})
	}

	failed := false
	for _, f := range found {
		if why, ok := excused[f.id]; ok {
			fmt.Fprintf(out, "passed over: %s in %s: %s\n", f.id, f.where, why)
			continue
		}
		fmt.Fprintf(out, "FOUND: %s in %s\n", f.id, f.where)
		failed = true
	}
	for id := range excused {
		// What was not looked for may be there.
		if len(unchecked) == 0 && !slices.ContainsFunc(found, func(f finding) bool { return f.id == id }) {
			fmt.Fprintf(out, "FOUND: exceptions.txt explains %s, which is not there any more\n", id)
			failed = true
		}
	}
	if failed {
		return errFound
	}
	if len(unchecked) == 0 {
		fmt.Fprintln(out, "Everything was checked, and nothing found.")
		return nil
	}
	fmt.Fprintf(out, "Not checked on this machine:\n  %s\n", strings.Join(unchecked, "\n  "))
	if getenv("AUDIT_OFFLINE") == "1" {
		return nil
	}
	return errUnchecked
}

// readExceptions reads the reasons, by the ids of their findings.
func readExceptions(name string) (map[string]string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("the exceptions: %w", err)
	}
	excused := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, why, _ := strings.Cut(line, " ")
		if why = strings.TrimSpace(why); why == "" {
			return nil, fmt.Errorf("the exceptions: %s has no reason", id)
		}
		excused[id] = why
	}
	return excused, nil
}

// readGovulncheck reads a stream of messages. A finding counts if the code calls
// what is vulnerable; one of a module that is only required is told by others of
// its trace, and is not the code's.
func readGovulncheck(text []byte) ([]finding, error) {
	var found []finding
	scanned := false
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var m struct {
			Config  *struct{} `json:"config"`
			Finding *struct {
				OSV   string `json:"osv"`
				Fixed string `json:"fixed_version"`
				Trace []struct {
					Module   string `json:"module"`
					Package  string `json:"package"`
					Function string `json:"function"`
				} `json:"trace"`
			} `json:"finding"`
		}
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("govulncheck's answer: %w", err)
		}
		scanned = scanned || m.Config != nil
		if f := m.Finding; f != nil && len(f.Trace) > 0 && f.Trace[0].Function != "" {
			one := finding{f.OSV, fmt.Sprintf("%s.%s, mended in %s %s", f.Trace[0].Package, f.Trace[0].Function, f.Trace[0].Module, f.Fixed)}
			if !slices.ContainsFunc(found, func(g finding) bool { return g.id == one.id }) {
				found = append(found, one)
			}
		}
	}
	if !scanned {
		return nil, errors.New("govulncheck's answer does not say what it did")
	}
	return found, nil
}

// readNPM reads the answer of npm audit --json.
func readNPM(text []byte, dir string) ([]finding, error) {
	var answer struct {
		Version         int `json:"auditReportVersion"`
		Vulnerabilities map[string]struct {
			Via []json.RawMessage `json:"via"`
		} `json:"vulnerabilities"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("npm's answer: %w", err)
	}
	if answer.Version == 0 {
		return nil, errors.New("npm's answer is no report")
	}
	var found []finding
	for name, v := range answer.Vulnerabilities {
		for _, via := range v.Via {
			var advisory struct{ URL, Title string }
			if json.Unmarshal(via, &advisory) != nil || advisory.URL == "" {
				continue // the name of another package, which has the advisory
			}
			found = append(found, finding{path.Base(advisory.URL), fmt.Sprintf("%s of %s: %s", name, dir, advisory.Title)})
		}
	}
	slices.SortFunc(found, func(a, b finding) int { return strings.Compare(a.id+a.where, b.id+b.where) })
	return found, nil
}
