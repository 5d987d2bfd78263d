// Package settings reads what a function is told by its environment. Every
// problem is collected, so that an operator sees all of them at once.
package settings

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
	"rekindle/internal/token"
)

// Lookup returns the value of an environment variable, and whether it is set.
type Lookup func(name string) (value string, set bool)

// Reader reads settings and keeps the problems that it meets.
type Reader struct {
	lookup   Lookup
	problems []error
}

// From makes a reader. A nil lookup is the process's environment.
func From(lookup Lookup) *Reader {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	return &Reader{lookup: lookup}
}

// Err returns what was wrong with the settings read so far, or nil.
func (r *Reader) Err() error { return errors.Join(r.problems...) }

// Problem is what is wrong with one setting. Its text names the setting.
type Problem struct {
	Setting string
	Err     error
}

func (p *Problem) Error() string { return p.Err.Error() }
func (p *Problem) Unwrap() error { return p.Err }

func (r *Reader) fail(name, format string, args ...any) {
	r.Note(&Problem{name, fmt.Errorf("%s"+format, append([]any{name}, args...)...)})
}

func (r *Reader) note(name string, err error) {
	if err != nil {
		r.Note(&Problem{name, err})
	}
}

// Lookup is where the settings come from.
func (r *Reader) Lookup(name string) (string, bool) { return r.lookup(name) }

// Note keeps a problem that whoever uses the settings has met; nil is none. Two
// clients that miss the same setting say so once.
func (r *Reader) Note(err error) {
	if err == nil || slices.ContainsFunc(r.problems, func(p error) bool { return p.Error() == err.Error() }) {
		return
	}
	r.problems = append(r.problems, err)
}

// Text returns a setting that must not be empty.
func (r *Reader) Text(name string) string {
	v, _ := r.lookup(name)
	if v == "" {
		r.fail(name, " is not set")
	}
	return v
}

// Beside says which tables a function uses beside that of the projects.
type Beside int

// The tables beside the projects'.
const (
	Nothing  Beside = iota
	Sessions        // TENANTS_TABLE and SESSIONS_TABLE
	Sweeps          // SWEEPS_TABLE
)

// Store makes the store over the table named by PROJECTS_TABLE and those beside
// it.
func (r *Reader) Store(beside Beside) *dynamo.Store {
	tables := dynamo.Tables{Projects: r.Text("PROJECTS_TABLE")}
	switch beside {
	case Sessions:
		tables.Tenants, tables.Sessions = r.Text("TENANTS_TABLE"), r.Text("SESSIONS_TABLE")
	case Sweeps:
		tables.Sweeps = r.Text("SWEEPS_TABLE")
	}
	client, err := dynamo.ClientFromEnv(r.lookup)
	if err != nil {
		r.Note(err)
		return nil
	}
	return dynamo.New(client, tables)
}

// Timeout returns PROJECT_EXECUTION_TIMEOUT_HOURS, 24 hours if unset.
func (r *Reader) Timeout() time.Duration {
	v, set := r.lookup(project.TimeoutSetting)
	if !set {
		return project.DefaultTimeout
	}
	d, err := project.ParseTimeout(v)
	r.note(project.TimeoutSetting, err)
	return d
}

// HeartbeatTimeout returns PROJECT_HEARTBEAT_TIMEOUT_MINUTES, 0 for never.
func (r *Reader) HeartbeatTimeout() time.Duration {
	v, _ := r.lookup(project.HeartbeatSetting)
	d, err := project.ParseHeartbeatTimeout(v)
	r.note(project.HeartbeatSetting, err)
	return d
}

// Heartbeat returns PROJECT_HEARTBEAT_SECONDS, 30 if unset: a whole number
// from 1 to 300.
func (r *Reader) Heartbeat() time.Duration {
	const name = "PROJECT_HEARTBEAT_SECONDS"
	v, set := r.lookup(name)
	if !set {
		return 30 * time.Second
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > 300 {
		r.fail(name, " must be a whole number of seconds from 1 to 300; it is %q", v)
	}
	return time.Duration(n) * time.Second
}

// Keys makes the keyring over EXECUTION_TOKEN_SECRET. The secret is in no error.
func (r *Reader) Keys() *token.Keyring {
	const name = "EXECUTION_TOKEN_SECRET"
	secret := r.Text(name)
	if secret == "" {
		return nil
	}
	k, err := token.NewKeyring(secret)
	if err != nil {
		r.fail(name, ": %w", err)
	}
	return k
}

// Hasher makes the hasher over HASHING_SECRET. The secret is in no error.
func (r *Reader) Hasher() *project.Hasher {
	const name = "HASHING_SECRET"
	secret := r.Text(name)
	if secret == "" {
		return nil
	}
	h, err := project.NewHasher(secret)
	if err != nil {
		r.fail(name, ": %w", err)
	}
	return h
}

var outputBase = regexp.MustCompile(`^(s3://[^/]|/)`)

// OutputBase returns OUTPUT_BASE: s3://bucket or an absolute path.
func (r *Reader) OutputBase() string {
	const name = "OUTPUT_BASE"
	v := r.Text(name)
	if v != "" && !outputBase.MatchString(v) {
		r.fail(name, " must be s3://bucket or an absolute path; it is %q", v)
	}
	return v
}

// OutputLimit returns OUTPUT_LIMIT_MEGABYTES in bytes, 5,120 megabytes if unset:
// how large the zip of an execution's output may be.
func (r *Reader) OutputLimit() int64 {
	const name = "OUTPUT_LIMIT_MEGABYTES"
	v, set := r.lookup(name)
	if !set {
		return 5120 << 20
	}
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil || n < 1 || n > 100_000 {
		r.fail(name, " must be a whole number of megabytes from 1 to 100000; it is %q", v)
		return 0
	}
	return int64(n) << 20
}
