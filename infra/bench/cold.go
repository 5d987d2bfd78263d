package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rekindle/infra/prove/rig"
	"rekindle/internal/project"
)

// What a function's first call costs is measured under AWS's own Runtime
// Interface Emulator, outside a container. The emulator starts the function's
// program at the first call of its HTTP API. Its REPORT line has an "Init
// Duration", but it measures no more than its own order to start. So a relay
// stands between the program and the emulator's runtime API, and notes when the
// program first asks for an invocation: until then it has been initialising.

// emulatorFile is where the emulator's version is pinned, as the line rie=….
const emulatorFile = "infra/sam/base.sh"

// emulatorModule returns the pinned Go package of the emulator, with its version.
func emulatorModule() (string, error) {
	text, err := os.ReadFile(emulatorFile)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if module, ok := strings.CutPrefix(strings.TrimSpace(line), "rie="); ok && strings.Contains(module, "@v") {
			return module, nil
		}
	}
	return "", fmt.Errorf("%s has no line rie=MODULE@VERSION", emulatorFile)
}

// coldBench is what the functions under the emulator need.
type coldBench struct {
	*env
	emulator string // the program
	database *database
	batch    string            // endpoint of an engine that takes every job
	settings map[string]string // of infra/env.json
	calls    int               // made so far: each has a project of its own
}

// coldFunction is a function, as Rekindle's and, where it has one, as the peer's.
type coldFunction struct {
	name  string // of the folder
	event string // in infra/events
	peer  string // the peer's handler; empty where it has none
	// prepare puts in what the n-th call needs and returns its event.
	prepare func(ctx context.Context, b *coldBench, event map[string]any, n int) error
	// check judges what the call was answered with; nil is by the HTTP status.
	check func(answer []byte) error
}

// coldStart is one start of a function, and its second call.
type coldStart struct{ init, first, warm time.Duration }

func (c coldStart) cold() time.Duration { return c.init + c.first }

// runCold measures the cold start of each function.
func runCold(ctx context.Context, e *env) (rows []row, err error) {
	if err := havePeer(); err != nil {
		return nil, err
	}
	functions, times := coldFunctions, 5
	if e.quick {
		functions = slices.DeleteFunc(slices.Clone(functions), func(f coldFunction) bool { return f.name != "status" && f.name != "cleanup" })
		times = 1
	}
	b := &coldBench{env: e}
	stop, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, f := range functions {
		if err := b.build(ctx, f.name); err != nil {
			return rows, err
		}
		programs := map[string][]string{"rekindle": {filepath.Join(e.work, f.name, "bootstrap")}}
		order := []string{"rekindle"}
		if f.peer != "" {
			programs["fastapi-boto3"] = []string{peerPython, "-m", "awslambdaric", f.peer}
			order = append(order, "fastapi-boto3")
		}
		starts := map[string][]coldStart{}
		// The first of each is not measured: it reads the files from the disk, and
		// Python compiles what it has not yet.
		for i := range times + 1 {
			for _, system := range order {
				e.progress("%s of %s, %d of %d", f.name, system, i, times)
				one, err := b.start(ctx, f, programs[system])
				if err != nil {
					return rows, fmt.Errorf("%s of %s: %w", f.name, system, err)
				}
				if i > 0 {
					starts[system] = append(starts[system], one)
				}
			}
		}
		rows = append(rows, coldRows(f.name, order, starts)...)
	}
	e.note("Under AWS's Runtime Interface Emulator, on this machine's processor: Lambda gives a function of 256 MB about a seventh of one. init is from the call that starts the program to the program's first request for an invocation, the emulator's own part of it (about a millisecond or two) included; first is from there to the answer, which has read the local database; cold is both; warm is the second call.")
	e.note("Medians of %d of each, cold-min and cold-max beside them. The files have been read before; Python's are compiled.", times)
	e.note("The peer is the FastAPI app by Mangum and awslambdaric, on boto3 and the same tables. The goal: Rekindle's cold start is under a tenth of its; missed says where it is not.")
	return rows, nil
}

