// Package secretwatch ends a test that logs a secret. It is for tests alone.
//
// Every logger of the tests is made by [New]. It looks at each record, whatever
// its level and whether or not anybody reads it, for what has the form of one of
// this system's secrets, and for the few fixed ones that the tests use. A record
// with one in it ends the test's process at once: so neither a recovered panic
// nor a goroutine that outlives its test can hide it. A test of this package
// keeps other tests from making loggers of their own.
//
// What has no form can't be found: the six digits of a login code are looked for
// only where they stand as a value of their own. The tests of signing in look
// for the very code.
package secretwatch

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
)

// exitCode is that of a process that logged a secret.
const exitCode = 86

// forms are what secrets look like, by what they are.
var forms = []struct {
	name string
	form *regexp.Regexp
}{
	{"a session token", regexp.MustCompile(`[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}(?:[^A-Za-z0-9_-]|$)`)},
	{"a session token of the tests", regexp.MustCompile(`(acme|rival)\.secret|rekindle-demo-session`)},
	// {"for":" in base64: what every execution and report token begins with.
	{"an execution or report token", regexp.MustCompile(`eyJmb3IiOi[A-Za-z0-9_-]{20,}`)},
	{"an activation code", regexp.MustCompile(`\b[A-HJ-NP-Z2-9]{4}(?:-[A-HJ-NP-Z2-9]{4}){3}\b`)},
	{"a login code", regexp.MustCompile(`"[0-9]{6}"|\b[0-9]{6} is the code|code[=: ]+[0-9]{6}\b`)},
	{"a presigned URL", regexp.MustCompile(`(?i)X-Amz-(Signature|Credential|Security-Token)=`)},
	{"a download's link", regexp.MustCompile(`/downloads/[A-Za-z0-9_-]+\.[0-9a-f]{64}`)},
	{"an Authorization header", regexp.MustCompile(`(?i)\bBearer [A-Za-z0-9_-]{8,}`)},
	{"an AWS key", regexp.MustCompile(`\b(AKIA|ASIA)[A-Z0-9]{16}\b`)},
	// The tests' own keys of HMACs are one letter again and again.
	{"a key of the tests", regexp.MustCompile(`k{32}|h{32}|s{32}|o{32}`)},
}

// Find returns what kind of secret a text holds; empty if none.
func Find(text string) string {
	for _, f := range forms {
		if f.form.MatchString(text) {
			return f.name
		}
	}
	return ""
}

// New makes a logger over a handler, such as slog.DiscardHandler.
func New(h slog.Handler) *slog.Logger { return slog.New(watch{h}) }

// Code that was given no logger uses the default one.
func init() { slog.SetDefault(New(slog.NewTextHandler(os.Stderr, nil))) }

type watch struct{ next slog.Handler }

// Enabled says yes, so that debug lines are looked at too.
func (watch) Enabled(context.Context, slog.Level) bool { return true }

func (w watch) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		look(a.String())
	}
	return watch{w.next.WithAttrs(attrs)}
}

func (w watch) WithGroup(name string) slog.Handler { return watch{w.next.WithGroup(name)} }

func (w watch) Handle(ctx context.Context, r slog.Record) error {
	look(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		look(a.String())
		// As JSON has it: a struct's fields may be what a text does not show.
		look(fmt.Sprintf("%+v", a.Value.Any()))
		return true
	})
	if !w.next.Enabled(ctx, r.Level) {
		return nil
	}
	return w.next.Handle(ctx, r)
}

// look ends the process if a text holds a secret.
func look(text string) {
	if kind := Find(text); kind != "" {
		fmt.Fprintf(os.Stderr, "SECRET IN A LOG: %s in %q\n", kind, text)
		os.Exit(exitCode)
	}
}
