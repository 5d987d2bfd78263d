package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	scanned  = `{"config":{"scanner_name":"govulncheck"}}` + "\n"
	called   = scanned + `{"finding":{"osv":"GO-2026-0001","fixed_version":"v1.2.3","trace":[{"module":"m","package":"m/p","function":"F"},{"module":"rekindle"}]}}`
	required = scanned + `{"finding":{"osv":"GO-2026-0002","fixed_version":"v1.2.3","trace":[{"module":"m"}]}}`
	clean    = `{"auditReportVersion":2,"vulnerabilities":{}}`
	bad      = `{"auditReportVersion":2,"vulnerabilities":{"a":{"via":["b"]},"b":{"via":[{"url":"https://github.com/advisories/GHSA-aaaa-bbbb-cccc","title":"Bad"}]}}}`
	refused  = `{"message":"405 Method Not Allowed","error":{"summary":"audit endpoint returned an error"}}`
)

// answers are what the tools say, by the first two words of their calls. What is
// absent could not be run.
type answers map[string]string

func (a answers) do(_ context.Context, dir string, argv ...string) ([]byte, error) {
	name := strings.Join(argv[:2], " ")
	if name == "npm audit" {
		name += " " + dir
	}
	text, ok := a[name]
	if !ok {
		return nil, errors.New("no such host")
	}
	if text == bad {
		return []byte(text), errors.New("exit status 1")
	}
	return []byte(text), nil
}

func good(change ...string) answers {
	a := answers{"go mod": "all modules verified", "go run": scanned, "npm audit infra/local": clean, "npm audit portal": clean}
	for i := 0; i < len(change); i += 2 {
		if a[change[i]] = change[i+1]; change[i+1] == "" {
			delete(a, change[i])
		}
	}
	return a
}

func TestAuditFailsOnWhatItFindsAndOnWhatItCouldNotCheck(t *testing.T) {
	for name, c := range map[string]struct {
		tools      answers
		exceptions string
		env        map[string]string
		want       error
		says       string
	}{
		"nothing":                        {good(), "# none\n", nil, nil, "Everything was checked"},
		"a function that is called":      {good("go run", called), "", nil, errFound, "FOUND: GO-2026-0001 in m/p.F, mended in m v1.2.3"},
		"a module that is only required": {good("go run", required), "", nil, nil, "Everything was checked"},
		"a Node package":                 {good("npm audit portal", bad), "", nil, errFound, "FOUND: GHSA-aaaa-bbbb-cccc in b of portal: Bad"},
		"an explained finding":           {good("npm audit portal", bad), "GHSA-aaaa-bbbb-cccc never given foreign input\n", nil, nil, "passed over: GHSA-aaaa-bbbb-cccc"},
		"an explanation of nothing":      {good(), "GO-2026-0001 why\n", nil, errFound, "not there any more"},
		"another's explanation":          {good("go run", called), "GO-2026-0009 why\n", nil, errFound, "FOUND: GO-2026-0001"},
		"no database":                    {good("go run", ""), "", nil, errUnchecked, "NOT CHECKED: no such host"},
		"an answer without a report":     {good("npm audit portal", refused), "", nil, errUnchecked, "NOT CHECKED: npm's answer is no report"},
		"an answer that is cut":          {good("go run", called[:90]), "", nil, errUnchecked, "NOT CHECKED: govulncheck's answer"},
		"an empty answer":                {good("go run", " "), "", nil, errUnchecked, "does not say what it did"},
		"changed modules":                {good("go mod", ""), "", map[string]string{"AUDIT_OFFLINE": "1"}, errFound, "FOUND: go.sum in"},
		"offline":                        {good("go run", "", "npm audit portal", ""), "", map[string]string{"AUDIT_OFFLINE": "1"}, nil, "Not checked on this machine:\n  known vulnerabilities of Go and its modules\n  known vulnerabilities of the Node packages of portal\n"},
		"offline, with a finding":        {good("npm audit infra/local", "", "go run", called), "", map[string]string{"AUDIT_OFFLINE": "1"}, errFound, "FOUND: GO-2026-0001"},
		"offline, in other words":        {good("go run", ""), "", map[string]string{"AUDIT_OFFLINE": "no"}, errUnchecked, "Not checked on this machine"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "exceptions.txt")
			if err := os.WriteFile(file, []byte(c.exceptions), 0o600); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			err := audit(t.Context(), c.tools.do, func(name string) string { return c.env[name] }, file, &out)
			if !errors.Is(err, c.want) || !strings.Contains(out.String(), c.says) {
				t.Errorf("got %v and said\n%s\nwant %v and %q", err, out.String(), c.want, c.says)
			}
		})
	}
}

func TestExceptionWithoutAReasonIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "exceptions.txt")
	if err := os.WriteFile(file, []byte("GO-2026-0001 \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readExceptions(file); err == nil {
		t.Error("got no error")
	}
}
