package api

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/telemetry"
	"rekindle/internal/token"
)

// WorkerStore is what the runner's calls need of the store. The methods are
// documented at dynamo.Store.
type WorkerStore interface {
	Claim(ctx context.Context, ref project.Ref, claim project.Claim, now time.Time) (*project.Project, error)
	Heartbeat(ctx context.Context, ref project.Ref, runnerID string, progress *project.Progress, now time.Time) (*project.Project, error)
	Settle(ctx context.Context, s project.Settlement) (*project.Project, error)
	KeepLate(ctx context.Context, ref project.Ref, runnerID string, late project.Late) error
	Get(ctx context.Context, key project.Key) (*project.Project, error)
}

// WorkerConfig is what the worker function is told.
type WorkerConfig struct {
	Keys      *token.Keyring
	Timeout   time.Duration // the limit of an execution
	Heartbeat time.Duration // how often a runner sends one, in whole seconds
	Uploads   Uploads       // where outputs go; nil where they are folders of this machine
	Limit     int64         // bytes that an output may have
}

// NewWorker makes the handler of the runner's calls: claim, heartbeat, the three
// of an upload, and result. A claim takes the execution token that the engine's
// job was started with; the others the report token that the claim's answer
// brought.
func NewWorker(store WorkerStore, cfg WorkerConfig, o Options) *Handler {
	o = o.withDefaults()
	w := &worker{store: store, cfg: cfg, now: o.Now, log: o.Log}
	const path = "POST /api/worker/executions/{execution_id}/"
	return newHandler(o, map[string]route{
		path + "claim":     w.route(token.Execution, w.claim),
		path + "heartbeat": w.route(token.Report, w.heartbeat),
		path + "result":    w.route(token.Report, w.result),

		path + "upload":          w.route(token.Report, w.upload),
		path + "upload/part":     w.route(token.Report, w.uploadPart),
		path + "upload/complete": w.route(token.Report, w.uploadComplete),
	})
}

type worker struct {
	store WorkerStore
	cfg   WorkerConfig
	now   func() time.Time
	log   *slog.Logger
}

// route wraps a worker call: it runs only with a token that was made for this
// purpose and speaks for the execution in the path.
func (w *worker) route(purpose token.Purpose, handle func(context.Context, *request, token.Claims) (any, error)) route {
	return func(ctx context.Context, req *request) (any, error) {
		bearer, ok := strings.CutPrefix(req.header("authorization"), "Bearer ")
		if !ok {
			return nil, project.Refuse(project.CodeTokenInvalid, nil)
		}
		claims, err := w.cfg.Keys.Verify(purpose, bearer)
		if err != nil {
			return nil, project.Refuse(project.CodeTokenInvalid, nil)
		}
		id, err := strconv.ParseInt(req.event.PathParameters["execution_id"], 10, 64)
		if err != nil || id <= 0 {
			return nil, project.Refuse(project.CodeExecutionIDWrong, nil)
		}
		if id != claims.ExecutionID {
			return nil, project.Refuse(project.CodeTokenInvalid, nil)
		}
		req.tenantID, req.projectID, req.executionID = claims.TenantID, claims.ProjectID, id
		return handle(ctx, req, claims)
	}
}

func (w *worker) claim(ctx context.Context, req *request, t token.Claims) (any, error) {
	var in project.Claim
	if err := req.decode(&in, false); err != nil {
		return nil, err
	}
	if !isPrintable(in.RunnerID, 100) || !isPrintable(in.JobID, 200) {
		return nil, invalidBody("runner_id and job_id are 1 to 100 and 1 to 200 printable ASCII characters")
	}
	ref, now := t.Ref(), w.now()
	p, err := w.store.Claim(ctx, ref, in, now)
	if err != nil {
		return nil, err
	}
	// A claim that is made again finds the time of the first.
	if p.ClaimedAt.Equal(now.Truncate(time.Millisecond)) {
		req.metrics.Set(telemetry.WaitToClaim, p.ClaimedAt.Sub(p.StartedAt).Seconds())
	}
	return &project.Grant{
		ExecutionID: p.ExecutionID, Attempt: p.Attempt, TenantID: p.TenantID, ProjectID: p.ProjectID,
		Name: p.Name, Description: p.Description, Objectives: p.Objectives, OutputFolder: p.Output,
		ReportToken:      w.cfg.Keys.Mint(token.Report, ref, in.RunnerID),
		TimesOutAt:       p.TimesOutAt(w.cfg.Timeout),
		HeartbeatSeconds: int(w.cfg.Heartbeat / time.Second),
	}, nil
}

