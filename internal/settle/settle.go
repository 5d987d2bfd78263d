// Package settle ends the executions whose jobs have ended without a word: the
// backstop for a runner that crashed, was killed, or never started.
package settle

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"rekindle/internal/launch"
	"rekindle/internal/project"
	"rekindle/internal/telemetry"
)

// Store is what settling needs of the store. The methods are documented at
// dynamo.Store.
type Store interface {
	Get(ctx context.Context, key project.Key) (*project.Project, error)
	Settle(ctx context.Context, s project.Settlement) (*project.Project, error)
}

// Finder finds the jobs of an execution that have not ended.
type Finder interface {
	Lookup(ctx context.Context, ref project.Ref) (jobIDs []string, err error)
}

// Settler judges the ends of jobs.
type Settler struct {
	store  Store
	finder Finder
	now    func() time.Time
	log    *slog.Logger
}

// New makes a settler. A nil clock or log is the system's.
func New(store Store, finder Finder, now func() time.Time, log *slog.Logger) *Settler {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.Default()
	}
	return &Settler{store: store, finder: finder, now: now, log: telemetry.WithRequestIDs(log)}
}

// JobEnded takes word that a job has ended; it may come late, twice and out of
// order. Only the job that claimed an execution can fail it, or, while nothing
// has claimed it, the last of its jobs. A job that ended well without a stored
// result has failed too: the result is what counts. An error means that the
// word is to be delivered again.
func (s *Settler) JobEnded(ctx context.Context, end launch.JobEnd) error {
	log := s.log.With("tenant_id", end.Ref.TenantID, "project_id", end.Ref.ProjectID, "execution_id", end.Ref.ExecutionID, "job_id", end.JobID)
	p, err := s.store.Get(ctx, end.Ref.Key)
	if project.CodeOf(err) == project.CodeProjectNotFound {
		log.InfoContext(ctx, "job ended: its project is gone")
		return nil
	}
	if err != nil {
		return fmt.Errorf("judging the end of a job: %w", err)
	}
	if !p.Runs(end.Ref) {
		log.DebugContext(ctx, "job ended: its execution has ended")
		return nil
	}
	st := project.Settlement{
		Ref: end.Ref, Event: project.Fail, Error: end.Reason, At: s.now(), Token: "job:" + end.JobID,
	}
	switch {
	case end.Succeeded:
		st.Error = "The job ended without reporting a result"
	case strings.TrimSpace(end.Reason) == "":
		st.Error = "The job failed without reporting a result"
	}
	if a := p.Attempts[end.Ref.ExecutionID]; a.RunnerID != "" {
		if a.JobID != end.JobID {
			log.InfoContext(ctx, "job ended: another job has claimed its execution")
			return nil
		}
		st.Runner = a.RunnerID
	} else {
		alive, err := s.finder.Lookup(ctx, end.Ref)
		if err != nil {
			return fmt.Errorf("looking for other jobs of an execution: %w", err)
		}
		// The engine's list may be older than its word of this end.
		if slices.ContainsFunc(alive, func(id string) bool { return id != end.JobID }) {
			log.InfoContext(ctx, "job ended: another job of its execution is alive")
			return nil
		}
		st.Unclaimed = true
	}
	p, err = s.store.Settle(ctx, st)
	if err != nil && project.CodeOf(err) != project.CodeAttemptClosed {
		return fmt.Errorf("failing an execution whose job has ended: %w", err)
	} else if err != nil {
		log.InfoContext(ctx, "job ended: its execution has changed meanwhile")
		return nil
	}
	var metrics telemetry.Metrics
	if st.WroteBy(p) {
		metrics.CountOf(telemetry.Failed, telemetry.Engine)
	}
	log.WarnContext(ctx, "execution failed by the end of its job", "reason", st.Error, metrics.Attr())
	return nil
}
