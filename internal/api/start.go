package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/telemetry"
)

// maxRaces is how often a start that lost a race looks again. One is enough
// unless trialing tenants start several projects at once.
const maxRaces = 8

// StartStore is what run and restart need of the store.
type StartStore interface {
	SessionStore
	// TakeTrialSlot, Start and Settle are documented at dynamo.Store. Start and
	// TakeTrialSlot answer a lost race with [project.CodeContended].
	TakeTrialSlot(ctx context.Context, tenant *project.Tenant, start project.Start) (*project.Project, error)
	Start(ctx context.Context, start project.Start) (*project.Project, error)
	Settle(ctx context.Context, s project.Settlement) (*project.Project, error)
}

// Launcher starts the work of an execution.
type Launcher interface {
	// Launch submits a job for the execution and returns the engine's name for
	// it. A second job for one execution does no harm: it can't claim. An
	// error that is a [project.Error] with [project.CodeLaunchRefused] has a
	// reason that the tenant may read.
	Launch(ctx context.Context, ref project.Ref) (jobID string, err error)
	// Lookup returns the jobs of the execution that have not ended.
	Lookup(ctx context.Context, ref project.Ref) (jobIDs []string, err error)
}

// Started is the answer to run and restart.
type Started struct {
	Success     bool           `json:"success"`
	Message     string         `json:"message"`
	ExecutionID int64          `json:"execution_id"`
	Status      project.Status `json:"status"`
	Output      string         `json:"output_folder_path"`
}

var startedMessage = map[project.Event]string{
	project.Run:     "Project execution started successfully",
	project.Restart: "Project execution restarted successfully",
}

// startedMetric counts what an operation started.
var startedMetric = map[project.Event]telemetry.Name{project.Run: telemetry.Started, project.Restart: telemetry.Restarted}

func started(operation project.Event, executionID int64, output string) *Started {
	return &Started{
		Success: true, Message: startedMessage[operation],
		ExecutionID: executionID, Status: project.Running, Output: output,
	}
}

// NewRun makes the handler of POST …/run. OutputBase is where output folders
// are made: s3://bucket, or an absolute path.
func NewRun(store StartStore, launcher Launcher, outputBase string, o Options) *Handler {
	return newStarter(project.Run, "run", store, launcher, outputBase, o)
}

// NewRestart makes the handler of POST …/restart: run's path, for failed
// projects.
func NewRestart(store StartStore, launcher Launcher, outputBase string, o Options) *Handler {
	return newStarter(project.Restart, "restart", store, launcher, outputBase, o)
}

func newStarter(event project.Event, path string, store StartStore, launcher Launcher, outputBase string, o Options) *Handler {
	o = o.withDefaults()
	g := gate{store: store, now: o.Now, log: o.Log}
	s := &starter{event: event, gate: g, store: store, launcher: launcher, outputBase: strings.TrimRight(outputBase, "/"), now: o.Now, log: o.Log}
	return newHandler(o, map[string]route{
		"POST /api/tenant/projects/{project_id}/" + path: projectRoute(g, parseStart, s.handle),
	})
}

type starter struct {
	event      project.Event
	gate       gate
	store      StartStore
	launcher   Launcher
	outputBase string
	now        func() time.Time
	log        *slog.Logger
}

// startInput is what a caller says with run or restart.
type startInput struct {
	ExpectedAttempt *int `json:"expected_attempt"`
	keyHash         string
}

func parseStart(req *request) (in startInput, err error) {
	if err := req.decode(&in, true); err != nil {
		return in, err
	}
	if err := checkExpected(in.ExpectedAttempt); err != nil {
		return in, err
	}
	key, given := req.header("idempotency-key"), hasHeader(req, "idempotency-key")
	if given {
		if !isPrintable(key, 255) {
			return in, project.Refuse(project.CodeIdempotencyKeyInvalid, nil)
		}
		in.keyHash = project.Hash(key)
	}
	return in, nil
}

