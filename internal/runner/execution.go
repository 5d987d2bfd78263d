package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rekindle/internal/project"
)

// execution is the work that a grant allows.
type execution struct {
	*Runner
	grant    project.Grant
	limit    time.Time // as the API last said
	progress *progressFile
	sent     project.Progress // as a heartbeat last said
	logs     []*logFile
	silent   bool // the last heartbeat did not arrive

	dir     string   // OUTPUT_DIR
	around  *os.Root // the folder that OUTPUT_DIR is in, where that is to be uploaded; nil where not
	store   *store   // nil where nothing is uploaded
	streams []*stream
	unseen  bool            // the last log did not arrive
	stopped <-chan struct{} // closed when the engine wants the runner to stop
}

// perform runs the command to its end, stores its output and says how that went.
// A command that can't be started has failed.
func (e *execution) perform(ctx context.Context) (project.Result, ending) {
	if ctx.Err() != nil {
		return stoppedByEngine(0, beforeCommand), engineStopped
	}
	if why := e.prepare(); why != "" {
		e.log.Warn("the command was not started", "error", why)
		return project.Result{Outcome: project.OutcomeFailed, ExitCode: codeNotExecutable, Error: project.ClipError(why)}, endedItself
	}
	argv := commandLine(e.cfg.Command)
	env := commandEnv(e.cfg.Environ, e.grant, e.dir, e.progress.path())
	kills := oomKills(e.cfg.CgroupDir)
	p, err := startProcess(argv, e.dir, env, e.cfg.PipeGrace)
	if err != nil {
		e.progress.remove()
		e.log.Warn("the command was not started", "error", err)
		return startFailure(argv, err), endedItself
	}
	e.log.Info("started", "pid", p.pid)
	e.openLogs(p)

	e.stopped = ctx.Done()
	cause := e.supervise(ctx, p)
	e.flush()
	e.progress.latest() // the file goes, what it said stays
	e.progress.remove()
	result := p.result(oomKills(e.cfg.CgroupDir) > kills)
	e.log.Info("ended", "cause", cause.String(), "exit_code", result.ExitCode)
	switch cause {
	case attemptClosed:
		return result, cause
	case limitReached:
		result = timedOut(e.limit, result.ExitCode, beforeCommand)
	case engineStopped:
		return stoppedByEngine(result.ExitCode, beforeCommand), cause
	}
	e.tell(ctx, result)
	if result.Outcome == project.OutcomeCompleted && e.store != nil {
		return e.storeOutput(ctx)
	}
	return result, cause
}

// prepare makes what the command needs. Where it can't, it says why, in a
// sentence for tenants.
func (e *execution) prepare() (why string) {
	if strings.TrimSpace(e.cfg.Command) == "" {
		return "No command is configured: " + SettingCommand + " is empty"
	}
	if why := e.makeFolder(); why != "" {
		return why
	}
	progress, err := newProgressFile()
	if err != nil {
		return fmt.Sprintf("The execution could not be prepared: %v", err)
	}
	e.progress = progress
	return ""
}

// makeFolder makes the command's folder: the output folder itself, or one whose
// content is uploaded in the end.
func (e *execution) makeFolder() (why string) {
	output := e.grant.OutputFolder
	var err error
	switch {
	case filepath.IsAbs(output):
		e.dir = output
		err = os.MkdirAll(output, 0o755)
	case strings.HasPrefix(output, "s3://"):
		if e.cfg.WorkDir != "" {
			err = os.MkdirAll(e.cfg.WorkDir, 0o755)
		}
		if err == nil {
			e.dir, err = os.MkdirTemp(e.cfg.WorkDir, "rekindle-output-")
		}
		if err == nil {
			// Held from here on: the command could make the path lead elsewhere.
			e.around, err = os.OpenRoot(filepath.Dir(e.dir))
		}
		e.store = newStore(e.cfg)
	default:
		return fmt.Sprintf("Output to %q is not supported by this runner", output)
	}
	if err != nil {
		return fmt.Sprintf("The output folder could not be made: %v", err)
	}
	return ""
}

// clean removes the folder whose content was uploaded.
func (e *execution) clean() {
	if e.around == nil {
		return
	}
	defer e.around.Close()
	if err := e.around.RemoveAll(filepath.Base(e.dir)); err != nil {
		e.log.Warn("the working folder could not be removed", "error", err)
	}
}

// openLogs arranges for the command's output to be seen. Where that fails the
// work goes on all the same.
func (e *execution) openLogs(p *process) {
	if e.store != nil {
		e.streams = []*stream{{name: "stdout", tail: &p.stdout}, {name: "stderr", tail: &p.stderr}}
	}
	dir := e.cfg.LogDir
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		e.log.Warn("the log folder could not be made", "error", err)
		return
	}
	e.logs = []*logFile{newLogFile(dir, "stdout.log", &p.stdout), newLogFile(dir, "stderr.log", &p.stderr)}
}

func (e *execution) flush() {
	for _, l := range e.logs {
		if err := l.flush(); err != nil {
			e.log.Warn("the command's output could not be shown", "error", err)
		}
	}
}