// coldRows are the rows of one function.
func coldRows(function string, order []string, starts map[string][]coldStart) (rows []row) {
	medianOf := func(system string, of func(coldStart) time.Duration) float64 {
		var all []float64
		for _, s := range starts[system] {
			all = append(all, float64(of(s)))
		}
		return median(all)
	}
	for _, system := range order {
		r := row{Name: function + "/" + system, N: len(starts[system])}
		for _, m := range []struct {
			unit string
			of   func(coldStart) time.Duration
		}{
			{"init-ns", func(s coldStart) time.Duration { return s.init }}, {"first-ns", func(s coldStart) time.Duration { return s.first }},
			{"cold-ns", coldStart.cold}, {"warm-ns", func(s coldStart) time.Duration { return s.warm }},
		} {
			r.Metrics = append(r.Metrics, metric{medianOf(system, m.of), m.unit})
			if m.unit == "cold-ns" {
				least, most := spread(starts[system])
				r.Metrics = append(r.Metrics, nanoseconds(least, "cold-min-ns"), nanoseconds(most, "cold-max-ns"))
			}
		}
		if system == "rekindle" && len(order) > 1 {
			times := medianOf("fastapi-boto3", coldStart.cold) / medianOf(system, coldStart.cold)
			r.Metrics = append(append(r.Metrics, metric{times, timesPeer}), judged(times, goalStart)...)
		}
		rows = append(rows, r)
	}
	return rows
}

// spread returns the shortest and the longest cold start.
func spread(starts []coldStart) (least, most time.Duration) {
	for i, s := range starts {
		if i == 0 || s.cold() < least {
			least = s.cold()
		}
		most = max(most, s.cold())
	}
	return least, most
}

// open builds the emulator, and starts the database and the engine.
func (b *coldBench) open(ctx context.Context) (stop func() error, err error) {
	module, err := emulatorModule()
	if err != nil {
		return nil, err
	}
	b.progress("building the emulator")
	install := exec.CommandContext(ctx, "go", "install", module)
	install.Env = append(os.Environ(), "GOBIN="+b.work, "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the emulator: %w: %s", err, out)
	}
	b.emulator = filepath.Join(b.work, "aws-lambda-rie")
	text, err := os.ReadFile("infra/env.json")
	if err != nil {
		return nil, err
	}
	var file struct{ Parameters map[string]string }
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("infra/env.json: %w", err)
	}
	b.settings = file.Parameters
	if b.database, err = openDatabase(ctx, "", false); err != nil {
		return nil, err
	}
	endpoint, stopEngine, err := serveEngine()
	if err != nil {
		return nil, errors.Join(err, b.database.close())
	}
	b.batch = endpoint
	stop = func() error { return errors.Join(stopEngine(), b.database.close()) }
	if err := b.seed(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// build builds a function as `sam build` does, for this machine.
func (b *coldBench) build(ctx context.Context, name string) error {
	b.progress("building %s", name)
	logical := strings.ToUpper(name[:1]) + name[1:] + "Function"
	folder := filepath.Join(b.work, name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	arch, err := exec.CommandContext(ctx, "go", "env", "GOARCH").Output()
	if err != nil {
		return fmt.Errorf("asking go for this machine's processor: %w", err)
	}
	out, err := exec.CommandContext(ctx, "make", "--no-print-directory", "build-"+logical, "ARTIFACTS_DIR="+folder, "GOARCH_LAMBDA="+strings.TrimSpace(string(arch))).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building %s: %w: %s", name, err, out)
	}
	return nil
}

// environ is what the functions are told, each as if it were deployed.
func (b *coldBench) environ() []string {
	settings := map[string]string{
		"PROJECT_EXECUTION_TIMEOUT_HOURS": "24", "PROJECT_HEARTBEAT_SECONDS": "30", "PROJECT_COMMAND": `["rekindle-sample"]`,
		"AWS_LAMBDA_FUNCTION_NAME": "bench", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_TIMEOUT": "120", // on a busy machine
		"PEER_STORE": "dynamodb", "PYTHONPATH": peerFolder,
		// By which what is left of a start is found and ended.
		"BENCH_FOLDER": b.work,
	}
	for name, v := range b.settings {
		settings[name] = v
	}
	for _, v := range tablesAt(b.database.server.Endpoint()) {
		name, value, _ := strings.Cut(v, "=")
		settings[name] = value
	}
	settings["AWS_ENDPOINT_URL_BATCH"], settings["AWS_ENDPOINT_URL_S3"] = b.batch, b.batch
	environ := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for name, v := range settings {
		environ = append(environ, name+"="+v)
	}
	return environ
}

// start starts a function under an emulator of its own, and has it called twice.
func (b *coldBench) start(ctx context.Context, f coldFunction, program []string) (c coldStart, err error) {
	runtimeAPI, err := rig.FreeAddress()
	if err != nil {
		return c, err
	}
	invoke, err := rig.FreeAddress()
	if err != nil {
		return c, err
	}
	r, err := openRelay(runtimeAPI)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	var log bytes.Buffer
	// env leads the program to the relay, whatever the emulator says.
	cmd := exec.CommandContext(ctx, b.emulator, append([]string{
		"--runtime-api-address", runtimeAPI, "--runtime-interface-emulator-address", invoke, "/usr/bin/env", "AWS_LAMBDA_RUNTIME_API=" + r.address(),
	}, program...)...)
	cmd.Env = b.environ()
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return c, fmt.Errorf("starting the emulator: %w", err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		for _, left := range rig.Naming(b.work) { // the program, in a group of its own
			_ = syscall.Kill(left.PID, syscall.SIGKILL) // fails where it is gone
		}
		_ = cmd.Wait() // it was killed
		if err != nil {
			err = fmt.Errorf("%w; the emulator's log: %s", err, tailOf(log.Bytes()))
		}
	}()
	if err := awaitListener(ctx, invoke); err != nil {
		return c, err
	}
	var payloads [2][]byte
	for i := range payloads {
		b.calls++
		if payloads[i], err = b.event(ctx, f, b.calls); err != nil {
			return c, err
		}
		if i == 1 {
			break
		}
		began := time.Now()
		if err := f.invoke(ctx, invoke, payloads[i]); err != nil {
			return c, err
		}
		answered := time.Now()
		asked, ok := r.asked()
		if !ok {
			return c, errors.New("the program was not seen to ask for an invocation")
		}
		c.init, c.first = asked.Sub(began), answered.Sub(asked)
	}
	began := time.Now()
	if err := f.invoke(ctx, invoke, payloads[1]); err != nil {
		return c, fmt.Errorf("the second call: %w", err)
	}
	c.warm = time.Since(began)
	return c, nil
}

func tailOf(log []byte) []byte { return log[max(0, len(log)-1500):] }

// event reads a function's event and has it speak of what was prepared for it.
func (b *coldBench) event(ctx context.Context, f coldFunction, n int) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join("infra", "events", f.event))
	if err != nil {
		return nil, err
	}
	var event map[string]any
	if err := json.Unmarshal(text, &event); err != nil {
		return nil, fmt.Errorf("%s: %w", f.event, err)
	}
	if f.prepare != nil {
		if err := f.prepare(ctx, b, event, n); err != nil {
			return nil, fmt.Errorf("preparing a call of %s: %w", f.name, err)
		}
	}
	return json.Marshal(event)
}

