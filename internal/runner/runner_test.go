package runner_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/runner"
	"rekindle/internal/token"
)

func TestClaimNamesRunnerAndJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "true")
	f.run()
	want := project.Claim{RunnerID: f.api.claims[0].RunnerID, JobID: "job-1"}
	if !slices.Equal(f.api.claims, []project.Claim{want}) || len(want.RunnerID) < 16 {
		t.Errorf("got %+v, want one claim by a random runner for job-1", f.api.claims)
	}
}

func TestRefusedClaimStartsNothing(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 404, 409} {
		f := newFixture(t, "touch marker")
		f.api.hook("claim", func(int, []byte) int { return status })
		f.wants(f.start(), runner.ExitNotStarted)
		if _, err := os.Stat(filepath.Join(f.out, "marker")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%d: the command was started: %v", status, err)
		}
		if f.api.count("claim") != 1 || f.api.count("result") != 0 {
			t.Errorf("%d: got %v, want one claim", status, f.api.calls)
		}
		if !strings.Contains(f.log.String(), "as the test wants it") {
			t.Errorf("%d: the log does not say why", status)
		}
	}
}

func TestSecondRunnerIsRefusedWhileTheFirstGoesOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `echo "$$" >> started; read x < go`)
	goOn := f.fifo("go")
	f.api.hook("claim", func(n int, _ []byte) int {
		if n > 1 {
			return http.StatusConflict
		}
		return serve
	})
	first := f.start()
	f.api.awaitBeats(1)
	f.wants(f.start(), runner.ExitNotStarted)
	within(t, "the command's reading", func() error { return os.WriteFile(goOn, []byte("\n"), 0) })
	f.wants(first, runner.ExitDone)
	started, err := os.ReadFile(filepath.Join(f.out, "started"))
	if err != nil || bytes.Count(started, []byte("\n")) != 1 {
		t.Errorf("started by %q, %v; want one process", started, err)
	}
}

func TestClaimIsAskedAgainByTheSameRunnerWhenItsAnswerWasLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "echo x >> started")
	f.api.hook("claim", func(n int, _ []byte) int {
		return []int{lose, http.StatusServiceUnavailable, http.StatusTooManyRequests, serve}[n-1]
	})
	if got := f.run(); got.Outcome != project.OutcomeCompleted {
		t.Errorf("got %+v, want completed", got)
	}
	if c := f.api.claims; len(c) != 2 || c[0] != c[1] {
		t.Errorf("got claims %+v, want the same twice", c)
	}
	if started, _ := os.ReadFile(filepath.Join(f.out, "started")); string(started) != "x\n" {
		t.Errorf("started %q, want once", started)
	}
}

func TestClaimGivesUpAfterItsTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "touch marker")
	f.api.hook("claim", func(int, []byte) int { return http.StatusInternalServerError })
	exit := f.start()
	f.api.await("claims", func() bool { return f.api.calls["claim"] >= 3 })
	f.clock.set(noon.Add(runner.DefaultClaimWithin))
	f.wants(exit, runner.ExitNotStarted)
}

func TestStopDuringTheClaimStartsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "touch marker")
	f.api.hook("claim", func(int, []byte) int { return http.StatusInternalServerError })
	r, err := runner.New(f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	exit := make(chan int, 1)
	go func() { exit <- r.Run(ctx) }()
	f.api.await("a claim", func() bool { return f.api.calls["claim"] >= 1 })
	stop()
	f.wants(exit, runner.ExitNotStarted)
}

