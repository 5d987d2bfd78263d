package runner

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/token"
)

// The runner's exit codes. They tell the engine how the runner fared, not the
// command: its end goes to the API.
const (
	// ExitDone: the result is with the API, or the attempt was closed and
	// nobody asks for one.
	ExitDone = 0
	// ExitUnreported: the command ran and its result could not be handed in.
	ExitUnreported = 1
	// ExitNotStarted: the execution was not granted to this runner, and
	// nothing was started (EX_TEMPFAIL of sysexits).
	ExitNotStarted = 75
	// ExitConfig: the settings are wrong, and nothing was started (EX_CONFIG).
	ExitConfig = 78
)

// Runner supervises one execution, once.
type Runner struct {
	cfg   Config
	id    string
	token token.Claims
	api   *client
	log   *slog.Logger
}

// New returns a runner under a new random id. It refuses a configuration whose
// address or token can't be right, or that has a negative duration.
func New(cfg Config) (*Runner, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	claims, err := token.Peek(cfg.ExecutionToken)
	if err != nil {
		return nil, err
	}
	cfg.Logger = cfg.Logger.With("execution_id", claims.ExecutionID,
		"tenant_id", claims.TenantID, "project_id", claims.ProjectID)
	return &Runner{
		cfg: cfg, id: project.NewToken(), token: claims,
		api: newClient(cfg, claims.ExecutionID), log: cfg.Logger,
	}, nil
}

// Run claims the execution, runs its command and reports the result, and
// returns one of the Exit codes. When ctx is done the engine wants the runner
// to stop: the command is stopped and a failure reported, all within
// [Config.StopWithin].
func (r *Runner) Run(ctx context.Context) int {
	grant, err := r.claim(ctx)
	if err != nil {
		r.log.Error("not claimed, nothing was started", "status", refused(err), "error", err)
		return ExitNotStarted
	}
	r.log.Info("claimed", "attempt", grant.Attempt, "job_id", r.cfg.JobID, "times_out_at", grant.TimesOutAt)

	// Once stopped, what is left to say has to be said in time.
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(r.cfg.StopWithin, cancel) })()

	e := &execution{Runner: r, grant: grant, limit: grant.TimesOutAt}
	defer e.clean()
	result, cause := e.perform(ctx)
	if cause == attemptClosed {
		r.log.Info("the attempt was closed, the work is stopped and nothing reported")
		return ExitDone
	}
	return e.report(last, result)
}

// claim asks for the execution until it is granted or refused. Asking again
// after a lost answer is granted again, for it is the same runner.
func (r *Runner) claim(ctx context.Context) (project.Grant, error) {
	until, stop := r.cfg.Clock.At(r.cfg.Clock.Now().Add(r.cfg.ClaimWithin))
	defer stop()
	var grant project.Grant
	err := r.api.retry(ctx, until, func() error {
		grant = project.Grant{}
		err := r.api.post(ctx, "claim", r.cfg.ExecutionToken, project.Claim{RunnerID: r.id, JobID: r.cfg.JobID}, &grant)
		if err == nil && (grant.ExecutionID != r.token.ExecutionID || grant.ReportToken == "" || grant.TimesOutAt.IsZero()) {
			return errors.New("the answer to claim is not a grant of this execution")
		}
		return err
	})
	return grant, err
}

// report hands in the result until it is accepted or refused, or its time is
// over.
func (e *execution) report(ctx context.Context, result project.Result) int {
	until, stop := e.cfg.Clock.At(e.limit.Add(e.cfg.ReportWithin))
	defer stop()
	var receipt project.Receipt
	err := e.api.retry(ctx, until, func() error {
		return e.api.post(ctx, "result", e.grant.ReportToken, result, &receipt)
	})
	switch {
	case err == nil:
		e.log.Info("reported", "outcome", result.Outcome, "exit_code", result.ExitCode, "project_status", receipt.Status)
		return ExitDone
	case refused(err) == http.StatusConflict:
		e.log.Warn("the attempt was closed before its result came", "outcome", result.Outcome, "error", err)
		return ExitDone
	default:
		e.log.Error("the result could not be reported", "outcome", result.Outcome, "error", err)
		return ExitUnreported
	}
}

// What an end can come before.
const (
	beforeCommand = "before the command had finished"
	beforeStored  = "before its output was stored"
)

func stoppedByEngine(code int, before string) project.Result {
	return project.Result{
		Outcome: project.OutcomeFailed, ExitCode: code,
		Error: "The execution was stopped by the engine " + before,
	}
}

func timedOut(limit time.Time, code int, before string) project.Result {
	at := limit.UTC().Format(time.RFC3339)
	text := "Execution timed out: the command was stopped at its limit, " + at
	if before == beforeStored {
		text = "Execution timed out " + before + ": its limit was " + at
	}
	return project.Result{Outcome: project.OutcomeTimedOut, ExitCode: code, Error: text}
}