// invoke calls the function and judges the answer.
func (f coldFunction) invoke(ctx context.Context, address string, payload []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/2015-03-31/functions/function/invocations", bytes.NewReader(payload))
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Timeout: 3 * time.Minute}).Do(req)
	if err != nil {
		return fmt.Errorf("calling the emulator: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("calling the emulator: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the emulator answers %d %s", resp.StatusCode, answer)
	}
	check := f.check
	if check == nil {
		check = isOK
	}
	if err := check(answer); err != nil {
		return fmt.Errorf("the function answered %s: %w", answer, err)
	}
	return nil
}

// isOK judges an answer to API Gateway.
func isOK(answer []byte) error {
	var out struct {
		StatusCode int `json:"statusCode"`
		Body       string
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return err
	}
	if out.StatusCode != http.StatusOK || !strings.HasPrefix(out.Body, "{") {
		return errors.New("want 200 with an object")
	}
	return nil
}

// failedOne judges a sweep's receipt.
func failedOne(answer []byte) error {
	var receipt struct{ Failed int }
	if err := json.Unmarshal(answer, &receipt); err != nil {
		return err
	}
	if receipt.Failed != 1 {
		return errors.New("want one project failed")
	}
	return nil
}

// isNull judges the answer of a function that has none.
func isNull(answer []byte) error {
	if string(bytes.TrimSpace(answer)) != "null" {
		return errors.New("want null")
	}
	return nil
}

// executionOf is the execution id of the n-th call's project.
func executionOf(n int) int64 { return 200_000 + int64(n) }

// coldProject is the project of the n-th call.
func coldProject(n int, status project.Status, started time.Time) *project.Project {
	p := small.project(project.Key{TenantID: coldTenant, ProjectID: "cold-" + strconv.Itoa(n)}, status, started)
	if status == project.Pending {
		return p
	}
	a := p.Attempts[p.ExecutionID]
	a.ExecutionID = executionOf(n)
	a.RunnerID, a.JobID, a.ClaimedAt = "", "", time.Time{}
	p.Attempts = map[int64]project.Attempt{a.ExecutionID: a}
	p.ExecutionID, p.ClaimedAt, p.HeartbeatAt, p.Progress = a.ExecutionID, time.Time{}, time.Time{}, project.Progress{}
	return p
}
