package sweep

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/telemetry"
)

// Store is what the sweep needs of the store. The methods are documented at
// dynamo.Store.
type Store interface {
	RunningSince(ctx context.Context, shard int, before time.Time) iter.Seq2[[]project.Candidate, error]
	OldestRunning(ctx context.Context, shard int, since time.Time) (time.Time, error)
	Get(ctx context.Context, key project.Key) (*project.Project, error)
	Settle(ctx context.Context, s project.Settlement) (*project.Project, error)
	KeepReceipt(ctx context.Context, r project.SweepReceipt) error
}

// Stopper stops the work of an execution that was failed. JobID is empty where
// no job had claimed it. It returns without waiting for the end of the work.
type Stopper interface {
	Stop(ctx context.Context, ref project.Ref, jobID, reason string) error
}

// Config is what the sweep judges by.
type Config struct {
	Timeout   time.Duration // an execution that started longer ago is failed
	Heartbeat time.Duration // and one whose last heartbeat is longer ago; 0: not judged
}

// Why a nominated project was not failed.
const (
	SkipEnded     = "ended"     // it was completed, failed or cancelled since
	SkipRestarted = "restarted" // another execution is running
	SkipGone      = "gone"      // it was deleted since
	SkipExtended  = "extended"  // its owner has extended its limit
	SkipNotDue    = "not_due"   // it is alive, after all
	SkipError     = "error"     // it could not be read or written: the next sweep tries again
)

// Sweeper is the sweep. It is safe for concurrent use; two sweeps at once fail
// nothing twice.
type Sweeper struct {
	store   Store
	stopper Stopper
	cfg     Config
	now     func() time.Time
	log     *slog.Logger
}

// New makes a sweeper. A nil clock or log is the system's.
func New(store Store, stopper Stopper, cfg Config, now func() time.Time, log *slog.Logger) *Sweeper {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.Default()
	}
	return &Sweeper{store: store, stopper: stopper, cfg: cfg, now: now, log: telemetry.WithRequestIDs(log)}
}

// Invoke is the Lambda handler: it sweeps once. The payload is the schedule's
// event, or {"dry_run": true} to be told what a sweep would do. The answer is
// the receipt.
func (s *Sweeper) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	dryRun, err := readPayload(payload)
	if err != nil {
		return nil, err
	}
	return json.Marshal(s.Sweep(ctx, dryRun))
}

// eventMembers are those of an EventBridge event. They say nothing to the sweep.
var eventMembers = []string{"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}

// readPayload refuses members that it does not know: a misspelt dry_run that is
// passed over would fail what its sender meant to look at.
func readPayload(payload []byte) (dryRun bool, err error) {
	const want = "the payload must be a JSON object with, if anything, a boolean dry_run"
	var in map[string]any
	if err := json.Unmarshal(payload, &in); err != nil {
		return false, fmt.Errorf("%s: %w", want, err)
	}
	if in == nil {
		return false, errors.New(want + "; it is null")
	}
	value, given := in["dry_run"]
	dryRun, isBool := value.(bool)
	if given && !isBool {
		return false, fmt.Errorf("%s; its dry_run is %.100v", want, value)
	}
	for name := range in {
		if name != "dry_run" && !slices.Contains(eventMembers, name) {
			return false, fmt.Errorf("%s; it has a member %.100q", want, name)
		}
	}
	return dryRun, nil
}

// run is one sweep.
type run struct {
	*Sweeper
	began   time.Time
	mu      sync.Mutex
	receipt project.SweepReceipt
	ended   []ended
	oldest  time.Time // when the oldest execution started that is left running
}

// ended is an execution that was failed, and whose work is to be stopped.
type ended struct {
	ref           project.Ref
	jobID, reason string
}

// Sweep fails every project that is due, and returns the receipt. It stops
// early, with Complete false, when a shard can't be read or ctx's deadline
// comes near. The receipt is kept before the first project is read, and again at
// the end: a sweep that was cut off is seen to have no end.
func (s *Sweeper) Sweep(ctx context.Context, dryRun bool) project.SweepReceipt {
	now := s.now().UTC().Truncate(time.Millisecond)
	r := &run{Sweeper: s, began: now, receipt: project.SweepReceipt{
		SweepID: project.NewSweepID(now), BeganAt: now, Cutoff: now.Add(-s.cfg.Timeout), DryRun: dryRun,
		Skipped: map[string]int{}, Complete: true,
	}}
	whole := ctx // also the time that is kept back
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)-margin(time.Until(deadline)))
		defer cancel()
	}
	s.log.InfoContext(ctx, "sweep started", "sweep_id", r.receipt.SweepID, "cutoff", r.receipt.Cutoff, "dry_run", dryRun)
	r.keep(ctx)
	var wg sync.WaitGroup
	for shard := range project.Shards {
		wg.Go(func() { r.shard(ctx, shard) })
	}
	wg.Wait()
	r.stopWork(ctx)
	r.receipt.EndedAt = s.now().UTC().Truncate(time.Millisecond)
	r.keep(whole)
	level := slog.LevelInfo
	if !r.receipt.Complete {
		level = slog.LevelWarn
	}
	s.log.LogAttrs(ctx, level, "sweep ended", slog.Any("receipt", r.receipt), r.metrics())
	return r.receipt
}