func hasHeader(req *request, name string) bool {
	for k := range req.event.Headers {
		if strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}

func (s *starter) handle(ctx context.Context, req *request, c *caller, in startInput) (any, error) {
	token := project.NewToken()
	for race := range maxRaces {
		if err := s.gate.again(ctx, race, c); err != nil {
			return nil, err
		}
		if a, ok := c.project.AttemptOf(in.keyHash); ok {
			return s.replay(ctx, req, c.project, a)
		}
		if err := project.CheckAttempt(c.project, in.ExpectedAttempt); err != nil {
			return nil, err
		}
		if err := project.CheckStart(s.event, c.project, c.tenant); err != nil {
			return nil, err
		}
		p, err := s.write(ctx, c, token, in.keyHash)
		if project.CodeOf(err) == project.CodeContended {
			continue
		}
		if err != nil {
			return nil, err
		}
		ref := p.ref
		req.executionID = ref.ExecutionID
		req.metrics.Count(startedMetric[s.event])
		s.log.InfoContext(ctx, "execution started", "tenant_id", ref.TenantID, "project_id", ref.ProjectID,
			"execution_id", ref.ExecutionID, "attempt", p.attempt, "operation", s.event)
		return s.launch(ctx, req, ref, started(s.event, ref.ExecutionID, p.output))
	}
	return nil, project.Refuse(project.CodeContended, nil)
}

// begun is what the write of a start began.
type begun struct {
	ref     project.Ref
	attempt int
	output  string
}

// write takes the trial slot where the tenant needs one, and begins the
// execution.
func (s *starter) write(ctx context.Context, c *caller, token, keyHash string) (*begun, error) {
	now := s.now()
	start := project.Start{
		Project: c.project, Event: s.event, At: now, Token: token, KeyHash: keyHash,
		ExecutionID: project.NextExecutionID(c.project.ExecutionID, now),
	}
	start.Output = fmt.Sprintf("%s/%s/%s/%d/", s.outputBase, c.project.TenantID, c.project.UID, start.ExecutionID)
	if c.tenant.Subscription == project.Trialing {
		p, err := s.store.TakeTrialSlot(ctx, c.tenant, start)
		if err != nil {
			return nil, err
		}
		start.Project = p
	}
	p, err := s.store.Start(ctx, start)
	if err != nil {
		return nil, err
	}
	return &begun{ref: start.Ref(), attempt: p.Attempts[start.ExecutionID].Number, output: start.Output}, nil
}

// replay answers a request whose Idempotency-Key has started an attempt: with
// that attempt's first answer, whatever has become of it since. If nothing has
// claimed it, the request that started it can't be about to launch it any more
// (its budget is over), and the engine knows no job of it, then the launch was
// lost, and is made again.
func (s *starter) replay(ctx context.Context, req *request, p *project.Project, a project.Attempt) (any, error) {
	req.executionID = a.ExecutionID
	if a.Operation != s.event {
		return nil, project.Refuse(project.CodeIdempotencyKeyReused, project.Fields{"operation": a.Operation})
	}
	answer := started(a.Operation, a.ExecutionID, a.Output)
	if p.Status != project.Running || p.ExecutionID != a.ExecutionID || !p.ClaimedAt.IsZero() || s.now().Sub(a.StartedAt) < budget {
		return answer, nil
	}
	jobs, err := s.launcher.Lookup(ctx, p.Ref())
	if err != nil {
		return nil, fmt.Errorf("looking for the job of an unclaimed execution: %w", err)
	}
	if len(jobs) > 0 {
		return answer, nil
	}
	return s.launch(ctx, req, p.Ref(), answer)
}

// launch hands the execution to the engine. An engine that refuses fails the
// project with the reason, unless a runner has claimed it: then some job did
// start, and the answer is a success.
func (s *starter) launch(ctx context.Context, req *request, ref project.Ref, answer *Started) (any, error) {
	jobID, err := s.launcher.Launch(ctx, ref)
	if err == nil {
		s.log.InfoContext(ctx, "execution launched", "tenant_id", ref.TenantID,
			"project_id", ref.ProjectID, "execution_id", ref.ExecutionID, "job_id", jobID)
		return answer, nil
	}
	req.metrics.Count(telemetry.LaunchFailures)
	refusal := &project.Error{Code: project.CodeLaunchRefused, Fields: project.Fields{"reason": "the execution engine did not accept it"}, Err: err}
	var told *project.Error
	if errors.As(err, &told) && told.Code == project.CodeLaunchRefused {
		refusal = told
	}
	// The request may be at its deadline; the project must not stay running
	// for that.
	settleCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	p, err := s.store.Settle(settleCtx, project.Settlement{
		Ref: ref, Event: project.Fail, Error: refusal.Error(), At: s.now(), Token: project.NewToken(), Unclaimed: true,
	})
	if project.CodeOf(err) == project.CodeAttemptClosed && p != nil && !p.Attempts[ref.ExecutionID].ClaimedAt.IsZero() {
		s.log.WarnContext(ctx, "launch refused, yet claimed", "execution_id", ref.ExecutionID, "error", refusal)
		return answer, nil
	}
	if err == nil {
		req.metrics.CountOf(telemetry.Failed, telemetry.LaunchRefused)
	} else if project.CodeOf(err) != project.CodeAttemptClosed {
		s.log.ErrorContext(ctx, "launch refused, and not recorded: the sweep will end the execution",
			"tenant_id", ref.TenantID, "project_id", ref.ProjectID, "execution_id", ref.ExecutionID, "error", err)
	}
	return nil, refusal
}

// pause waits up to 20 ms, doubled a race, so that racers spread out.
func pause(ctx context.Context, race int) error {
	t := time.NewTimer(rand.N(20 * time.Millisecond << min(race, 5)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
