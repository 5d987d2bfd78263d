package runner_test

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"rekindle/internal/project"
	"rekindle/internal/runner"
)

func TestResultSaysHowTheCommandEnded(t *testing.T) {
	t.Parallel()
	failed := func(code int, text string) project.Result {
		return project.Result{Outcome: project.OutcomeFailed, ExitCode: code, Error: text}
	}
	for name, c := range map[string]struct {
		command string
		want    project.Result
	}{
		"success":                      {`echo done; echo noise >&2`, project.Result{Outcome: project.OutcomeCompleted}},
		"failure with a reason":        {`echo "the price list is empty" >&2; exit 3`, failed(3, "the price list is empty")},
		"failure without a word":       {`exit 3`, failed(3, "The command exited with code 3")},
		"failure with blank stderr":    {`printf ' \n\0\n' >&2; exit 4`, failed(4, "The command exited with code 4")},
		"killed":                       {`kill -KILL $$`, failed(137, "The command was killed by signal SIGKILL (9)")},
		"killed with a reason":         {`echo oops >&2; kill -SEGV $$`, failed(139, "oops\nThe command was killed by signal SIGSEGV (11)")},
		"argv":                         {`["/bin/sh", "-c", "exit $#", "sh", "a b", "-c"]`, failed(2, "The command exited with code 2")},
		"argv by PATH":                 {` [ "sh" , "-c", "exit 5" ] `, failed(5, "The command exited with code 5")},
		"shell test":                   {`[ 1 = 2 ] || exit 6`, failed(6, "The command exited with code 6")},
		"program that is not there":    {`["no-such-program", "x"]`, failed(127, `The command "no-such-program" was not found`)},
		"file that is not there":       {`["/no/such/program"]`, failed(127, `The command "/no/such/program" was not found`)},
		"file that is no program":      {`["/etc/passwd"]`, failed(126, `The command "/etc/passwd" may not be executed`)},
		"NUL in an argument":           {`["sh", "a\u0000b"]`, failed(126, "The command could not be started: the command or a field of the project holds a NUL character")},
		"no command":                   {" \n", failed(126, "No command is configured: PROJECT_COMMAND is empty")},
		"its working directory":        {`[ "$(pwd -P)" = "$(cd "$OUTPUT_DIR" && pwd -P)" ]`, project.Result{Outcome: project.OutcomeCompleted}},
		"nothing on its input":         {`[ -z "$(cat)" ]`, project.Result{Outcome: project.OutcomeCompleted}},
		"array with another than text": {`["sh", null] && exit 0; exit 7`, failed(7, "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := newFixture(t, c.command).run()
			if name == "array with another than text" {
				got.Error = "" // the shell's words for a command that is not there
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestShellSaysWhatItDidNotFind(t *testing.T) {
	t.Parallel()
	got := newFixture(t, "no-such-program --flag").run()
	if got.ExitCode != 127 || !strings.Contains(got.Error, "no-such-program") {
		t.Errorf("got %+v, want the shell's complaint", got)
	}
}

func TestTextThatCantBeHandedOnIsAFailure(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		strings.Repeat("x", 3<<20): "too long to be handed to it",
		"a\x00b":                   "holds a NUL character",
	} {
		f := newFixture(t, "true")
		f.api.grant.Objectives = text
		got := f.run()
		if got.Outcome != project.OutcomeFailed || !strings.HasPrefix(got.Error, "The command could not be started: ") || !strings.Contains(got.Error, want) {
			t.Errorf("%.10q: got %+v, want a failure that says: %s", text, got, want)
		}
	}
}

func TestOutputThatCantBeIsAFailure(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for output, want := range map[string]string{
		"gs://bucket/demo/uid-1/1/": `Output to "gs://bucket/demo/uid-1/1/" is not supported by this runner`,
		"relative":                  `Output to "relative" is not supported by this runner`,
		"":                          `Output to "" is not supported by this runner`,
		file + "/below":             "The output folder could not be made",
	} {
		f := newFixture(t, "true")
		f.api.grant.OutputFolder = output
		if got := f.run(); got.Outcome != project.OutcomeFailed || !strings.HasPrefix(got.Error, want) {
			t.Errorf("%q: got %+v, want %q", output, got, want)
		}
	}
}

func TestOutputFolderIsMade(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "touch made")
	f.api.grant.OutputFolder = filepath.Join(f.out, "a", "b")
	f.run()
	if _, err := os.Stat(filepath.Join(f.out, "a", "b", "made")); err != nil {
		t.Error(err)
	}
}

func TestProjectReachesTheCommandByteForByte(t *testing.T) {
	t.Parallel()
	for _, objective := range []string{
		"-rf", "--help", `"double" 'single' \back\\slash`, "two\nlines\n\n", "$(touch pwned) `touch pwned` ${HOME} ; touch pwned",
		"naïve – 日本語 \x01\x7f", "A=B", strings.Repeat("a long objective, ", 10<<10/18), "",
	} {
		f := newFixture(t, self(t, "dump-env", "arg"))
		f.api.grant.Objectives, f.api.grant.Name, f.api.grant.Description = objective, objective, objective
		if got := f.run(); got.Outcome != project.OutcomeCompleted {
			t.Fatalf("got %+v, want completed", got)
		}
		env := readJSON(t, f.out, "env.json")
		for _, name := range []string{"PROJECT_OBJECTIVES", "PROJECT_NAME", "PROJECT_DESCRIPTION"} {
			if !slices.Contains(env, name+"="+objective) {
				t.Errorf("%s: %q did not arrive: %q", name, objective, env)
			}
		}
		if got := readJSON(t, f.out, "args.json"); !slices.Equal(got, []string{"dump-env", "arg"}) {
			t.Errorf("arguments: got %q", got)
		}
		if _, err := os.Stat(filepath.Join(f.out, "pwned")); err == nil {
			t.Errorf("%q was run", objective)
		}
	}
}

func TestCommandGetsNothingElseOfTheEnvironment(t *testing.T) {
	t.Parallel()
	f := newFixture(t, self(t, "dump-env"))
	kept := []string{"HOME=/home/x", "LANG=C.UTF-8", "LC_ALL=C", "PATH=/usr/bin:/bin", "SHELL=/bin/sh", "TMPDIR=/tmp", "TZ=UTC", "USER=x"}
	f.cfg.Environ = slices.Concat(kept, []string{
		"REKINDLE_EXECUTION_TOKEN=secret", "REKINDLE_API_URL=secret", "PROJECT_COMMAND=secret",
		"AWS_SECRET_ACCESS_KEY=secret", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=secret", "ECS_CONTAINER_METADATA_URI_V4=secret",
		"PROJECT_ID=other", "TENANT_ID=other", "PATHS=x", "LD_PRELOAD=x", "=x", "HOMELESS",
	})
	f.run()
	env := readJSON(t, f.out, "env.json")
	want := slices.Concat(kept, []string{
		"EXECUTION_ID=61000000000001", "OUTPUT_DIR=" + f.out, "PROJECT_DESCRIPTION=A site", "PROJECT_ID=site",
		"PROJECT_NAME=Site", "PROJECT_OBJECTIVES=Home", "TENANT_ID=demo",
	})
	progress := slices.IndexFunc(env, func(v string) bool { return strings.HasPrefix(v, "PROGRESS_FILE=/") })
	if progress < 0 {
		t.Fatalf("no PROGRESS_FILE in %q", env)
	}
	path := strings.TrimPrefix(env[progress], "PROGRESS_FILE=")
	env = slices.Delete(env, progress, progress+1)
	slices.Sort(env)
	slices.Sort(want)
	if !slices.Equal(env, want) {
		t.Errorf("got %q, want %q", env, want)
	}
	if _, err := os.Stat(filepath.Dir(path)); err == nil {
		t.Errorf("%s was left behind", filepath.Dir(path))
	}
}

// Not parallel: it looks at what the whole process allocates.
func TestFloodOfOutputIsKeptAsATail(t *testing.T) {
	f := newFixture(t, `head -c 100000000 /dev/zero; echo the end; head -c 100000000 /dev/zero >&2; echo why >&2; exit 3`)
	f.cfg.Heartbeat = time.Minute
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := f.run()
	runtime.ReadMemStats(&after)
	if got.Error != "why" || got.ExitCode != 3 {
		t.Errorf("got %+v, want why", got)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("allocated %d bytes for 200 MB of output, want at most 16 MB", n)
	}
	for name, end := range map[string]string{"stdout.log": "\x00the end\n", "stderr.log": "\x00why\n"} {
		text, err := os.ReadFile(filepath.Join(f.cfg.LogDir, name))
		if err != nil || len(text) != runner.MaxTail || !strings.HasSuffix(string(text), end) {
			t.Errorf("%s: got %d bytes, %v; want the last %d", name, len(text), err, runner.MaxTail)
		}
	}
}

func TestBinaryOutputBreaksNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `head -c 300000 /dev/urandom; head -c 300000 /dev/urandom >&2; exit 9`)
	got := f.run()
	if got.ExitCode != 9 || got.Error == "" || len(got.Error) > project.MaxError || !utf8.ValidString(got.Error) {
		t.Errorf("got %d bytes of error with code %d, want clipped text with code 9", len(got.Error), got.ExitCode)
	}
	for _, name := range []string{"stdout.log", "stderr.log"} {
		if text, err := os.ReadFile(filepath.Join(f.cfg.LogDir, name)); err != nil || len(text) != runner.MaxTail {
			t.Errorf("%s: got %d bytes, %v; want %d", name, len(text), err, runner.MaxTail)
		}
	}
}

func TestOutputIsSeenWhileTheCommandRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `echo hello; echo "1 up" >> "$PROGRESS_FILE"; read x < go; echo bye`)
	goOn := f.fifo("go")
	exit := f.start()
	path := filepath.Join(f.cfg.LogDir, "stdout.log")
	within(t, "the log", func() bool {
		for {
			f.api.awaitBeats(1)
			if text, _ := os.ReadFile(path); string(text) == "hello\n" {
				return true
			}
		}
	})
	within(t, "the command's reading", func() error { return os.WriteFile(goOn, []byte("\n"), 0) })
	f.wants(exit, runner.ExitDone)
	if text, err := os.ReadFile(path); string(text) != "hello\nbye\n" {
		t.Errorf("got %q, %v; want all of it", text, err)
	}
	files, err := os.ReadDir(f.cfg.LogDir)
	if err != nil || len(files) != 2 {
		t.Errorf("got files %v, %v; want stdout.log and stderr.log alone", files, err)
	}
}

