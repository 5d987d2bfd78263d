package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/token"
)

// LocalConfig says what [Local] runs and where. All but Environ, OnEnd and Log
// are needed.
type LocalConfig struct {
	Runner  string         // path of the runner's binary
	DataDir string         // holds bin (first in the PATH of runners), jobs and logs
	APIURL  string         // where runners make their calls
	Command string         // what a runner runs: PROJECT_COMMAND
	Keys    *token.Keyring // makes the execution tokens

	// Environ is where the few variables come from that runners get
	// ("NAME=value"); nil means this process's own.
	Environ []string
	// OnEnd is told of each job's end, once its last process is gone. An
	// error means that it is to be told again; that goes on, across restarts
	// of this process, until it returns nil. It is called from several
	// goroutines. Nil means that nobody asks.
	OnEnd func(ctx context.Context, end JobEnd) error
	// Log defaults to slog's default.
	Log *slog.Logger
}

// Local launches executions as child processes on this machine. Each runner
// leads a session of its own, so it outlives this process; a record of each,
// in the data folder, lets the next one take over ([Local.Adopt]). One Local
// at a time may use a data folder.
type Local struct {
	cfg LocalConfig
	log *slog.Logger

	ctx      context.Context // of the deliveries; done when closed
	cancel   context.CancelFunc
	watchers sync.WaitGroup // what Close waits for

	mu       sync.Mutex
	jobs     map[string]*job
	stopping bool // nothing is launched any more
	closed   bool

	// The pace of looking at adopted processes, and of telling an end again.
	look, retryFirst, retryMost time.Duration
}

// job is a runner and what is known of it. Guarded by Local.mu, but for
// settled.
type job struct {
	record
	own     *os.Process // nil unless this process started it
	over    bool        // its last process is gone
	stop    bool        // to be stopped once it has started
	settled chan struct{}
}

const (
	lookEvery  = time.Second
	retryFirst = 200 * time.Millisecond
	retryMost  = 15 * time.Second
	// killWithin is how long killed processes may take to be gone.
	killWithin = 2 * time.Second
)

// NewLocal makes a launcher and its folders. The runner need not be there yet.
func NewLocal(cfg LocalConfig) (*Local, error) {
	switch {
	case cfg.Runner == "" || cfg.DataDir == "" || cfg.APIURL == "" || cfg.Command == "":
		return nil, errors.New("the local launcher needs a runner, a data folder, the API's URL and a command")
	case cfg.Keys == nil:
		return nil, errors.New("the local launcher needs the keyring of the execution tokens")
	}
	if cfg.Environ == nil {
		cfg.Environ = os.Environ()
	}
	if cfg.OnEnd == nil {
		cfg.OnEnd = func(context.Context, JobEnd) error { return nil }
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	var err error
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return nil, fmt.Errorf("the local launcher's data folder: %w", err)
	}
	if cfg.Runner, err = filepath.Abs(cfg.Runner); err != nil {
		return nil, fmt.Errorf("the path of the runner: %w", err)
	}
	l := &Local{
		cfg: cfg, log: cfg.Log, jobs: map[string]*job{},
		look: lookEvery, retryFirst: retryFirst, retryMost: retryMost,
	}
	if err := os.MkdirAll(l.recordsDir(), 0o700); err != nil {
		return nil, fmt.Errorf("the folder of the job records: %w", err)
	}
	if err := l.removePartial(); err != nil {
		return nil, fmt.Errorf("the folder of the job records: %w", err)
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l, nil
}

// Launch starts a runner for the execution, and returns the id of its job. It
// returns as soon as the process is there; ctx does not bound the process.
func (l *Local) Launch(ctx context.Context, ref project.Ref) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("launching a runner: %w", err)
	}
	logDir, err := l.logDir(ref)
	if err != nil {
		return "", err
	}
	j := &job{record: newRecord(project.NewToken(), ref), settled: make(chan struct{})}

	// Known before it is there, so that a look-up in between counts it.
	l.mu.Lock()
	if l.stopping || l.closed {
		l.mu.Unlock()
		return "", errors.New("launching a runner: this stack is stopping")
	}
	l.jobs[j.JobID] = j
	l.mu.Unlock()

	if err := l.start(j, logDir); err != nil {
		l.forget(j)
		return "", fmt.Errorf("launching a runner: %w", err)
	}
	return j.JobID, nil
}

