package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
)

// Where the commands go: the real connect, to a stack on this machine and to an
// account whose endpoints are local.

// runAt runs a command line with its own connection, in an environment.
func runAt(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	a := &app{out: &out, err: &errs, now: noonClock, lookup: lookup}
	a.connect = func(ctx context.Context) (*stack, error) { return connect(ctx, a.target, lookup) }
	return result{a.execute(t.Context(), args), out.String(), errs.String()}
}

// functions is Lambda's Invoke API with one function.
func functions(t *testing.T, name, functionError, answer string) (url string, payloads *[]string) {
	payloads = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/2015-03-31/functions/"+name+"/invocations" {
			w.Header().Set("X-Amzn-Errortype", "ResourceNotFoundException")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"Message":"no such function"}`)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*payloads = append(*payloads, string(body))
		if functionError != "" {
			w.Header().Set("X-Amz-Function-Error", functionError)
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL, payloads
}

const someReceipt = `{"sweep_id":"s-1","cutoff":"2026-03-01T12:00:00Z","dry_run":false,"shards":16,"pages":16,"nominated":2,"failed":2,"skipped":{},"complete":true}`

// localData makes the data folder of a stack that serves.
func localData(t *testing.T, db *dynamotest.DB, api string, pid int) string {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(localStack{API: api, Database: dynamotest.Endpoint(t), PID: pid, Tables: map[string]string{
		projectsSetting: db.Tables.Projects, tenantsSetting: db.Tables.Tenants, sessionsSetting: db.Tables.Sessions,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"stack.json": string(text), "hashing-secret": hashingSecret} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLocalReachesTheStackThatServesTheData(t *testing.T) {
	db := dynamotest.Open(t)
	// Some databases keep the tables of each region and access key apart.
	env := map[string]string{regionSetting: "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
	api, payloads := functions(t, "CleanupFunction", "", someReceipt)
	at := "--local=" + localData(t, db, api, os.Getpid())
	if r := runAt(t, env, at, "tenant", "create", "--id", "acme", "--name", "Acme", "--slug", "acme", "--email", "a@acme.example"); r.code != exitDone {
		t.Fatalf("got %d: %s", r.code, r.err)
	}
	if _, err := db.GetTenant(t.Context(), "acme"); err != nil {
		t.Error(err)
	}
	r := runAt(t, env, at, "code", "issue")
	if r.code != exitDone {
		t.Fatalf("got %d: %s", r.code, r.err)
	}
	hasher, err := project.NewHasher(hashingSecret)
	if err != nil {
		t.Fatal(err)
	}
	code := strings.Fields(r.out)[2]
	if _, err := db.GetCode(t.Context(), hasher.Hash(project.KindActivation, code)); err != nil {
		t.Errorf("the code was not hashed with the stack's secret: %v", err)
	}
	if r := runAt(t, env, at, "sweep"); r.code != exitDone || !strings.Contains(r.out, "s-1") {
		t.Errorf("sweep: got %d: %s%s", r.code, r.out, r.err)
	}
	if r := runAt(t, env, at, "sweep", "--dry-run"); r.code != exitDone {
		t.Errorf("dry run: got %d: %s", r.code, r.err)
	}
	if want := []string{`{"dry_run":false}`, `{"dry_run":true}`}; !slices.Equal(*payloads, want) {
		t.Errorf("the function was sent %q, want %q", *payloads, want)
	}
}

func TestLocalSaysWhenNoStackServes(t *testing.T) {
	db := dynamotest.Open(t)
	ended := exec.Command(os.Args[0], "-test.run=^$")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{
		"nothing there": t.TempDir(),
		"killed":        localData(t, db, "http://127.0.0.1:1", ended.Process.Pid),
	} {
		r := runAt(t, nil, "--local="+dir, "tenant", "list")
		if want := "no stack serves " + dir + ": start one with make run"; r.code != exitFailed || !strings.Contains(r.err, want) {
			t.Errorf("%s: got %d: %s, want %q", name, r.code, r.err, want)
		}
	}
}

func TestAccountIsReachedByEnvironmentFlagsAndFile(t *testing.T) {
	db := dynamotest.Open(t)
	api, _ := functions(t, "my-cleanup", "", someReceipt)
	// The SDK reads its own settings from the process's environment.
	for name, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
		"AWS_ENDPOINT_URL_DYNAMODB": dynamotest.Endpoint(t), "AWS_ENDPOINT_URL_LAMBDA": api, "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
	} {
		t.Setenv(name, v)
	}
	file := filepath.Join(t.TempDir(), "prod.env")
	text := fmt.Sprintf("PROJECTS_TABLE=%s\nTENANTS_TABLE=wrong\nSESSIONS_TABLE=%s\nHASHING_SECRET='%s'\nCLEANUP_FUNCTION=wrong\nAWS_REGION=eu-central-1\n",
		db.Tables.Projects, db.Tables.Sessions, hashingSecret)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{tenantsSetting: db.Tables.Tenants, cleanupSetting: "wrong-too"}
	for _, args := range [][]string{
		{"tenant", "create", "--id", "acme", "--name", "Acme", "--slug", "acme", "--email", "a@acme.example"},
		{"tenant", "show", "acme"},
		{"code", "issue"},
		{"sweep", "--cleanup-function", "my-cleanup"},
	} {
		if r := runAt(t, env, append([]string{"--env-file", file}, args...)...); r.code != exitDone || strings.Contains(r.out+r.err, hashingSecret) {
			t.Errorf("%v: got %d: %s", args, r.code, r.err)
		}
	}
	r := runAt(t, env, "--env-file", file, "sweep")
	if r.code != exitFailed || !strings.Contains(r.err, "invoking wrong-too") {
		t.Errorf("a function that is not there: got %d: %s", r.code, r.err)
	}
}

func TestMissingSettingsAreNamed(t *testing.T) {
	for name, v := range map[string]string{"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": ""} {
		t.Setenv(name, v)
	}
	tables := map[string]string{projectsSetting: "p", tenantsSetting: "t", sessionsSetting: "s"}
	noSecret := map[string]string{projectsSetting: "p", tenantsSetting: "t", sessionsSetting: "s", regionSetting: "eu-central-1"}
	short := map[string]string{projectsSetting: "p", tenantsSetting: "t", sessionsSetting: "s", regionSetting: "eu-central-1", hashingSetting: "tooshort"}
	broken := filepath.Join(t.TempDir(), "broken.env")
	if err := os.WriteFile(broken, []byte("HASHING_SECRET is tooshort\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		says string
		env  map[string]string
		args []string
	}{
		{exitUsage, "say where: --local for the stack on this machine, or PROJECTS_TABLE, TENANTS_TABLE, SESSIONS_TABLE for one in an AWS account", nil, []string{"tenant", "list"}},
		{exitUsage, "or TENANTS_TABLE for one in an AWS account", map[string]string{projectsSetting: "p", sessionsSetting: "s"}, []string{"tenant", "list"}},
		{exitUsage, "or CLEANUP_FUNCTION for one in an AWS account", tables, []string{"sweep"}},
		{exitUsage, "no AWS region is set: give --region, or set it in the profile", tables, []string{"tenant", "list"}},
		{exitUsage, "HASHING_SECRET is not set: see rekindlectl --help for how to get it", noSecret, []string{"code", "issue"}},
		{exitFailed, "HASHING_SECRET: the hashing key has 8 bytes and needs at least 32", short, []string{"code", "issue"}},
		{exitFailed, "the settings file: open /nowhere", nil, []string{"--env-file", "/nowhere", "tenant", "list"}},
		{exitFailed, "is not one of NAME=value lines", nil, []string{"--env-file", broken, "tenant", "list"}},
		{exitFailed, "the AWS profile", tables, []string{"--profile", "nobody", "--region", "eu-central-1", "tenant", "list"}},
		{exitUsage, "were all set", nil, []string{"--local", "--profile", "prod", "tenant", "list"}},
	} {
		r := runAt(t, c.env, c.args...)
		if r.code != c.code || !strings.Contains(r.err, c.says) || r.out != "" {
			t.Errorf("%v: got %d: %s%s, want %d and %q", c.args, r.code, r.out, r.err, c.code, c.says)
		}
		if strings.Contains(r.err, "tooshort") {
			t.Errorf("%v: it shows the secret: %s", c.args, r.err)
		}
	}
}

func TestSweepTellsWhatTheFunctionAnswered(t *testing.T) {
	db := dynamotest.Open(t)
	for name, c := range map[string]struct{ functionError, answer, says string }{
		"failed":  {"Unhandled", `{"errorMessage":"it broke","errorType":"errorString"}`, "it broke"},
		"another": {"", `{"statusCode":404}`, "answered with no receipt of a sweep"},
	} {
		t.Run(name, func(t *testing.T) {
			api, _ := functions(t, "CleanupFunction", c.functionError, c.answer)
			r := runAt(t, nil, "--local="+localData(t, db, api, os.Getpid()), "sweep")
			if r.code != exitFailed || !strings.Contains(r.err, c.says) {
				t.Errorf("got %d: %s, want %q", r.code, r.err, c.says)
			}
		})
	}
}