// metrics are what the sweep counts at its end. A dry run counts nothing.
func (r *run) metrics() slog.Attr {
	var m telemetry.Metrics
	if r.receipt.DryRun {
		return m.Attr()
	}
	incomplete, age := 1.0, 0.0
	if r.receipt.Complete {
		incomplete = 0
	}
	if !r.oldest.IsZero() {
		age = r.began.Sub(r.oldest).Seconds()
	}
	m.Count(telemetry.SweepEnded)
	m.Set(telemetry.SweepIncomplete, incomplete)
	m.Set(telemetry.Swept, float64(r.receipt.Failed))
	m.Set(telemetry.OldestRunningAge, age)
	return m.Attr()
}

// keep writes the receipt as it stands. Without it the sweep is as good; it is in
// the log, too.
func (r *run) keep(ctx context.Context) {
	if err := r.store.KeepReceipt(ctx, r.receipt); err != nil {
		r.log.ErrorContext(ctx, "the receipt of the sweep was not kept", "sweep_id", r.receipt.SweepID, "error", err)
	}
}

// margin is the time that a sweep keeps back to end cleanly: a quarter of what
// it was given, at most five seconds.
func margin(given time.Duration) time.Duration { return min(given/4, 5*time.Second) }

// shard sweeps one shard of the index.
func (r *run) shard(ctx context.Context, shard int) {
	before := r.receipt.Cutoff
	if r.cfg.Heartbeat > 0 {
		// Silence is not in the index: every running execution is a candidate.
		before = r.began
	}
	whole := true
	for page, err := range r.store.RunningSince(ctx, shard, before) {
		if err != nil {
			// What the page has beside the error is swept all the same.
			whole = false
			r.incomplete(ctx, "a part of the index was not read", shard, err)
			if page == nil {
				continue
			}
		}
		r.count(func(rc *project.SweepReceipt) { rc.Pages++; rc.Nominated += len(page) })
		for _, c := range page {
			if ctx.Err() != nil {
				r.incomplete(ctx, "the deadline is near", shard, ctx.Err())
				return
			}
			r.candidate(ctx, c)
		}
	}
	if whole {
		r.count(func(rc *project.SweepReceipt) { rc.Shards++ })
	}
	r.younger(ctx, shard, before)
}

// younger looks for the oldest of the executions that were not nominated, for its
// age alone. Those that were are judged by their base items: what the index may
// still have of one that has just ended makes nothing look old.
func (r *run) younger(ctx context.Context, shard int, since time.Time) {
	if r.receipt.DryRun || ctx.Err() != nil {
		return
	}
	at, err := r.store.OldestRunning(ctx, shard, since)
	if err != nil {
		r.log.WarnContext(ctx, "the age of the oldest running execution was not read", "sweep_id", r.receipt.SweepID, "shard", shard, "error", err)
		return
	}
	r.left(at)
}