// start starts the job's process. The record is there before the process is,
// so that none is lost to a crash in between.
func (l *Local) start(j *job, logDir string) error {
	if err := l.write(j.record); err != nil {
		return err
	}
	if err := os.MkdirAll(logDir, 0o700); err != nil {
		return fmt.Errorf("the folder of the logs: %w", err)
	}
	// A file, not a pipe: the runner writes on when this process is gone.
	out, err := os.OpenFile(filepath.Join(logDir, "runner.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("the runner's log: %w", err)
	}
	defer out.Close()

	// It takes no arguments. This one is for whoever has to find it without
	// knowing its number: see Adopt.
	cmd := exec.Command(l.cfg.Runner, j.JobID)
	cmd.Env = l.environment(j, logDir)
	cmd.Dir = logDir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	birth, _ := inspect(cmd.Process.Pid)

	l.mu.Lock()
	j.PID, j.Birth, j.own = cmd.Process.Pid, birth, cmd.Process
	kept, stop := j.record, j.stop
	l.mu.Unlock()
	if err := l.write(kept); err != nil {
		// The first record is still there: should this process die, the next
		// one judges the job without knowing its process.
		l.jobLog(j).Error("the record of a job is incomplete", "error", err)
	}
	if stop {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	go l.await(j, cmd)
	return nil
}

// await takes the end of a job that this process started.
func (l *Local) await(j *job, cmd *exec.Cmd) {
	left, err := reap(cmd)
	left += l.buryStrays(j)
	if !l.enter() {
		return // closed: the next process finds the record
	}
	defer l.watchers.Done()
	l.jobLog(j).Info("job ended", "state", cmd.ProcessState.String(), "killed_leftovers", left)
	l.end(j, endOf(j, cmd.ProcessState, err))
	l.deliver(j)
}

// buryStrays kills what the command of a job has started in a session of its
// own, unless another job of its execution is alive, whose command it may be.
func (l *Local) buryStrays(j *job) int {
	others := slices.DeleteFunc(l.alive(j.Ref()), func(id string) bool { return id == j.JobID })
	if len(others) > 0 {
		return 0
	}
	return killStrays(j.Ref(), killWithin)
}

// exitNotStarted and exitConfig are exit codes of internal/runner.
const (
	exitNotStarted = 75
	exitConfig     = 78
)

// endOf judges how a job's process ended.
func endOf(j *job, state *os.ProcessState, err error) JobEnd {
	end := JobEnd{Ref: j.Ref(), JobID: j.JobID}
	if state == nil {
		end.Reason = fmt.Sprintf("The runner's end could not be seen: %v", err)
		return end
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	switch code := state.ExitCode(); {
	case state.Success():
		end.Succeeded = true
	case ok && status.Signaled():
		end.Reason = fmt.Sprintf("The runner was killed by signal %d without reporting a result", status.Signal())
	case code == exitNotStarted:
		end.Reason = "The runner ended before it started the command"
	case code == exitConfig:
		end.Reason = "The runner's settings are wrong, and it started nothing"
	default:
		end.Reason = fmt.Sprintf("The runner exited with code %d without reporting a result", code)
	}
	return end
}

// Lookup returns the ids of the execution's jobs that have not ended.
func (l *Local) Lookup(_ context.Context, ref project.Ref) ([]string, error) {
	return l.alive(ref), nil
}

func (l *Local) alive(ref project.Ref) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for id, j := range l.jobs {
		if j.Ref() == ref && !j.over {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Stop asks a job, or every job of the execution if jobID is empty, to end: its
// runner stops the command. It does not wait for that. A job that is unknown or
// has ended is left alone.
func (l *Local) Stop(_ context.Context, ref project.Ref, jobID, reason string) error {
	l.mu.Lock()
	var chosen []*job
	for id, j := range l.jobs {
		if j.Ref() == ref && (jobID == "" || id == jobID) {
			chosen = append(chosen, j)
		}
	}
	l.mu.Unlock()
	var failures []error
	for _, j := range chosen {
		l.jobLog(j).Info("stopping a job", "reason", reason)
		failures = append(failures, l.signal(j, syscall.SIGTERM))
	}
	return errors.Join(failures...)
}

// signal sends the job's runner a signal, unless it is gone.
func (l *Local) signal(j *job, s syscall.Signal) error {
	l.mu.Lock()
	own, pid, birth, over := j.own, j.PID, j.Birth, j.over
	if pid == 0 {
		j.stop = true // it is starting this moment
	}
	l.mu.Unlock()
	if over || pid == 0 {
		return nil
	}
	p := own
	if p == nil {
		// The handle first, then the check: on Linux it is the process's, not
		// its number's.
		var err error
		if p, err = os.FindProcess(pid); err != nil {
			return nil
		}
		defer func() { _ = p.Release() }()
		if !lives(pid, birth) {
			return nil
		}
	}
	if err := p.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping job %s: %w", j.JobID, err)
	}
	return nil
}

// StopAll launches nothing more, stops every job, and waits until each is over
// and its end is told. When ctx is done first, the rest is killed. After Close
// it does nothing.
func (l *Local) StopAll(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.stopping = true
	jobs := make([]*job, 0, len(l.jobs))
	for _, j := range l.jobs {
		jobs = append(jobs, j)
	}
	l.mu.Unlock()

	var failures []error
	for _, j := range jobs {
		failures = append(failures, l.signal(j, syscall.SIGTERM))
	}
	left := unsettled(ctx, jobs)
	for _, j := range left {
		failures = append(failures, l.signal(j, syscall.SIGKILL))
	}
	killed, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*killWithin)
	defer cancel()
	for _, j := range unsettled(killed, left) {
		failures = append(failures, fmt.Errorf("job %s was killed, and its end could not be told", j.JobID))
	}
	return errors.Join(failures...)
}

// unsettled waits for jobs and returns those that are left when ctx is done.
func unsettled(ctx context.Context, jobs []*job) (left []*job) {
	for _, j := range jobs {
		select {
		case <-j.settled:
			continue
		case <-ctx.Done():
		}
		select {
		case <-j.settled:
		default:
			left = append(left, j)
		}
	}
	return left
}

// Close ends the watching. Runners go on; their ends are taken by the Local
// that adopts them. It waits for the calls of OnEnd, whose context it ends.
func (l *Local) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.watchers.Wait()
	return nil
}

// enter says whether a watcher may begin, and counts it.
func (l *Local) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.watchers.Add(1)
	return true
}

// end marks the job as over. How it ended is kept first, so that the same is
// told whoever tells it.
func (l *Local) end(j *job, end JobEnd) {
	l.mu.Lock()
	j.over = true
	j.End = &ending{Succeeded: end.Succeeded, Reason: end.Reason}
	kept := j.record
	l.mu.Unlock()
	if err := l.write(kept); err != nil {
		l.jobLog(j).Error("the end of a job is not kept", "error", err)
	}
}

// deliver tells of the job's end until it is heard.
func (l *Local) deliver(j *job) {
	pause := l.retryFirst
	for {
		err := l.tell(l.ctx, j)
		if err == nil {
			return
		}
		l.jobLog(j).Warn("the end of a job is told again in a while", "error", err, "pause", pause.String())
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.ctx.Done():
			timer.Stop()
			return
		}
		pause = min(2*pause, l.retryMost)
	}
}

