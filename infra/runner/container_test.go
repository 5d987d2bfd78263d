package main_test

import (
	"archive/zip"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"rekindle/internal/api"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/output"
	"rekindle/internal/output/s3test"
	"rekindle/internal/project"
	"rekindle/internal/token"
)

// These tests run the runner's image in Docker, against the worker function's
// handler over a real store and an S3 of the tests'. They need Docker on Linux:
// containers reach the test by the address of Docker's bridge. make runner-test
// asks for them.

const image = "rekindle-runner:test"

// setup builds the image and the probe, once.
var setup = sync.OnceValues(func() (built, error) {
	var b built
	// Not every Docker says which address of it is its own: the first.
	subnet, err := docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}")
	if err != nil {
		return b, err
	}
	addresses, err := netip.ParsePrefix(subnet)
	if err != nil {
		return b, err
	}
	b.gateway = addresses.Masked().Addr().Next().String()
	arch, err := docker("version", "--format", "{{.Server.Arch}}")
	if err != nil {
		return b, err
	}
	root := filepath.Join("..", "..")
	if _, err := command("make", "-C", root, "runner-image", "IMAGE="+image, "PLATFORM=linux/"+arch); err != nil {
		return b, err
	}
	dir, err := os.MkdirTemp("", "rekindle-probe-")
	if err != nil {
		return b, err
	}
	probeDir = dir
	if err := os.Chmod(dir, 0o755); err != nil {
		return b, err
	}
	b.probe = filepath.Join(dir, "probe")
	_, err = command("env", "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "go", "build", "-o", b.probe, "./testdata/probe")
	return b, err
})

type built struct{ gateway, probe string }

// probeDir is what setup has to be removed after.
var probeDir string

func TestMain(m *testing.M) {
	code := m.Run()
	if probeDir != "" {
		os.RemoveAll(probeDir)
	}
	os.Exit(code)
}

func docker(args ...string) (string, error) { return command("docker", args...) }

// failure is a command that failed, with what it said.
type failure struct {
	args []string
	said string
	err  error
}

func (f *failure) Error() string {
	return strings.Join(f.args, " ") + ": " + f.err.Error() + "\n" + f.said
}
func (f *failure) Unwrap() error { return f.err }

func command(name string, args ...string) (string, error) {
	// Nothing here takes that long, unless it is stuck.
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", &failure{cmd.Args, string(out), err}
	}
	return strings.TrimSpace(string(out)), nil
}

var ref = project.Ref{
	Key: project.Key{TenantID: "acme", ProjectID: "site"}, ProjectUID: "uid-1", ExecutionID: 61_000_000_000_001,
}

const folder = "acme/uid-1/61000000000001/"

// world is a running execution that nobody has claimed, and what a runner needs.
type world struct {
	t      *testing.T
	built  built
	db     *dynamotest.DB
	bucket *s3test.Bucket
	worker *api.Handler
	keys   *token.Keyring
	url    string
}