// left notes that an execution which started then is left running.
func (r *run) left(startedAt time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !startedAt.IsZero() && (r.oldest.IsZero() || startedAt.Before(r.oldest)) {
		r.oldest = startedAt
	}
}

func (r *run) count(f func(*project.SweepReceipt)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.receipt)
}

func (r *run) incomplete(ctx context.Context, why string, shard int, err error) {
	r.count(func(rc *project.SweepReceipt) { rc.Complete = false })
	r.log.WarnContext(ctx, "sweep incomplete: "+why, "sweep_id", r.receipt.SweepID, "shard", shard, "error", err)
}

// skip counts an execution that was not failed. Those that are not due, or could
// not be judged, are left running.
func (r *run) skip(c project.Candidate, reason string) {
	r.count(func(rc *project.SweepReceipt) { rc.Skipped[reason]++ })
	if reason == SkipNotDue || reason == SkipExtended || reason == SkipError {
		r.left(c.StartedAt)
	}
}

// candidate judges one nominated execution and fails it if it is due.
func (r *run) candidate(ctx context.Context, c project.Candidate) {
	log := r.log.With("sweep_id", r.receipt.SweepID, "tenant_id", c.TenantID, "project_id", c.ProjectID, "execution_id", c.ExecutionID)
	var (
		p   *project.Project
		err error
	)
	if c.StartedAt.Before(r.receipt.Cutoff) && !r.receipt.DryRun {
		// Nearly every one that started before the cutoff is due: the write,
		// which repeats what is judged here, saves the read.
		st := r.timeOut(c, 0)
		st.StartedAt = c.StartedAt
		if p, err = r.store.Settle(ctx, st); err == nil {
			r.failed(ctx, log, p, st)
			return
		}
		if project.CodeOf(err) == project.CodeAttemptClosed {
			err = nil // p is what it met
		}
	} else if p, err = r.store.Get(ctx, c.Key); project.CodeOf(err) == project.CodeProjectNotFound {
		err = nil
	}
	if err != nil {
		r.failedToJudge(ctx, log, c, err)
		return
	}
	st, why := r.judge(p, c)
	if why != "" {
		r.skip(c, why)
		return
	}
	if r.receipt.DryRun {
		r.list(p, st)
		log.InfoContext(ctx, "execution would be failed", "started_at", c.StartedAt, "reason", st.Error)
		return
	}
	p, err = r.store.Settle(ctx, st)
	switch {
	case err == nil:
		r.failed(ctx, log, p, st)
	case project.CodeOf(err) == project.CodeAttemptClosed:
		_, why = r.judge(p, c)
		r.skip(c, cmp.Or(why, SkipNotDue))
	default:
		r.failedToJudge(ctx, log, c, err)
	}
}

// timeOut is the write that fails an execution for its limit, with what was
// added to it.
func (r *run) timeOut(c project.Candidate, extension time.Duration) project.Settlement {
	return project.Settlement{
		Ref:   project.Ref{Key: c.Key, ExecutionID: c.ExecutionID},
		Event: project.TimeOut, Error: project.TimedOut(r.cfg.Timeout + extension),
		At: r.began, Token: "sweep:" + r.receipt.SweepID, Extension: &extension,
		Swept: &project.Swept{SweepID: r.receipt.SweepID, Cutoff: r.receipt.Cutoff.Add(-extension)},
	}
}