// tell tells of the job's end once, and forgets the job if it is heard.
func (l *Local) tell(ctx context.Context, j *job) error {
	l.mu.Lock()
	end := JobEnd{Ref: j.Ref(), JobID: j.JobID, Succeeded: j.End.Succeeded, Reason: j.End.Reason}
	l.mu.Unlock()
	if err := l.cfg.OnEnd(ctx, end); err != nil {
		return err
	}
	l.forget(j)
	return nil
}

// forget removes every trace of a job.
func (l *Local) forget(j *job) {
	if err := os.Remove(l.recordPath(j.JobID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.jobLog(j).Error("the record of a job stays", "error", err)
	}
	l.mu.Lock()
	delete(l.jobs, j.JobID)
	l.mu.Unlock()
	close(j.settled)
}

// passed are the variables that a runner gets from this process, beside LC_*.
// Everything else stays behind: it may be a developer's secret.
var passed = []string{"HOME", "USER", "SHELL", "LANG", "TZ", "TMPDIR"}

// environment returns the runner's whole environment.
func (l *Local) environment(j *job, logDir string) []string {
	path := filepath.Join(l.cfg.DataDir, "bin")
	var env []string
	for _, v := range l.cfg.Environ {
		name, value, _ := strings.Cut(v, "=")
		switch {
		case name == "PATH" && value != "":
			path += string(os.PathListSeparator) + value
		case slices.Contains(passed, name) || strings.HasPrefix(name, "LC_"):
			env = append(env, v)
		}
	}
	return append(env,
		"PATH="+path,
		"REKINDLE_API_URL="+l.cfg.APIURL,
		"REKINDLE_EXECUTION_TOKEN="+l.cfg.Keys.Mint(token.Execution, j.Ref(), ""),
		"REKINDLE_JOB_ID="+j.JobID,
		"REKINDLE_LOG_DIR="+logDir,
		"PROJECT_COMMAND="+l.cfg.Command,
	)
}

// logDir returns the folder of an execution's logs. It refuses ids that would
// lead out of the data folder.
func (l *Local) logDir(ref project.Ref) (string, error) {
	for _, part := range []string{ref.TenantID, ref.ProjectUID} {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\\\x00") {
			return "", fmt.Errorf("launching a runner: the id %q can't name a folder", part)
		}
	}
	return filepath.Join(l.cfg.DataDir, "logs", ref.TenantID, ref.ProjectUID, strconv.FormatInt(ref.ExecutionID, 10)), nil
}

func (l *Local) jobLog(j *job) *slog.Logger {
	return l.log.With("tenant_id", j.TenantID, "project_id", j.ProjectID, "execution_id", j.ExecutionID, "job_id", j.JobID)
}
