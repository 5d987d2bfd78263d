package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"

	"github.com/joho/godotenv"

	"rekindle/internal/dynamo"
	"rekindle/internal/settings"
	"rekindle/internal/template"
)

// sources are where this machine's settings come from: the process's
// environment first, the .env file second.
type sources struct {
	process settings.Lookup
	path    string
	file    map[string]string
}

// readDotEnv reads the .env file. One that is not there is an empty one.
func readDotEnv(path string, process settings.Lookup) (*sources, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the settings file: %w", err)
	}
	file, err := godotenv.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: line %d: %s", path, brokenLine(text), strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if _, nameless := file[""]; nameless {
		return nil, fmt.Errorf("%s: line %d: a value without a name", path, namelessLine(text))
	}
	return &sources{process, path, file}, nil
}

func (s *sources) lookup(name string) (string, bool) {
	if v, set := s.process(name); set {
		return v, true
	}
	v, set := s.file[name]
	return v, set
}

// blame puts before an error where what it complains of was said: for a
// setting, the environment or .env if either has it, and otherwise the template.
func (s *sources) blame(err error, template string) error {
	from := template
	if problem := (*settings.Problem)(nil); errors.As(err, &problem) {
		if _, set := s.process(problem.Setting); set {
			from = "the environment"
		} else if _, set := s.file[problem.Setting]; set {
			from = s.path
		}
	}
	return fmt.Errorf("%s: %w", from, err)
}

// namelessLine returns the first line of a .env file that begins with its sign
// of equality.
func namelessLine(text []byte) int {
	for n, line := range bytes.Split(text, []byte("\n")) {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("=")) {
			return n + 1
		}
	}
	return 1
}

// brokenLine returns the first line up to which a .env file can't be parsed,
// for the parser itself does not say.
func brokenLine(text []byte) int {
	lines := bytes.SplitAfter(text, []byte("\n"))
	for n := range lines {
		if _, err := godotenv.Parse(bytes.NewReader(bytes.Join(lines[:n+1], nil))); err != nil {
			return n + 1
		}
	}
	return len(lines)
}

// machine is what this machine puts in the place of what the template makes in
// an account.
type machine struct {
	endpoint string // of the database
	output   string // absolute folder of the output folders
	secret   string // of the execution tokens
	hashing  string // key of the hashes of codes
}

// environment returns what a function of the template is told on this machine:
// the template's values, overridden by name from the process's environment or
// .env, and this machine's own.
func environment(f template.Function, set settings.Lookup, m machine) settings.Lookup {
	env := map[string]string{}
	maps.Copy(env, f.Environment)
	if _, ok := env["PROJECT_HEARTBEAT_SECONDS"]; ok {
		// A person is watching: progress shows at once.
		env["PROJECT_HEARTBEAT_SECONDS"] = "2"
	}
	for name := range env {
		if v, ok := set(name); ok {
			env[name] = v
		}
	}
	for name, v := range map[string]string{"EXECUTION_TOKEN_SECRET": m.secret, "HASHING_SECRET": m.hashing, "OUTPUT_BASE": m.output} {
		if _, ok := env[name]; ok {
			env[name] = v
		}
	}
	// A local database takes any credentials, but the client wants some.
	for name, v := range map[string]string{"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_SESSION_TOKEN": ""} {
		env[name] = v
		if own, ok := set(name); ok {
			env[name] = own
		}
	}
	env[dynamo.EndpointSetting] = m.endpoint
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}