func newWorld(t *testing.T, objectives string) *world {
	t.Helper()
	if os.Getenv("REKINDLE_TEST_DOCKER") == "" {
		t.Skip("needs Docker on Linux: make runner-test runs it")
	}
	b, err := setup()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := token.NewKeyring(strings.Repeat("k", token.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, built: b, db: dynamotest.Open(t), keys: keys, bucket: s3test.New(t, "outputs", nil)}
	w.bucket.Unlisted = true
	endpoint := w.serve(w.bucket)
	uploads, err := output.NewS3(func(name string) (string, bool) {
		if name == "AWS_ENDPOINT_URL_S3" {
			return endpoint, true
		}
		return w.bucket.Env(name)
	}, "s3://outputs", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.worker = api.NewWorker(w.db, api.WorkerConfig{
		Keys: keys, Timeout: project.DefaultTimeout, Heartbeat: time.Second, Uploads: uploads, Limit: 100 << 20,
	}, api.Options{Budget: time.Minute})
	w.url = w.serve(http.HandlerFunc(w.gateway))
	now := time.Now().UTC()
	w.db.Insert(t, &project.Project{
		Key: ref.Key, UID: ref.ProjectUID, Version: 3, Name: "Site", Description: "A site", Objectives: objectives,
		Status: project.Running, ExecutionID: ref.ExecutionID, Attempt: 1, StartedAt: now, Output: "s3://outputs/" + folder,
		Attempts: map[int64]project.Attempt{ref.ExecutionID: {
			ExecutionID: ref.ExecutionID, Number: 1, StartedAt: now, Output: "s3://outputs/" + folder, Operation: project.Run, StartedBy: "test",
		}},
	})
	return w
}

// serve serves h where containers reach it, and returns its address.
func (w *world) serve(h http.Handler) string {
	w.t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(w.built.gateway, "0"))
	if err != nil {
		w.t.Fatalf("Docker's bridge is not this machine's: %v", err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: h}}
	server.Start()
	w.t.Cleanup(server.Close)
	return server.URL
}

// gateway hands a request to the worker function as API Gateway does.
func (w *world) gateway(out http.ResponseWriter, r *http.Request) {
	const base = "/api/worker/executions/"
	id, call, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, base), "/")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the runner has gone
	}
	event := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: r.Method + " " + base + "{execution_id}/" + call, Body: string(body),
		PathParameters: map[string]string{"execution_id": id}, Headers: map[string]string{},
	}
	for name := range r.Header {
		event.Headers[strings.ToLower(name)] = r.Header.Get(name)
	}
	payload, err := json.Marshal(event)
	if err != nil {
		w.t.Error(err)
	}
	text, err := w.worker.Invoke(r.Context(), payload)
	if err != nil {
		w.t.Errorf("the worker function failed: %v", err)
	}
	var answer events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(text, &answer); err != nil {
		w.t.Error(err)
	}
	out.WriteHeader(answer.StatusCode)
	io.WriteString(out, answer.Body)
}

// start starts a runner in a container of its own and returns its name.
func (w *world) start(projectCommand string, flags ...string) string {
	w.t.Helper()
	args := append([]string{
		"run", "--detach", "--volume", w.built.probe + ":/probe:ro",
		"--env", "REKINDLE_API_URL=" + w.url, "--env", "REKINDLE_EXECUTION_TOKEN=" + w.keys.Mint(token.Execution, ref, ""),
		"--env", "PROJECT_COMMAND=" + projectCommand, "--env", "AWS_BATCH_JOB_ID=job-1", "--env", "AWS_SECRET=secret",
	}, flags...)
	id, err := docker(append(args, image)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if w.t.Failed() {
			log, _ := docker("logs", id)
			w.t.Logf("the runner's log:\n%s", log)
		}
		if _, err := docker("rm", "--force", id); err != nil {
			w.t.Error(err)
		}
	})
	return id
}

// ends waits for a container's end and wants its exit code.
func (w *world) ends(id string, code int) {
	w.t.Helper()
	if got, err := docker("wait", id); err != nil || got != strconv.Itoa(code) {
		w.t.Errorf("the container ended with %s, %v; want %d", got, err, code)
	}
}

// says waits until a container has logged a line with text so many times.
func (w *world) says(id, text string, times int) {
	w.t.Helper()
	cmd := exec.Command("docker", "logs", "--follow", id)
	r, wr, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = wr, wr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	wr.Close()
	defer func() { cmd.Process.Kill(); cmd.Wait(); r.Close() }()
	late := time.AfterFunc(4*time.Minute, func() { cmd.Process.Kill() })
	defer late.Stop()
	var log strings.Builder
	buf := make([]byte, 4096)
	for strings.Count(log.String(), text) < times {
		n, err := r.Read(buf)
		log.Write(buf[:n])
		if err != nil {
			w.t.Fatalf("the runner did not say %q %d times:\n%s", text, times, log.String())
		}
	}
}

func (w *world) wants(status project.Status, reason string) {
	w.t.Helper()
	if p := w.db.Read(w.t, ref.Key); p.Status != status || p.Error != reason {
		w.t.Errorf("the project is %s %q, want %s %q", p.Status, p.Error, status, reason)
	}
}

// files returns what is in the stored zip.
func (w *world) files() map[string]string {
	w.t.Helper()
	text, ok := w.bucket.Object(folder + "output.zip")
	z, err := zip.NewReader(strings.NewReader(text), int64(len(text)))
	if !ok || err != nil {
		w.t.Fatalf("there is no zip: %v", err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			w.t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			w.t.Fatal(err)
		}
		files[f.Name] = string(content)
	}
	return files
}
