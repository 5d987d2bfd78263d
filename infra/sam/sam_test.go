package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
	"rekindle/internal/template"
)

const (
	sam = ".venv/sam/bin/sam"
	// builtFolder is where `sam local` looks by itself.
	builtFolder = ".aws-sam/build"
	// commandWithin is how long one call of the SAM CLI may take. The first
	// build compiles the AWS clients.
	commandWithin = 10 * time.Minute
)

// machines are the template's architectures, as an ELF file has them.
var machines = map[string]elf.Machine{"arm64": elf.EM_AARCH64, "x86_64": elf.EM_X86_64}

// bench is the SAM CLI with what its functions call, for one test.
type bench struct {
	*services
	template *template.Template
	arch     string // of this machine, as the template names it
	envFile  string
	invoked  map[string]bool // functions and events
}

// TestSAM holds the template, the build and every function in its container to
// what the SAM CLI makes of them.
func TestSAM(t *testing.T) {
	if os.Getenv("REKINDLE_TEST_SAM") != "1" {
		t.Skip("needs the SAM CLI and Docker: make sam runs it")
	}
	root(t)
	b := &bench{arch: map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH], invoked: map[string]bool{}}
	if b.arch == "" {
		t.Fatalf("Lambda has no functions for this machine's %s", runtime.GOARCH)
	}
	if out, err := exec.CommandContext(t.Context(), "docker", "version").CombinedOutput(); err != nil {
		t.Fatalf("no Docker engine answers, and `sam local` needs one; make docker starts one on Debian: %v\n%s", err, out)
	}
	var err error
	if b.template, err = template.Open("template.yaml", nil); err != nil {
		t.Fatal(err)
	}
	env, err := readEnvironment("infra/env.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"DYNAMODB", "BATCH", "S3"} { // free ports
		env[endpoint(service)] = "http://host.docker.internal:0"
	}
	if b.services, err = start(t.Context(), bridge(), env); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("the services did not end: %v", err)
		}
	})
	b.envFile = filepath.Join(t.TempDir(), "env.json")
	if err := b.env.write(b.envFile); err != nil {
		t.Fatal(err)
	}

	t.Run("the template is valid", b.validate)
	for _, arch := range []string{"arm64", "x86_64"} {
		if !t.Run("it is built for "+arch, func(t *testing.T) { b.build(t, arch) }) {
			return // what stands there may be of an older build
		}
	}
	t.Cleanup(func() { b.noContainers(t) })
	t.Run("invoke", b.invocations)
	t.Run("an empty endpoint is refused", b.emptyEndpoint)
	t.Run("start-api", b.startAPI)
	t.Run("every function and every event was used", b.nothingLeftOut)
}

// root makes the folder of go.mod the working folder.
func root(t *testing.T) {
	t.Helper()
	t.Chdir("../..")
	if _, err := os.Stat("go.mod"); err != nil {
		t.Fatal(err)
	}
}

// command is a call of the SAM CLI. Its own calls to AWS, for the account's
// number, go to moto.
func (b *bench) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, sam, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "SAM_CLI_TELEMETRY=0", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
		"AWS_DEFAULT_REGION="+region, "AWS_ENDPOINT_URL_STS="+b.moto.url, "AWS_EC2_METADATA_DISABLED=true")
	// SIGINT, for then it removes its container.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	return cmd
}

// local is a call of `sam local` for this machine's architecture.
func (b *bench) local(ctx context.Context, verb, envFile string, args ...string) *exec.Cmd {
	args = append([]string{"local", verb}, args...)
	// Last, for it takes every argument that follows.
	return b.command(ctx, append(args, "--skip-pull-image", "--env-vars", envFile, "--parameter-overrides", "Architecture="+b.arch)...)
}

func (b *bench) validate(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), commandWithin)
	defer cancel()
	if out, err := b.command(ctx, "validate", "--lint").CombinedOutput(); err != nil {
		t.Errorf("sam validate --lint: %v\n%s", err, out)
	}
}

// build builds every function. The template's default is arm64; it is built
// without being told.
func (b *bench) build(t *testing.T, arch string) {
	ctx, cancel := context.WithTimeout(t.Context(), commandWithin)
	defer cancel()
	folder := ".aws-sam/" + arch
	if arch == b.arch {
		folder = builtFolder
	}
	args := []string{"build", "--build-dir", folder}
	if arch != "arm64" {
		args = append(args, "--parameter-overrides", "Architecture="+arch)
	}
	if out, err := b.command(ctx, args...).CombinedOutput(); err != nil {
		t.Fatalf("sam build: %v\n%s", err, out)
	}
	for _, f := range b.template.Functions {
		checkArtefact(t, filepath.Join(folder, f.LogicalID), machines[arch])
	}
}

// checkArtefact holds a folder to what provided.al2023 runs: one static,
// executable file named bootstrap.
func checkArtefact(t *testing.T, folder string, machine elf.Machine) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Error(err)
		return
	}
	if len(files) != 1 || files[0].Name() != "bootstrap" {
		t.Errorf("%s holds %v, want bootstrap alone", folder, files)
		return
	}
	path := filepath.Join(folder, "bootstrap")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o111 != 0o111 {
		t.Errorf("%s: got mode %v, %v, want everybody to execute it", path, info.Mode(), err)
	}
	program, err := elf.Open(path)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	defer program.Close()
	if program.Machine != machine {
		t.Errorf("%s is for %v, want %v", path, program.Machine, machine)
	}
	if slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Errorf("%s is linked dynamically, want a static file", path)
	}
}

