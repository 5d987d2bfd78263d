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

// readDotEnv returns a lookup in the process's environment first and the .env
// file second. A file that is not there is an empty one.
func readDotEnv(path string, process settings.Lookup) (settings.Lookup, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the settings file: %w", err)
	}
	file, err := godotenv.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: line %d: %s", path, brokenLine(text), strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return func(name string) (string, bool) {
		if v, set := process(name); set {
			return v, true
		}
		v, set := file[name]
		return v, set
	}, nil
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