func TestLogsThatCantBeWrittenStopNothing(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"", "/dev/null/logs"} {
		f := newFixture(t, "echo hello")
		f.cfg.LogDir = dir
		if got := f.run(); got.Outcome != project.OutcomeCompleted {
			t.Errorf("%q: got %+v, want completed", dir, got)
		}
	}
}

// holdsOpen returns a channel that is closed when no process holds the fifo
// open for writing any more.
func holdsOpen(t *testing.T, fifo string) <-chan struct{} {
	t.Helper()
	gone := make(chan struct{})
	opened := make(chan error, 1)
	go func() {
		f, err := os.Open(fifo) // waits for the first writer
		opened <- err
		if err == nil {
			io.Copy(io.Discard, f)
			f.Close()
		}
		close(gone)
	}()
	if err := within(t, "a process that opens "+filepath.Base(fifo), func() error { return <-opened }); err != nil {
		t.Fatal(err)
	}
	return gone
}

func TestGrandchildrenDieWithTheCommand(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `(trap '' TERM HUP; read x < never) 3> alive & read x < go`)
	alive, goOn := f.fifo("alive"), f.fifo("go")
	f.fifo("never")
	f.cfg.PipeGrace = time.Hour // they hold the output open too
	exit := f.start()
	gone := holdsOpen(t, alive)
	within(t, "the command's reading", func() error { return os.WriteFile(goOn, []byte("\n"), 0) })
	f.wants(exit, runner.ExitDone)
	within(t, "the grandchild's end", func() struct{} { return <-gone })
	if got := f.result(); got.Outcome != project.OutcomeCompleted {
		t.Errorf("got %+v, want completed", got)
	}
}

func TestProcessThatLeftTheGroupDelaysNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, self(t, "leave-group"))
	leave := f.fifo("leave")
	got := f.run()
	within(t, "the grandchild's reading", func() error { return os.WriteFile(leave, []byte("\n"), 0) })
	if got.Outcome != project.OutcomeCompleted {
		t.Errorf("got %+v, want completed", got)
	}
	if text, err := os.ReadFile(filepath.Join(f.cfg.LogDir, "stdout.log")); string(text) != "left\n" {
		t.Errorf("stdout: got %q, %v", text, err)
	}
}

func TestCommandDiesWithTheRunner(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child of its parent's death")
	}
	t.Parallel()
	f := newFixture(t, `exec 3> alive; exec cat never`)
	f.forProgram()
	alive := f.fifo("alive")
	f.fifo("never")
	cmd := f.program(f.log)
	gone := holdsOpen(t, alive)
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, "the command's end", func() struct{} { return <-gone })
}

func TestProgressFileThatIsTamperedWithStopsNothing(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]string{
		"removed":    `rm "$PROGRESS_FILE"`,
		"a pipe":     `rm "$PROGRESS_FILE"; mkfifo "$PROGRESS_FILE"`,
		"a link":     `ln -sf /etc/passwd "$PROGRESS_FILE"`,
		"a folder":   `rm "$PROGRESS_FILE"; mkdir "$PROGRESS_FILE"`,
		"unreadable": `chmod 0 "$PROGRESS_FILE"`,
		"huge":       `head -c 300000000 /dev/zero >> "$PROGRESS_FILE"`,
		"no folder":  `rm -r "$(dirname "$PROGRESS_FILE")"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, command+`; echo up > up; read x < go`)
			up, goOn := f.fifo("up"), f.fifo("go")
			exit := f.start()
			within(t, "the command", func() error { _, err := os.ReadFile(up); return err })
			f.api.awaitBeats(2)
			within(t, "the command's reading", func() error { return os.WriteFile(goOn, []byte("\n"), 0) })
			f.wants(exit, runner.ExitDone)
			if got := f.result(); got.Outcome != project.OutcomeCompleted {
				t.Errorf("got %+v, want completed", got)
			}
		})
	}
}