func (w *worker) heartbeat(ctx context.Context, req *request, t token.Claims) (any, error) {
	var in project.Heartbeat
	if err := req.decode(&in, true); err != nil {
		return nil, err
	}
	if l := in.Logs; l != nil && (min(l.Stdout, l.Stderr) < 0 || max(l.Stdout, l.Stderr) > project.MaxLog) {
		return nil, invalidBody(fmt.Sprintf("logs.stdout and logs.stderr are 0 to %d bytes", project.MaxLog))
	}
	p, err := w.store.Heartbeat(ctx, t.Ref(), t.RunnerID, in.Progress, w.now())
	if err != nil {
		return nil, err
	}
	pulse := project.Pulse{TimesOutAt: p.TimesOutAt(w.cfg.Timeout)}
	if in.Logs != nil && w.cfg.Uploads != nil {
		if pulse.Logs, err = w.cfg.Uploads.SignLogs(ctx, t.Ref(), *in.Logs); err != nil {
			return nil, err
		}
	}
	return pulse, nil
}

// eventOf is the event that a reported outcome is.
var eventOf = map[project.Outcome]project.Event{
	project.OutcomeCompleted: project.Succeed,
	project.OutcomeFailed:    project.Fail,
	project.OutcomeTimedOut:  project.TimeOut,
}

// countEnd counts an execution that its runner has ended.
func countEnd(req *request, outcome project.Outcome) {
	switch outcome {
	case project.OutcomeCompleted:
		req.metrics.Count(telemetry.Completed)
	case project.OutcomeTimedOut:
		req.metrics.CountOf(telemetry.Failed, telemetry.TimedOut)
	default:
		req.metrics.CountOf(telemetry.Failed, telemetry.Reported)
	}
}

// result ends the execution with what the runner reports. The same runner's
// report again is answered like the first: a runner reports one result, so its
// id serves as the request token. A report on an attempt that has ended
// otherwise is kept as late, and refused.
func (w *worker) result(ctx context.Context, req *request, t token.Claims) (any, error) {
	var in project.Result
	if err := req.decode(&in, false); err != nil {
		return nil, err
	}
	event, ok := eventOf[in.Outcome]
	if !ok {
		return nil, invalidBody("outcome is completed, failed or timed_out")
	}
	message := ""
	if event != project.Succeed {
		if message = project.ClipError(in.Error); message == "" {
			message = "The command exited with code " + strconv.Itoa(in.ExitCode)
		}
	}
	now := w.now()
	settlement := project.Settlement{
		Ref: t.Ref(), Event: event, Error: message, At: now, Token: "runner:" + t.RunnerID, Runner: t.RunnerID,
	}
	p, err := w.store.Settle(ctx, settlement)
	if project.CodeOf(err) == project.CodeAttemptClosed {
		late := project.Late{Outcome: in.Outcome, Error: message, ReceivedAt: now}
		if lateErr := w.store.KeepLate(ctx, t.Ref(), t.RunnerID, late); lateErr != nil {
			return nil, lateErr
		}
		if p != nil && p.Attempts[t.ExecutionID].Late == nil {
			req.metrics.Count(telemetry.LateResults)
		}
		w.log.WarnContext(ctx, "late result", "tenant_id", t.TenantID, "project_id", t.ProjectID,
			"execution_id", t.ExecutionID, "outcome", in.Outcome)
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if settlement.WroteBy(p) {
		countEnd(req, in.Outcome)
	}
	w.log.InfoContext(ctx, "execution ended", "tenant_id", t.TenantID, "project_id", t.ProjectID,
		"execution_id", t.ExecutionID, "outcome", in.Outcome, "exit_code", in.ExitCode)
	status := p.Attempts[t.ExecutionID].Outcome
	if status == project.OutcomeCompleted {
		return project.Receipt{Status: project.Completed}, nil
	}
	return project.Receipt{Status: project.Failed}, nil
}
