package main

import (
	"path/filepath"
	"strings"
	"testing"

	"rekindle/internal/launch"
	"rekindle/internal/token"
)

// The tokens in the events are constants: they are made with the secret of
// env.json, for the stuck project that the data always has.
func TestTokensOfTheEventsAreThoseOfTheSecret(t *testing.T) {
	root(t)
	env, err := readEnvironment("infra/env.json")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := token.NewKeyring(env["EXECUTION_TOKEN_SECRET"])
	if err != nil {
		t.Fatal(err)
	}
	execution, report := keys.Mint(token.Execution, stuck, ""), keys.Mint(token.Report, stuck, runnerID)
	for event, want := range map[string]string{
		"worker-claim.json": execution, "worker-heartbeat.json": report, "worker-result.json": report,
	} {
		if got := eventToken(t, event); got != want {
			t.Errorf("%s has the token %s, want %s", event, got, want)
		}
	}
	var settle struct {
		Detail struct {
			JobName   string
			Container struct {
				Environment []struct{ Name, Value string }
			}
		}
	}
	readJSON(t, filepath.Join("infra", "events", "settle-failed.json"), &settle)
	if want := launch.JobName(stuck); settle.Detail.JobName != want {
		t.Errorf("settle-failed.json is of job %s, want %s", settle.Detail.JobName, want)
	}
	for _, v := range settle.Detail.Container.Environment {
		if v.Name == "REKINDLE_EXECUTION_TOKEN" {
			if v.Value != execution {
				t.Errorf("settle-failed.json has the token %s, want %s", v.Value, execution)
			}
			return
		}
	}
	t.Error("settle-failed.json has no token")
}

// eventToken returns the token that an HTTP event carries.
func eventToken(t *testing.T, event string) string {
	t.Helper()
	var e struct{ Headers map[string]string }
	readJSON(t, filepath.Join("infra", "events", event), &e)
	bearer, ok := strings.CutPrefix(e.Headers["authorization"], "Bearer ")
	if !ok {
		t.Errorf("%s has no bearer token", event)
	}
	return bearer
}