// judge says by which write p is failed, or why it is not. Its conditions are
// the execution and what was added to its limit; of a start in another form than
// the store's the execution id says the same.
func (r *run) judge(p *project.Project, c project.Candidate) (st project.Settlement, why string) {
	switch {
	case p == nil:
		return st, SkipGone
	case p.Status != project.Running:
		return st, SkipEnded
	case p.ExecutionID != c.ExecutionID || !p.StartedAt.Equal(c.StartedAt):
		return st, SkipRestarted
	}
	st = r.timeOut(c, p.Extension)
	st.Ref.ProjectUID = p.UID
	silentBefore := r.began.Add(-r.cfg.Heartbeat)
	switch {
	case p.StartedAt.Before(st.Swept.Cutoff):
		return st, ""
	case r.cfg.Heartbeat > 0 && !p.HeartbeatAt.IsZero() && p.HeartbeatAt.Before(silentBefore):
		st.Error, st.HeartbeatAt, st.Extension = project.FellSilent(r.cfg.Heartbeat), p.HeartbeatAt, nil
		st.Swept.Cutoff, st.Swept.Silent = silentBefore, true
		return st, ""
	case p.StartedAt.Before(r.receipt.Cutoff):
		return st, SkipExtended
	}
	return st, SkipNotDue
}

// failed notes an execution that was failed.
func (r *run) failed(ctx context.Context, log *slog.Logger, p *project.Project, st project.Settlement) {
	r.list(p, st)
	attrs := []any{"started_at", p.StartedAt, "reason", st.Error}
	if !p.HeartbeatAt.IsZero() {
		attrs = append(attrs, "last_heartbeat_at", p.HeartbeatAt)
	}
	reason := telemetry.SweptOverdue
	if st.Swept.Silent {
		reason = telemetry.SweptSilent
	}
	var m telemetry.Metrics
	m.CountOf(telemetry.Failed, reason)
	log.WarnContext(ctx, "execution failed by the sweep", append(attrs, m.Attr())...)
	id := st.Ref.ExecutionID
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, ended{
		ref:   project.Ref{Key: p.Key, ProjectUID: p.UID, ExecutionID: id},
		jobID: p.Attempts[id].JobID, reason: st.Error,
	})
}

// list counts an execution that was failed, or would be, and names it in the
// receipt while there is room.
func (r *run) list(p *project.Project, st project.Settlement) {
	r.count(func(rc *project.SweepReceipt) {
		rc.Failed++
		if len(rc.Executions) < project.MaxSweptListed {
			rc.Executions = append(rc.Executions, project.SweptExecution{
				TenantID: p.TenantID, ProjectID: p.ProjectID, ExecutionID: st.Ref.ExecutionID,
				StartedAt: p.StartedAt, HeartbeatAt: p.HeartbeatAt, Reason: st.Error,
			})
		}
	})
}

// stops is how many jobs are asked to stop at once.
const stops = 16

// stopWork asks the engine to stop what was failed. It comes last, so that a
// slow engine keeps nothing from being failed. What the deadline cuts off, or
// the engine refuses, ends all the same: its runner stops at its next
// heartbeat, which is refused.
func (r *run) stopWork(ctx context.Context) {
	work := make(chan ended)
	var wg sync.WaitGroup
	for range min(stops, len(r.ended)) {
		wg.Go(func() {
			for e := range work {
				if err := r.stopper.Stop(ctx, e.ref, e.jobID, e.reason); err != nil {
					r.log.WarnContext(ctx, "the work of a failed execution was not stopped", "sweep_id", r.receipt.SweepID, "tenant_id", e.ref.TenantID,
						"project_id", e.ref.ProjectID, "execution_id", e.ref.ExecutionID, "job_id", e.jobID, "error", err)
				}
			}
		})
	}
	for _, e := range r.ended {
		if ctx.Err() != nil {
			break
		}
		work <- e
	}
	close(work)
	wg.Wait()
}

func (r *run) failedToJudge(ctx context.Context, log *slog.Logger, c project.Candidate, err error) {
	r.skip(c, SkipError)
	r.count(func(rc *project.SweepReceipt) { rc.Complete = false })
	if errors.Is(err, context.DeadlineExceeded) {
		log.WarnContext(ctx, "execution left to the next sweep: the deadline is near")
		return
	}
	log.ErrorContext(ctx, "execution left to the next sweep", "error", err)
}