// What stands in front of the API may answer in its place. That is no grant.
func TestClaimTakesOnlyAGrantForOne(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"a page":          func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>Welcome to our network") },
		"an empty object": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"another execution": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"execution_id":1,"report_token":"x"}`) },
		"an endless answer": func(w http.ResponseWriter, _ *http.Request) {
			for chunk := bytes.Repeat([]byte(" "), 1<<20); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "touch marker")
			claims := make(chan struct{}, 3)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					t.Error("the token went elsewhere")
				}
				select {
				case claims <- struct{}{}:
				default: // enough were seen
				}
				answer(w, r)
			}))
			defer server.Close()
			f.cfg.APIURL = server.URL
			exit := f.start()
			for range 3 {
				within(t, "a claim", func() struct{} { return <-claims })
			}
			f.clock.set(noon.Add(runner.DefaultClaimWithin))
			f.wants(exit, runner.ExitNotStarted)
			if _, err := os.Stat(filepath.Join(f.out, "marker")); err == nil {
				t.Error("the command was started")
			}
		})
	}
}

func TestWorkGoesOnWhileTheAPIIsDown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `echo "10 up" >> "$PROGRESS_FILE"; read x < go`)
	goOn := f.fifo("go")
	f.api.hook("heartbeat", func(n int, _ []byte) int { return []int{lose, 503, 429, 403, serve}[min(n-1, 4)] })
	f.api.hook("result", func(n int, _ []byte) int { return []int{503, lose, 500, 429, serve}[n-1] })
	exit := f.start()
	f.api.await("a heartbeat that arrives", func() bool { return f.api.calls["heartbeat"] >= 6 })
	within(t, "the command's reading", func() error { return os.WriteFile(goOn, []byte("\n"), 0) })
	f.wants(exit, runner.ExitDone)
	// The second result was applied and its answer lost.
	want := []project.Result{{Outcome: project.OutcomeCompleted}, {Outcome: project.OutcomeCompleted}}
	if !slices.Equal(f.api.results, want) {
		t.Errorf("got %+v, want %+v", f.api.results, want)
	}
}

func TestResultIsGivenUpWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "true")
	f.api.hook("result", func(int, []byte) int { return http.StatusBadGateway })
	exit := f.start()
	f.api.await("results", func() bool { return f.api.calls["result"] >= 3 })
	f.clock.set(noon.Add(24*time.Hour + runner.DefaultReportWithin))
	f.wants(exit, runner.ExitUnreported)
}

func TestResultOfAnAttemptThatWasClosedIsReportedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "true")
	f.api.hook("result", func(int, []byte) int { return http.StatusConflict })
	f.wants(f.start(), runner.ExitDone)
	if n := f.api.count("result"); n != 1 {
		t.Errorf("got %d results, want 1", n)
	}
}

func TestRefusedResultIsAnError(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "true")
	f.api.hook("result", func(int, []byte) int { return http.StatusBadRequest })
	f.wants(f.start(), runner.ExitUnreported)
	if n := f.api.count("result"); n != 1 {
		t.Errorf("got %d results, want 1", n)
	}
}

func TestClosedAttemptStopsTheCommandAndReportsNothing(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusConflict, http.StatusUnauthorized} {
		f := newFixture(t, `trap 'echo term > term; exit 0' TERM; echo "1 up" >> "$PROGRESS_FILE"; read x < never`)
		f.fifo("never")
		f.api.hook("heartbeat", func(int, []byte) int {
			if f.api.said("up") {
				return status
			}
			return serve
		})
		f.wants(f.start(), runner.ExitDone)
		if n := f.api.count("result"); n != 0 {
			t.Errorf("%d: got %d results, want none", status, n)
		}
		if term, err := os.ReadFile(filepath.Join(f.out, "term")); err != nil {
			t.Errorf("%d: the command got no SIGTERM: %q, %v", status, term, err)
		}
	}
}

func TestLimitStopsTheCommand(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `trap 'exit 0' TERM; echo "1 up" >> "$PROGRESS_FILE"; read x < never`)
	f.fifo("never")
	exit := f.start()
	f.api.awaitMessage("up")
	f.clock.set(noon.Add(24 * time.Hour))
	f.wants(exit, runner.ExitDone)
	want := project.Result{Outcome: project.OutcomeTimedOut, Error: "Execution timed out: the command was stopped at its limit, 2026-01-02T12:00:00Z"}
	if got := f.result(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestHeartbeatMovesTheLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `echo "1 up" >> "$PROGRESS_FILE"; read x < go; echo "2 alive" >> "$PROGRESS_FILE"; read x < never`)
	goOn := f.fifo("go")
	f.fifo("never")
	exit := f.start()
	f.api.awaitMessage("up")
	f.api.setLimit(noon.Add(48 * time.Hour))
	f.api.awaitBeats(3)
	f.clock.set(noon.Add(25 * time.Hour))
	f.api.awaitBeats(2)
	within(t, "the command's reading", func() error { return os.WriteFile(goOn, []byte("\n"), 0) })
	f.api.awaitMessage("alive")
	f.clock.set(noon.Add(49 * time.Hour))
	f.wants(exit, runner.ExitDone)
	if got := f.result(); got.Outcome != project.OutcomeTimedOut || !strings.Contains(got.Error, "2026-01-03T12:00:00Z") {
		t.Errorf("got %+v, want timed out at the later limit", got)
	}
}

// The owner extended it after the last heartbeat: the runner asks before it stops.
func TestExtensionSinceTheLastHeartbeatIsAskedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `echo "1 up" >> "$PROGRESS_FILE"; read x < go`)
	goOn := f.fifo("go")
	f.cfg.Heartbeat = 24 * time.Hour // none comes by itself
	exit := f.start()
	f.api.await("the claim", func() bool { return len(f.api.claims) > 0 })
	f.api.setLimit(noon.Add(48 * time.Hour))
	f.clock.set(noon.Add(24 * time.Hour))
	f.api.await("the question", func() bool { return len(f.api.beats) == 1 })
	within(t, "the command's reading", func() error { return os.WriteFile(goOn, []byte("\n"), 0) })
	f.wants(exit, runner.ExitDone)
	if got := f.result(); got.Outcome != project.OutcomeCompleted {
		t.Errorf("got %+v, want completed: it was extended", got)
	}
}

func TestLimitStopsTheCommandWhereNobodyAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]int{"the connection breaks": lose, "the API is busy": http.StatusServiceUnavailable} {
		f := newFixture(t, `echo "1 up" >> "$PROGRESS_FILE"; read x < never`)
		f.fifo("never")
		f.cfg.Heartbeat = 24 * time.Hour
		f.api.hook("heartbeat", func(int, []byte) int { return answer })
		exit := f.start()
		f.api.await("the claim", func() bool { return len(f.api.claims) > 0 })
		f.clock.set(noon.Add(24 * time.Hour))
		f.wants(exit, runner.ExitDone)
		if got := f.result(); got.Outcome != project.OutcomeTimedOut {
			t.Errorf("%s: got %+v, want timed out", name, got)
		}
	}
}

func TestLimitWaitsForNoAnswerForLong(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `echo "1 up" >> "$PROGRESS_FILE"; read x < never`)
	f.fifo("never")
	f.cfg.Heartbeat, f.cfg.RequestTimeout = 24*time.Hour, 50*time.Millisecond
	hanging := make(chan struct{})
	t.Cleanup(func() { close(hanging) })
	f.api.hang = hanging
	exit := f.start()
	f.api.await("the claim", func() bool { return len(f.api.claims) > 0 })
	f.clock.set(noon.Add(24 * time.Hour))
	f.wants(exit, runner.ExitDone)
	if got := f.result(); got.Outcome != project.OutcomeTimedOut {
		t.Errorf("got %+v, want timed out", got)
	}
}

func TestHeartbeatBringsTheLimitForward(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `echo "1 up" >> "$PROGRESS_FILE"; read x < never`)
	f.fifo("never")
	exit := f.start()
	f.api.awaitMessage("up")
	f.api.setLimit(noon.Add(-time.Second))
	f.wants(exit, runner.ExitDone)
	if got := f.result(); got.Outcome != project.OutcomeTimedOut {
		t.Errorf("got %+v, want timed out", got)
	}
}

func TestCommandThatIgnoresSIGTERMIsKilled(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `trap '' TERM; echo "1 up" >> "$PROGRESS_FILE"; read x < never; read x < never`)
	f.cfg.Grace = 20 * time.Millisecond
	f.fifo("never")
	exit := f.start()
	f.api.awaitMessage("up")
	f.clock.set(noon.Add(25 * time.Hour))
	f.wants(exit, runner.ExitDone)
	if got := f.result(); got.Outcome != project.OutcomeTimedOut || got.ExitCode != 128+9 {
		t.Errorf("got %+v, want timed out and killed", got)
	}
}

// The engine kills what has not gone after its own grace, so the command's is
// cut short.
func TestStopByTheEngineCutsTheGraceShort(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `trap '' TERM; echo "1 up" >> "$PROGRESS_FILE"; read x < never; read x < never`)
	f.cfg.Grace = time.Hour
	f.cfg.StopWithin = 4 * time.Second
	f.fifo("never")
	r, err := runner.New(f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	exit := make(chan int, 1)
	go func() { exit <- r.Run(ctx) }()
	f.api.awaitMessage("up")
	f.clock.set(noon.Add(25 * time.Hour)) // its limit comes first, with a grace of an hour
	f.api.awaitBeats(2)
	stop()
	f.wants(exit, runner.ExitDone)
	if got := f.result(); got.ExitCode != 128+9 {
		t.Errorf("got %+v, want it killed", got)
	}
}

func TestStopByTheEngineEndsTheReportToo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "true")
	f.cfg.StopWithin = 50 * time.Millisecond
	f.api.hook("result", func(int, []byte) int { return http.StatusBadGateway })
	r, err := runner.New(f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	exit := make(chan int, 1)
	go func() { exit <- r.Run(ctx) }()
	f.api.await("a result", func() bool { return f.api.calls["result"] >= 1 })
	stop()
	f.wants(exit, runner.ExitUnreported)
}

func TestHeartbeatTellsProgressOnlyWhenItIsNew(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `echo "40 Generating pages" >> "$PROGRESS_FILE"; read x < go; echo "50% More" >> "$PROGRESS_FILE"; printf "60 Half a li" >> "$PROGRESS_FILE"; read x < end; exit 1`)
	goOn, end := f.fifo("go"), f.fifo("end")
	f.api.hook("heartbeat", func(n int, _ []byte) int {
		if n < 3 {
			return http.StatusServiceUnavailable
		}
		return serve
	})
	exit := f.start()
	f.api.awaitMessage("Generating pages")
	f.api.awaitBeats(3)
	within(t, "the command's reading", func() error { return os.WriteFile(goOn, []byte("\n"), 0) })
	f.api.awaitMessage("More")
	f.api.awaitBeats(3)
	within(t, "the command's reading", func() error { return os.WriteFile(end, []byte("\n"), 0) })
	f.wants(exit, runner.ExitDone)
	var told []project.Progress
	for _, b := range f.api.beats {
		if b.Progress != nil {
			told = append(told, *b.Progress)
		}
	}
	want := []project.Progress{{Percent: 40, Message: "Generating pages"}, {Percent: 50, Message: "More"}}
	if !slices.Equal(told, want) {
		t.Errorf("got %+v, want %+v", told, want)
	}
}

func TestFailureTellsHowFarItCame(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `echo "70 Nearly" >> "$PROGRESS_FILE"; exit 1`)
	f.cfg.Heartbeat = time.Hour
	f.run()
	if len(f.api.beats) != 1 || !f.api.said("Nearly") {
		t.Errorf("got heartbeats %+v, want one with the last progress", f.api.beats)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	good := newFixture(t, "true").cfg
	for name, change := range map[string]func(*runner.Config){
		"no address":          func(c *runner.Config) { c.APIURL = "" },
		"no scheme":           func(c *runner.Config) { c.APIURL = "example.com/stage" },
		"another scheme":      func(c *runner.Config) { c.APIURL = "ftp://example.com" },
		"a password":          func(c *runner.Config) { c.APIURL = "https://u:p@example.com" },
		"a query":             func(c *runner.Config) { c.APIURL = "https://example.com?x=1" },
		"no token":            func(c *runner.Config) { c.ExecutionToken = "" },
		"a negative duration": func(c *runner.Config) { c.Grace = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := runner.New(cfg); err == nil {
			t.Errorf("%s: got a runner, want a refusal", name)
		}
	}
}

func TestFromEnvReadsTheSettings(t *testing.T) {
	t.Parallel()
	tok := newFakeAPI(t).keys.Mint(token.Execution, ref, "")
	env := map[string]string{
		"REKINDLE_API_URL": "https://example.com", "REKINDLE_EXECUTION_TOKEN": tok,
		"PROJECT_COMMAND": "make site", "REKINDLE_LOG_DIR": "/logs", "AWS_BATCH_JOB_ID": "batch",
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	cfg, err := runner.FromEnv(lookup)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.APIURL != "https://example.com" || cfg.ExecutionToken != tok || cfg.Command != "make site" || cfg.LogDir != "/logs" || cfg.JobID != "batch" {
		t.Errorf("got %+v", cfg)
	}
	env["REKINDLE_JOB_ID"] = "job"
	if cfg, err = runner.FromEnv(lookup); err != nil || cfg.JobID != "job" {
		t.Errorf("job id: got %q, %v; want REKINDLE_JOB_ID's", cfg.JobID, err)
	}
	for _, name := range []string{"REKINDLE_API_URL", "REKINDLE_EXECUTION_TOKEN"} {
		old := env[name]
		delete(env, name)
		if _, err := runner.FromEnv(lookup); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: got %v, want an error that names it", name, err)
		}
		env[name] = old
	}
}
