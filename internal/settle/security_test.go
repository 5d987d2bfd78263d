package settle_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"rekindle/internal/launch"
	"rekindle/internal/project"
	"rekindle/internal/token"
)

// API10:2023 of the OWASP API Security Top 10, Unsafe Consumption of APIs: an
// event of the engine is somebody else's text. Tried: members as large as an
// event may be (256 KB), of other kinds, doubled and without end; terminal and
// HTML sequences, line breaks and what reads like a line of the log; an
// environment with several tokens.
func TestOWASPAPI10HostileEventsOfTheEngine(t *testing.T) {
	const hostile = "<script>alert(1)</script>\x1b]0;owned\x07\x1b[2J\u009b31m\x00\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\u202e${jndi:ldap://x}"
	c := newCloud(t)
	p := c.claimed("site")
	container := func(detail map[string]any) map[string]any { return detail["container"].(map[string]any) }
	variable := func(name, value string) map[string]any { return map[string]any{"name": name, "value": value} }
	const ours = "REKINDLE_EXECUTION_TOKEN"
	forged := keyring(t, "f").Mint(token.Execution, p.Ref(), "")

	// Nothing of these ends an execution.
	for name, change := range map[string]func(map[string]any){
		"a forged token before the right one": func(d map[string]any) {
			container(d)["environment"] = []any{variable(ours, forged), variable(ours, c.token(p))}
		},
		"the token under other names": func(d map[string]any) {
			container(d)["environment"] = []any{variable(strings.ToLower(ours), c.token(p)), variable(ours+" ", c.token(p)), variable("X", ours+"="+c.token(p))}
		},
		"a token of 256 KB": func(d map[string]any) {
			container(d)["environment"] = []any{variable(ours, strings.Repeat("a", 1<<18))}
		},
		"ten thousand variables":  func(d map[string]any) { container(d)["environment"] = make([]map[string]any, 10_000) },
		"the right name twice":    func(d map[string]any) { d["jobName"] = "rk-77-u-site\x00rk-77-u-site" },
		"digits of other scripts": func(d map[string]any) { d["jobName"] = "rk-７７-u-site" },
		"a name of 256 KB":        func(d map[string]any) { d["jobName"] = "rk-77-u-site" + strings.Repeat("7", 1<<18) },
		"a status of 256 KB":      func(d map[string]any) { d["status"] = strings.Repeat("FAILED", 1<<15) },
		"a status in lower case":  func(d map[string]any) { d["status"] = "failed" },
		"a hostile name":          func(d map[string]any) { d["jobName"] = hostile },
		"a hostile id":            func(d map[string]any) { d["jobId"] = hostile },
		"an id of 256 KB":         func(d map[string]any) { d["jobId"] = strings.Repeat("j", 1<<18) },
	} {
		c.log.Reset()
		_, _ = c.h.Invoke(t.Context(), c.event(c.token(p), change)) // an error or not: it must not matter
		c.want(p, project.Running, "")
		for line := range strings.Lines(c.log.String()) {
			if !json.Valid([]byte(line)) || len(line) > 4_000 {
				t.Errorf("%s: a line of %d bytes, %.200s", name, len(line), line)
			}
		}
		if strings.ContainsAny(c.log.String(), "\x1b\x00\x07") || strings.Contains(c.log.String(), "\"msg\":\"forged\"") {
			t.Errorf("%s: the log has what a terminal obeys, or a line that nobody wrote:\n%.500s", name, c.log.String())
		}
	}
	for _, payload := range []string{
		strings.Repeat("[", 1<<18), `{"detail":` + strings.Repeat(`{"a":`, 1<<16),
		string(c.event(c.token(p), func(d map[string]any) { d["attempts"] = hostile })),
		string(c.event(c.token(p), func(d map[string]any) { d["container"] = []any{hostile} })),
		string(c.event(c.token(p), func(d map[string]any) { container(d)["exitCode"] = 1e300 })),
		string(c.event(c.token(p), func(d map[string]any) { container(d)["environment"] = map[string]any{ours: c.token(p)} })),
	} {
		if out, err := c.h.Invoke(t.Context(), []byte(payload)); err == nil {
			t.Errorf("%.100s: got %s, want an error", payload, out)
		} else if strings.ContainsAny(err.Error(), "\x1b\x00\n") || len(err.Error()) > 500 {
			t.Errorf("%.100s: the error repeats it: %.300v", payload, err)
		}
		c.want(p, project.Running, "")
	}

	// These do, by a sentence that a tenant may see and a terminal may show.
	for i, change := range []func(map[string]any){
		func(d map[string]any) { d["statusReason"], container(d)["reason"] = hostile, "" },
		func(d map[string]any) {
			d["statusReason"], container(d)["reason"] = strings.Repeat(hostile, 1_000), ""
		},
		func(d map[string]any) { d["statusReason"], container(d)["reason"] = "\x00", hostile },
		func(d map[string]any) {
			d["isTerminated"], d["statusReason"], container(d)["reason"] = true, hostile, ""
		},
		func(d map[string]any) {
			delete(container(d), "reason")
			d["statusReason"] = ""
			d["attempts"] = make([]map[string]any, 5_000)
			container(d)["exitCode"] = -1 << 62
		},
	} {
		one := c.claimed(fmt.Sprintf("hostile-%d", i))
		c.tell(c.event(c.token(one), func(d map[string]any) {
			d["jobName"] = launch.JobName(one.Ref())
			change(d)
		}))
		got := c.db.Read(t, one.Key)
		if got.Status != project.Failed || got.Error == "" || len(got.Error) > project.MaxError {
			t.Errorf("%d: got %s with an error of %d bytes", i, got.Status, len(got.Error))
		}
		if strings.ContainsFunc(got.Error, func(r rune) bool { return unicode.IsControl(r) }) {
			t.Errorf("%d: the error has control characters: %q", i, got.Error)
		}
		if a := got.Attempts[one.ExecutionID]; a.Error != got.Error {
			t.Errorf("%d: the attempt has %q", i, a.Error)
		}
	}
}
