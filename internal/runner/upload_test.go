package runner_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"rekindle/internal/output"
	"rekindle/internal/output/s3test"
	"rekindle/internal/project"
	"rekindle/internal/runner"
)

const megabyte = 1 << 20

// cloud is a fixture whose output goes to a bucket.
type cloud struct {
	*fixture
	bucket *s3test.Bucket
}

func newCloud(t *testing.T, command string) *cloud {
	t.Helper()
	c := &cloud{fixture: newFixture(t, command)}
	c.bucket = s3test.New(t, "outputs", c.clock.Now)
	c.bucket.Unlisted = true
	uploads, err := output.NewS3(c.bucket.Env, "s3://outputs", c.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	c.api.uploads, c.api.partBytes, c.api.limit = uploads, 5*megabyte, 100*megabyte
	c.api.grant.OutputFolder = "s3://outputs/demo/uid-1/61000000000001/"
	c.cfg.WorkDir, c.cfg.LogDir = filepath.Join(t.TempDir(), "work"), ""
	t.Cleanup(func() {
		if log := c.log.String(); strings.Contains(log, "X-Amz-") || strings.Contains(log, "Signature") {
			t.Errorf("a presigned URL was logged:\n%s", log)
		}
		if left, err := os.ReadDir(c.cfg.WorkDir); err == nil && len(left) > 0 {
			t.Errorf("%s was left behind", left[0].Name())
		}
	})
	return c
}

const keyBase = "demo/uid-1/61000000000001/"

// files returns the names and texts of the stored zip.
func (c *cloud) files() map[string]string {
	c.t.Helper()
	text, ok := c.bucket.Object(keyBase + "output.zip")
	if !ok {
		c.t.Fatal("there is no zip")
	}
	z, err := zip.NewReader(strings.NewReader(text), int64(len(text)))
	if err != nil {
		c.t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			c.t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			c.t.Fatal(err)
		}
		files[f.Name] = string(content)
	}
	return files
}

// hold makes uploads of parts wait until the test is over, and returns a channel
// that tells of the first.
func (c *cloud) hold() (waiting <-chan struct{}) {
	began, over := make(chan struct{}), make(chan struct{})
	c.t.Cleanup(func() { close(over) })
	c.bucket.Hook = func(operation string, n int) s3test.Fault {
		if operation == "UploadPart" {
			if n == 1 {
				close(began)
			}
			<-over
			return s3test.Cut
		}
		return s3test.None
	}
	return began
}

func (c *cloud) wantsNoZip() {
	c.t.Helper()
	if c.bucket.Size(keyBase+"output.zip") >= 0 {
		c.t.Error("there is a zip")
	}
}