// reset brings the data back to its beginning.
func (b *bench) reset(t *testing.T) {
	t.Helper()
	db, err := dynamo.ClientFromEnv(b.lookup)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range b.template.Tables {
		name := &table.LogicalID
		if _, err := db.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: name}); err != nil {
			t.Fatal(err)
		}
		gone := dynamodb.NewTableNotExistsWaiter(db, func(o *dynamodb.TableNotExistsWaiterOptions) {
			o.MinDelay, o.MaxDelay = 10*time.Millisecond, 200*time.Millisecond
		})
		if err := gone.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: name}, 30*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.seed(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// project reads a project from the database, beside the functions.
func (b *bench) project(t *testing.T, id string) *project.Project {
	t.Helper()
	store, err := b.store()
	if err != nil {
		t.Fatal(err)
	}
	p, err := store.Get(t.Context(), project.Key{TenantID: tenantID, ProjectID: id})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answer is what a function in a container returned, and what it logged.
type answer struct {
	payload []byte
	log     string
}

// invoke invokes a function with an event, as it is shipped or changed.
func (b *bench) invoke(t *testing.T, function, event string, change func(map[string]any)) answer {
	t.Helper()
	path := filepath.Join("infra", "events", event)
	b.invoked[function], b.invoked[event] = true, true
	if change != nil {
		var e map[string]any
		readJSON(t, path, &e)
		change(e)
		path = filepath.Join(t.TempDir(), event)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := b.run(t, b.envFile, function, path)
	if err != nil {
		t.Fatalf("sam local invoke %s --event %s: %v\n%s%s", function, path, err, a.log, a.payload)
	}
	return a
}

func (b *bench) run(t *testing.T, envFile, function, event string) (answer, error) {
	ctx, cancel := context.WithTimeout(t.Context(), commandWithin)
	defer cancel()
	cmd := b.local(ctx, "invoke", envFile, function, "--event", event)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	return answer{bytes.TrimSpace(out), log.String()}, err
}

// wants holds an HTTP answer to a status and to members that its body must
// have, and returns the body.
func (a answer) wants(t *testing.T, status int, members string) map[string]any {
	t.Helper()
	var response struct {
		StatusCode int
		Body       string
	}
	if err := json.Unmarshal(a.payload, &response); err != nil {
		t.Fatalf("the answer is no JSON: %v\ngot %s\n%s", err, a.payload, a.log)
	}
	return wants(t, response.StatusCode, []byte(response.Body), a.log, status, members)
}

func wants(t *testing.T, status int, body []byte, log string, wantStatus int, members string) map[string]any {
	t.Helper()
	var got, want map[string]any
	if err := json.Unmarshal([]byte(members), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("the body is no JSON object: %v\ngot %d %s\n%s", err, status, body, log)
	}
	ok := status == wantStatus
	for name, value := range want {
		ok = ok && reflect.DeepEqual(got[name], value)
	}
	if !ok {
		t.Errorf("got %d %s\nwant %d with %s\n%s", status, body, wantStatus, members, log)
	}
	return got
}

func (b *bench) emptyEndpoint(t *testing.T) {
	env := maps.Clone(b.env)
	env[endpoint("DYNAMODB")] = ""
	file := filepath.Join(t.TempDir(), "env.json")
	if err := env.write(file); err != nil {
		t.Fatal(err)
	}
	want := endpoint("DYNAMODB") + " is set but empty"
	// The emulator sometimes ends before it has handed on what a function said as
	// it died. An answer it must never have.
	for try := 1; ; try++ {
		a, err := b.run(t, file, "StatusFunction", "infra/events/status.json")
		if bytes.Contains(a.payload, []byte("statusCode")) {
			t.Fatalf("got the answer %s, want none", a.payload)
		}
		if strings.Contains(a.log, want) {
			return
		}
		if try == 5 {
			t.Fatalf("got %s, %v\n%s\nwant a log that says %s", a.payload, err, a.log, want)
		}
	}
}

func (b *bench) nothingLeftOut(t *testing.T) {
	for _, f := range b.template.Functions {
		if !b.invoked[f.LogicalID] {
			t.Errorf("%s was not invoked", f.LogicalID)
		}
	}
	files, err := filepath.Glob("infra/events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no events: %v", err)
	}
	for _, file := range files {
		if !b.invoked[filepath.Base(file)] {
			t.Errorf("no function was invoked with %s", file)
		}
	}
}

// noContainers fails the test for a container that is left, and removes it.
func (b *bench) noContainers(t *testing.T) {
	folder, err := filepath.Abs(builtFolder)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	for _, f := range b.template.Functions {
		out, err := exec.CommandContext(ctx, "docker", "ps", "--all", "--quiet", "--filter", "volume="+filepath.Join(folder, f.LogicalID)).Output()
		if err != nil {
			t.Errorf("listing containers: %v", err)
		}
		for _, id := range strings.Fields(string(out)) {
			t.Errorf("the container %s of %s is left", id, f.LogicalID)
			if out, err := exec.CommandContext(ctx, "docker", "rm", "--force", id).CombinedOutput(); err != nil {
				t.Errorf("removing it: %v\n%s", err, out)
			}
		}
	}
}

// api is a running `sam local start-api`.
type api struct {
	url string
	log *lines
}

// serveAPI starts it and returns once it serves.
func (b *bench) serveAPI(t *testing.T) *api {
	t.Helper()
	port := freePort(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := b.local(ctx, "start-api", b.envFile, "--port", port)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &api{url: "http://127.0.0.1:" + port, log: newLines("Running on ")}
	ended := make(chan error, 1)
	go func() {
		_, _ = io.Copy(a.log, out)
		ended <- cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-a.log.seen:
	case err := <-ended:
		ended <- err
		t.Fatalf("sam local start-api has ended: %v\n%s", err, a.log)
	case <-time.After(startWithin):
		t.Fatalf("sam local start-api does not serve\n%s", a.log)
	}
	return a
}
