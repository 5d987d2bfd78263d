package runner_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/runner"
	"rekindle/internal/token"
)

// asRunner makes the test's binary be the runner program.
const asRunner = "RUNNER_TEST_AS_RUNNER=1"

// TestMain lets the test's binary be other programs too: the runner, and
// commands that a shell can't be (the words after its name say which).
func TestMain(m *testing.M) {
	// As commands they leave by syscall.Exit: the race detector would have
	// os.Exit wait for a second.
	switch {
	case len(os.Args) > 1 && os.Args[1] == "dump-env":
		dumpEnv()
		syscall.Exit(0)
	case len(os.Args) > 1 && os.Args[1] == "leave-group":
		leaveGroup()
		syscall.Exit(0)
	case os.Getenv("RUNNER_TEST_AS_RUNNER") != "":
		os.Exit(runner.Main(os.Environ(), os.Stderr))
	default:
		os.Exit(m.Run())
	}
}

// self returns a PROJECT_COMMAND that runs this binary as another program.
func self(t *testing.T, args ...string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv, err := json.Marshal(append([]string{exe}, args...))
	if err != nil {
		t.Fatal(err)
	}
	return string(argv)
}

// dumpEnv is a command that writes its environment and arguments to files.
func dumpEnv() {
	for name, v := range map[string][]string{"env.json": os.Environ(), "args.json": os.Args[1:]} {
		text, err := json.Marshal(v)
		if err == nil {
			err = os.WriteFile(name, text, 0o600)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// leaveGroup is a command that ends and leaves a process in a session of its
// own, which holds the command's output open until it can read from the fifo
// "leave".
func leaveGroup() {
	cmd := exec.Command("/bin/sh", "-c", "read x < leave")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("left")
}

// command makes the fixture's runner a program of its own.
func (f *fixture) command() *exec.Cmd {
	f.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{
		asRunner, "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH"), "TMPDIR=" + f.t.TempDir(),
		runner.SettingAPIURL + "=" + f.cfg.APIURL,
		runner.SettingToken + "=" + f.cfg.ExecutionToken,
		runner.SettingCommand + "=" + f.cfg.Command,
		"AWS_BATCH_JOB_ID=batch-1",
	}
	return cmd
}

// program starts the fixture's runner as a process of its own.
func (f *fixture) program(stderr io.Writer) *exec.Cmd {
	f.t.Helper()
	cmd := f.command()
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { cmd.Process.Kill() })
	return cmd
}

// forProgram makes the program's heartbeats come after a second, the shortest that a
// grant can name, and its limit one that the system's clock has not reached.
func (f *fixture) forProgram() {
	f.api.mu.Lock() // the race detector does not see through another process
	defer f.api.mu.Unlock()
	f.api.grant.HeartbeatSeconds = 1
	f.api.grant.TimesOutAt = time.Now().Add(time.Hour)
}

func TestProgramReportsThatTheEngineStoppedIt(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		f := newFixture(t, `echo up > up; read x < never`)
		f.forProgram()
		up := f.fifo("up")
		f.fifo("never")
		cmd := f.program(f.log)
		within(t, "the command", func() error { _, err := os.ReadFile(up); return err })
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if err := within(t, "the runner's exit", cmd.Wait); err != nil {
			t.Errorf("%v: got %v, want exit code 0", s, err)
		}
		got := f.result()
		if got.Outcome != project.OutcomeFailed || !strings.Contains(got.Error, "stopped by the engine") || got.ExitCode != 128+15 {
			t.Errorf("%v: got %+v, want a failure by the engine", s, got)
		}
		f.api.await("the claim of AWS_BATCH_JOB_ID", func() bool { return f.api.claims[0].JobID == "batch-1" })
	}
}

func TestProgramOutlivesTheReaderOfItsLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `echo up > up; read x < go`)
	f.forProgram()
	up, goOn := f.fifo("up"), f.fifo("go")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := f.program(w)
	w.Close()
	within(t, "the command", func() error { _, err := os.ReadFile(up); return err })
	r.Close()
	within(t, "the command's reading", func() error { return os.WriteFile(goOn, []byte("\n"), 0) })
	if err := within(t, "the runner's exit", cmd.Wait); err != nil {
		t.Errorf("got %v, want exit code 0", err)
	}
	if got := f.result(); got.Outcome != project.OutcomeCompleted {
		t.Errorf("got %+v, want completed", got)
	}
}

// The command runs as the runner's user, and may not read its token.
func TestCommandCantReadTheRunner(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can hide a process from its own user")
	}
	t.Parallel()
	f := newFixture(t, `for f in environ maps mem; do if cat /proc/$PPID/$f > seen 2>&1; then echo "read $f" >&2; exit 1; fi; done; [ -e /proc/$PPID/stat ]`)
	f.forProgram()
	cmd := f.command()
	if os.Getuid() == 0 {
		// Root reads everything, so the program is made another's, and its
		// file one that the other can read.
		exe, err := os.ReadFile(cmd.Path)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path = filepath.Join(t.TempDir(), "runner")
		if err := os.WriteFile(cmd.Path, exe, 0o755); err != nil {
			t.Fatal(err)
		}
		tmp := t.TempDir()
		cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
		for _, dir := range []string{filepath.Dir(cmd.Path), f.out, tmp} {
			if err := errors.Join(os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
				t.Fatal(err)
			}
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := f.result(); got.Outcome != project.OutcomeCompleted {
		t.Errorf("got %+v, want completed", got)
	}
}

func TestProgramRefusesItsSettingsWithASentence(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "true")
	f.cfg.ExecutionToken = "nonsense"
	cmd := f.program(f.log)
	err := within(t, "the runner's exit", cmd.Wait)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != runner.ExitConfig {
		t.Errorf("got %v, want exit code %d", err, runner.ExitConfig)
	}
	if !strings.Contains(f.log.String(), "REKINDLE_EXECUTION_TOKEN is missing or is not an execution token") {
		t.Error("the log does not name the setting")
	}
}

func TestLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `echo "$PROJECT_OBJECTIVES" >&2; exit 3`)
	f.api.grant.Objectives = "the-objective"
	f.run()
	secrets := []string{f.cfg.ExecutionToken, f.api.keys.Mint(token.Report, ref, f.api.claims[0].RunnerID), "the-objective"}
	for _, s := range secrets {
		if strings.Contains(f.log.String(), s) {
			t.Errorf("the log holds %s", s)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(f.log.String()), "\n") {
		for _, want := range []string{`"execution_id":61000000000001`, `"tenant_id":"demo"`, `"project_id":"site"`} {
			if !strings.Contains(line, want) {
				t.Errorf("no %s in %s", want, line)
			}
		}
	}
}

// readJSON reads what dumpEnv wrote.
func readJSON(t *testing.T, dir, name string) (v []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}