func TestOutputIsUploadedAsAZip(t *testing.T) {
	t.Parallel()
	c := newCloud(t, `echo hello; echo hm >&2; mkdir a; echo page > a/index.html; ln -s /etc/passwd link; ln -s /etc a/etc; echo s > .env; echo l > x.log; pwd > where`)
	if got, want := c.run(), (project.Result{Outcome: project.OutcomeCompleted}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	files := c.files()
	where := strings.TrimSpace(files["where"])
	delete(files, "where")
	if want := map[string]string{"a/index.html": "page\n"}; fmt.Sprint(files) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", files, want)
	}
	if filepath.Dir(where) != c.cfg.WorkDir {
		t.Errorf("the command worked in %s, want a folder in %s", where, c.cfg.WorkDir)
	}
	for name, want := range map[string]string{"stdout.log": "hello\n", "stderr.log": "hm\n"} {
		if got, _ := c.bucket.Object(keyBase + name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestEmptyOutputIsAZipToo(t *testing.T) {
	t.Parallel()
	c := newCloud(t, "true")
	if got := c.run(); got.Outcome != project.OutcomeCompleted {
		t.Errorf("got %+v", got)
	}
	if files := c.files(); len(files) != 0 {
		t.Errorf("got %v, want none", files)
	}
}

func TestFolderThatWasMadeAnewIsUploaded(t *testing.T) {
	t.Parallel()
	c := newCloud(t, `rm -r "$OUTPUT_DIR"; mkdir "$OUTPUT_DIR"; echo mine > "$OUTPUT_DIR/mine"`)
	if got := c.run(); got.Outcome != project.OutcomeCompleted {
		t.Fatalf("got %+v", got)
	}
	if files := c.files(); len(files) != 1 || files["mine"] != "mine\n" {
		t.Errorf("got %v, want mine alone", files)
	}
}

func TestFolderThatWasReplacedIsNotFollowed(t *testing.T) {
	t.Parallel()
	other := t.TempDir()
	for _, command := range []string{
		`rmdir "$OUTPUT_DIR"`,
		`rmdir "$OUTPUT_DIR"; echo theirs > ` + other + `/theirs; ln -s ` + other + ` "$OUTPUT_DIR"`,
	} {
		c := newCloud(t, command)
		if got := c.run(); got.Outcome != project.OutcomeFailed || !strings.HasPrefix(got.Error, "The output folder is not there any more") {
			t.Errorf("%s: got %+v, want a failure that says so", command, got)
		}
		c.wantsNoZip()
	}
	if _, err := os.Stat(filepath.Join(other, "theirs")); err != nil {
		t.Errorf("what the link led to was removed: %v", err)
	}
}

// Whatever goes wrong on the way, what arrives is what was written.
func TestUploadGetsThroughFaults(t *testing.T) {
	t.Parallel()
	c := newCloud(t, `head -c 6000000 /dev/urandom > data; cp data `+"$KEEP")
	keep := filepath.Join(t.TempDir(), "data")
	c.cfg.Command = strings.Replace(c.cfg.Command, "$KEEP", keep, 1)
	c.api.hook("upload", func(n int, _ []byte) int { return []int{503, lose, serve}[min(n-1, 2)] })
	c.api.hook("upload/part", func(n int, _ []byte) int { return []int{lose, 429, serve}[min(n-1, 2)] })
	c.api.hook("upload/complete", func(n int, _ []byte) int { return []int{lose, 502, serve}[min(n-1, 2)] })
	c.bucket.Hook = func(operation string, n int) s3test.Fault {
		if operation != "UploadPart" {
			return s3test.None
		}
		switch n {
		case 1, 4:
			return s3test.Cut
		case 2, 5:
			return http.StatusServiceUnavailable
		case 3:
			return s3test.Lose
		case 7: // the URL has expired meanwhile
			c.clock.set(noon.Add(16 * time.Minute))
		}
		return s3test.None
	}
	if got := c.run(); got.Outcome != project.OutcomeCompleted {
		t.Fatalf("got %+v", got)
	}
	want, err := os.ReadFile(keep)
	if err != nil {
		t.Fatal(err)
	}
	if files := c.files(); files["data"] != string(want) {
		t.Errorf("%d bytes arrived and differ", len(files["data"]))
	}
	if n := c.bucket.Calls("UploadPart"); n != 2+6 {
		t.Errorf("got %d tries for 2 parts and 6 faults", n)
	}
}

func TestUploadThatMakesNoHeadwayIsTriedAgain(t *testing.T) {
	t.Parallel()
	c := newCloud(t, "echo x > x")
	c.cfg.Stall = 30 * time.Millisecond
	over := make(chan struct{})
	defer close(over)
	c.bucket.Hook = func(operation string, n int) s3test.Fault {
		if operation == "UploadPart" && n == 1 {
			<-over
		}
		return s3test.None
	}
	if got := c.run(); got.Outcome != project.OutcomeCompleted {
		t.Errorf("got %+v", got)
	}
}

func TestUploadThatIsRefusedFailsTheExecution(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		arrange func(*cloud)
		want    string
		parts   int // tries
	}{
		"by the store": {func(c *cloud) {
			c.bucket.Hook = func(op string, _ int) s3test.Fault { return map[string]s3test.Fault{"UploadPart": 403}[op] }
		}, "The output could not be stored: the store answered with status 403, Fault", 3},
		"by a redirect": {func(c *cloud) {
			c.bucket.Hook = func(op string, _ int) s3test.Fault { return map[string]s3test.Fault{"UploadPart": 307}[op] }
		}, "The output could not be stored: the store answered with status 307, Fault", 3},
		"at its beginning":               {func(c *cloud) { c.api.hook("upload", func(int, []byte) int { return 400 }) }, "The output could not be stored: as the test wants it", 0},
		"at a part":                      {func(c *cloud) { c.api.hook("upload/part", func(int, []byte) int { return 404 }) }, "The output could not be stored: as the test wants it", 0},
		"at its end":                     {func(c *cloud) { c.api.hook("upload/complete", func(int, []byte) int { return 404 }) }, "The output could not be stored: as the test wants it", 1},
		"by an answer that says nothing": {func(c *cloud) { c.api.partBytes = 1 }, "The output could not be stored: the API's answer does not say how", 0},
		"as too large": {func(c *cloud) {
			c.api.limit = megabyte
			c.cfg.Command = "head -c 1200000 /dev/urandom > data"
		}, "The output is larger than 1 MB", 0},
		"as too deeply nested":  {func(c *cloud) { c.cfg.Command = `d=.; for i in $(seq 120); do d=$d/d; done; mkdir -p $d` }, "The output could not be read: folders are nested deeper than 100", 0},
		"as much too large":     {func(c *cloud) { c.api.limit = 6 * megabyte; c.cfg.Command = "head -c 6500000 /dev/urandom > data" }, "The output is larger than 6 MB", 1},
		"as large as it may be": {func(c *cloud) { c.api.limit = 5 * megabyte; c.cfg.Command = "head -c 5300000 /dev/urandom > data" }, "The output is larger than 5 MB", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, "echo x > data")
			tc.arrange(c)
			if got, want := c.run(), (project.Result{Outcome: project.OutcomeFailed, Error: tc.want}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if n := c.bucket.Calls("UploadPart"); n != tc.parts {
				t.Errorf("got %d tries to send a part, want %d", n, tc.parts)
			}
			c.wantsNoZip()
		})
	}
}

func TestStopByTheEngineEndsTheUpload(t *testing.T) {
	t.Parallel()
	c := newCloud(t, "echo x > x; echo hello")
	waiting := c.hold()
	r, err := runner.New(c.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	exit := make(chan int, 1)
	go func() { exit <- r.Run(ctx) }()
	within(t, "the upload", func() struct{} { return <-waiting })
	stop()
	c.wants(exit, runner.ExitDone)
	want := project.Result{Outcome: project.OutcomeFailed, Error: "The execution was stopped by the engine before its output was stored"}
	if got := c.result(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c.wantsNoZip()
}

func TestStopByTheEngineUploadsNothing(t *testing.T) {
	t.Parallel()
	c := newCloud(t, "")
	c.fifo("never")
	c.cfg.Heartbeat = time.Hour
	up := c.fifo("up")
	c.cfg.Command = fmt.Sprintf(`trap 'exit 0' TERM; echo hello; echo up > %s; read x < %s/never`, up, c.out)
	r, err := runner.New(c.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	exit := make(chan int, 1)
	go func() { exit <- r.Run(ctx) }()
	within(t, "the command", func() error { _, err := os.ReadFile(up); return err })
	stop()
	c.wants(exit, runner.ExitDone)
	if got := c.result(); got.Outcome != project.OutcomeFailed || !strings.Contains(got.Error, "stopped by the engine") {
		t.Errorf("got %+v, want a failure by the engine", got)
	}
	if n := c.api.count("upload"); n != 0 || len(c.bucket.Keys()) != 0 {
		t.Errorf("%d uploads were begun, and there are %v", n, c.bucket.Keys())
	}
}

func TestLimitHoldsDuringTheUpload(t *testing.T) {
	t.Parallel()
	c := newCloud(t, "echo x > x")
	waiting := c.hold()
	exit := c.start()
	within(t, "the upload", func() struct{} { return <-waiting })
	c.api.awaitBeats(2) // it is alive all the while
	c.clock.set(noon.Add(24 * time.Hour))
	c.wants(exit, runner.ExitDone)
	want := project.Result{Outcome: project.OutcomeTimedOut, Error: "Execution timed out before its output was stored: its limit was 2026-01-02T12:00:00Z"}
	if got := c.result(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c.wantsNoZip()
}

func TestClosedAttemptEndsTheUploadAndReportsNothing(t *testing.T) {
	t.Parallel()
	for name, arrange := range map[string]func(*cloud, <-chan struct{}){
		"by a heartbeat": func(c *cloud, waiting <-chan struct{}) {
			c.api.hook("heartbeat", func(int, []byte) int {
				select {
				case <-waiting:
					return http.StatusConflict
				default:
					return serve
				}
			})
		},
		"at its beginning": func(c *cloud, _ <-chan struct{}) { c.api.hook("upload", func(int, []byte) int { return 409 }) },
		"at a part":        func(c *cloud, _ <-chan struct{}) { c.api.hook("upload/part", func(int, []byte) int { return 401 }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, "echo x > x")
			arrange(c, c.hold())
			c.wants(c.start(), runner.ExitDone)
			if n := c.api.count("result"); n != 0 {
				t.Errorf("got %d results, want none", n)
			}
			c.wantsNoZip()
		})
	}
}

func TestFailedCommandShowsItsLogsAndNoOutput(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]string{"failed": "echo hello; echo why >&2; echo x > x; exit 3", "killed": "echo hello; echo why >&2; kill -KILL $$"} {
		c := newCloud(t, command)
		c.cfg.Heartbeat = time.Hour
		if got := c.run(); got.Outcome != project.OutcomeFailed {
			t.Errorf("%s: got %+v", name, got)
		}
		if text, _ := c.bucket.Object(keyBase + "stderr.log"); text != "why\n" {
			t.Errorf("%s: stderr.log has %q", name, text)
		}
		if n := c.api.count("upload"); n != 0 || c.api.count("heartbeat") != 1 {
			t.Errorf("%s: got %v, want one heartbeat and no upload", name, c.api.calls)
		}
	}
}

func TestLogsAreSentWhenTheyAreNew(t *testing.T) {
	t.Parallel()
	c := newCloud(t, "")
	goOn, end := c.fifo("go"), c.fifo("end")
	c.cfg.Command = fmt.Sprintf("echo one; read x < %s; echo two; read x < %s", goOn, end)
	exit := c.start()
	shows := func(want string) func() bool {
		return func() bool { got, _ := c.bucket.Object(keyBase + "stdout.log"); return got == want }
	}
	c.api.await("the log", shows("one\n"))
	c.api.awaitBeats(5)
	if n := c.bucket.Calls("PutObject"); n != 1 {
		t.Errorf("the log was sent %d times", n)
	}
	within(t, "the command's reading", func() error { return os.WriteFile(goOn, []byte("\n"), 0) })
	c.api.await("the log", shows("one\ntwo\n"))
	within(t, "the command's reading", func() error { return os.WriteFile(end, []byte("\n"), 0) })
	c.wants(exit, runner.ExitDone)
	if got := c.result(); got.Outcome != project.OutcomeCompleted || c.bucket.Calls("PutObject") != 2 {
		t.Errorf("got %+v after %d logs, want completed after 2", got, c.bucket.Calls("PutObject"))
	}
}

func TestLogsThatCantBeShownStopNothing(t *testing.T) {
	t.Parallel()
	c := newCloud(t, "echo hello")
	c.bucket.Hook = func(op string, _ int) s3test.Fault { return map[string]s3test.Fault{"PutObject": 403}[op] }
	if got := c.run(); got.Outcome != project.OutcomeCompleted {
		t.Errorf("got %+v, want completed", got)
	}
	if !strings.Contains(c.log.String(), "could not be shown") {
		t.Error("the log has no warning")
	}
}

// Not parallel: it looks at what the whole process allocates.
func TestLargeOutputIsHeldInMemoryAPartAtATime(t *testing.T) {
	c := newCloud(t, fmt.Sprintf("head -c %d /dev/urandom > data", largeOutput))
	c.cfg.Heartbeat = time.Minute
	c.bucket.Forgetful = true
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	exit := c.start()
	select { // no guard of seconds: a slow machine takes long to compress this
	case <-exit:
	case <-time.After(5 * time.Minute):
		t.Fatal("waited in vain for the runner's exit")
	}
	runtime.ReadMemStats(&after)
	got := c.result()
	if got.Outcome != project.OutcomeCompleted || c.bucket.Size(keyBase+"output.zip") < largeOutput {
		t.Fatalf("got %+v and %d bytes", got, c.bucket.Size(keyBase+"output.zip"))
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 24<<20 {
		t.Errorf("allocated %d bytes for %d of output in parts of 5 MB, want at most 24 MB", n, largeOutput)
	}
}

func TestCommandThatRanOutOfMemoryIsToldSo(t *testing.T) {
	t.Parallel()
	const killed = "The command was killed by signal SIGKILL (9)"
	const starved = "The command ran out of memory and was killed"
	for _, tc := range []struct{ file, command, want string }{
		{"memory.events", `echo "oom 1
oom_kill 3" > FILE; kill -KILL $$`, starved},
		{"memory/memory.oom_control", `echo "oom_kill 3" > FILE; echo why >&2; kill -KILL $$`, "why\n" + starved},
		{"memory.events", `echo "oom_kill 3" > FILE; exit 137`, starved}, // a shell tells of what it started
		{"memory.events", `kill -KILL $$`, killed},
		{"memory.events", `echo "oom_kill 3" > FILE; kill -TERM $$`, "The command was killed by signal SIGTERM (15)"},
		{"memory.events", `echo "oom_kill 3" > FILE; exit 2`, "The command exited with code 2"},
		{"nothing", `kill -KILL $$`, killed},
	} {
		f := newFixture(t, "")
		f.cfg.CgroupDir = t.TempDir()
		path := filepath.Join(f.cfg.CgroupDir, tc.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("oom_kill_disable 0\noom_kill 2\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		f.cfg.Command = strings.ReplaceAll(tc.command, "FILE", path)
		if got := f.run(); got.Error != tc.want {
			t.Errorf("%s: got %q, want %q", tc.command, got.Error, tc.want)
		}
	}
}

func TestKernelTakesTheCommandFirst(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux scores processes")
	}
	t.Parallel()
	// The shell may be quicker than the runner.
	f := newFixture(t, `until grep -q '^500$' /proc/$$/oom_score_adj; do :; done`)
	if got := f.run(); got.Outcome != project.OutcomeCompleted {
		t.Errorf("got %+v", got)
	}
}

// The runner's image is small, and the SDK has no use where there are no
// credentials.
func TestRunnerLinksNoAWSPackage(t *testing.T) {
	t.Parallel()
	deps, err := exec.Command("go", "list", "-deps", "rekindle/infra/runner").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(deps)) {
		if strings.Contains(path, "aws") && !strings.HasPrefix(path, "internal/") {
			t.Errorf("it links %s", path)
		}
	}
	if !slices.Contains(strings.Fields(string(deps)), "rekindle/internal/archive") || bytes.Contains(deps, []byte("rekindle/internal/output")) {
		t.Error("the zip is not made by internal/archive alone")
	}
}
