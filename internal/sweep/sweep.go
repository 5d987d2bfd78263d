package sweep

import (
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
)

// Store is what the sweep needs of the store. The methods are documented at
// dynamo.Store.
type Store interface {
	RunningSince(ctx context.Context, shard int, before time.Time) iter.Seq2[[]project.Candidate, error]
	Get(ctx context.Context, key project.Key) (*project.Project, error)
	Settle(ctx context.Context, s project.Settlement) (*project.Project, error)
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
	SkipNotDue    = "not_due"   // it is alive, after all
	SkipError     = "error"     // it could not be read or written: the next sweep tries again
)

// Receipt says what a sweep did. In a dry run Failed counts what would have
// been failed.
type Receipt struct {
	SweepID   string         `json:"sweep_id"`
	Cutoff    time.Time      `json:"cutoff"`
	DryRun    bool           `json:"dry_run"`
	Shards    int            `json:"shards"` // read to their end
	Pages     int            `json:"pages"`
	Nominated int            `json:"nominated"`
	Failed    int            `json:"failed"`
	Skipped   map[string]int `json:"skipped"`
	Complete  bool           `json:"complete"`
}

// LogValue writes the receipt's members under the names that they have in JSON.
func (r Receipt) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("sweep_id", r.SweepID), slog.Time("cutoff", r.Cutoff), slog.Bool("dry_run", r.DryRun),
		slog.Int("shards", r.Shards), slog.Int("pages", r.Pages), slog.Int("nominated", r.Nominated), slog.Int("failed", r.Failed),
		slog.Any("skipped", r.Skipped), slog.Bool("complete", r.Complete),
	)
}

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
	return &Sweeper{store: store, stopper: stopper, cfg: cfg, now: now, log: log}
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
	receipt Receipt
	ended   []ended
}

// ended is an execution that was failed, and whose work is to be stopped.
type ended struct {
	ref           project.Ref
	jobID, reason string
}

// Sweep fails every project that is due, and returns the receipt. It stops
// early, with Complete false, when a shard can't be read or ctx's deadline
// comes near.
func (s *Sweeper) Sweep(ctx context.Context, dryRun bool) Receipt {
	now := s.now().UTC()
	r := &run{Sweeper: s, began: now, receipt: Receipt{
		SweepID: project.NewToken(), Cutoff: now.Add(-s.cfg.Timeout).Truncate(time.Millisecond), DryRun: dryRun,
		Skipped: map[string]int{}, Complete: true,
	}}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)-margin(time.Until(deadline)))
		defer cancel()
	}
	s.log.InfoContext(ctx, "sweep started", "sweep_id", r.receipt.SweepID, "cutoff", r.receipt.Cutoff, "dry_run", dryRun)
	var wg sync.WaitGroup
	for shard := range project.Shards {
		wg.Go(func() { r.shard(ctx, shard) })
	}
	wg.Wait()
	r.stopWork(ctx)
	level := slog.LevelInfo
	if !r.receipt.Complete {
		level = slog.LevelWarn
	}
	s.log.LogAttrs(ctx, level, "sweep ended", slog.Any("receipt", r.receipt))
	return r.receipt
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
		r.count(func(rc *Receipt) { rc.Pages++; rc.Nominated += len(page) })
		for _, c := range page {
			if ctx.Err() != nil {
				r.incomplete(ctx, "the deadline is near", shard, ctx.Err())
				return
			}
			r.candidate(ctx, c)
		}
	}
	if whole {
		r.count(func(rc *Receipt) { rc.Shards++ })
	}
}

func (r *run) count(f func(*Receipt)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.receipt)
}

func (r *run) incomplete(ctx context.Context, why string, shard int, err error) {
	r.count(func(rc *Receipt) { rc.Complete = false })
	r.log.WarnContext(ctx, "sweep incomplete: "+why, "sweep_id", r.receipt.SweepID, "shard", shard, "error", err)
}

func (r *run) skip(reason string) { r.count(func(rc *Receipt) { rc.Skipped[reason]++ }) }

// candidate judges one nominated execution and fails it if it is due.
func (r *run) candidate(ctx context.Context, c project.Candidate) {
	log := r.log.With("sweep_id", r.receipt.SweepID, "tenant_id", c.TenantID, "project_id", c.ProjectID, "execution_id", c.ExecutionID)
	st := project.Settlement{
		Ref:   project.Ref{Key: c.Key, ExecutionID: c.ExecutionID},
		Event: project.TimeOut, Error: project.TimedOut(r.cfg.Timeout),
		At: r.began, Token: "sweep:" + r.receipt.SweepID, StartedAt: c.StartedAt,
	}
	if due := c.StartedAt.Before(r.receipt.Cutoff); !due || r.receipt.DryRun {
		p, err := r.store.Get(ctx, c.Key)
		if err != nil && project.CodeOf(err) != project.CodeProjectNotFound {
			r.failedToJudge(ctx, log, err)
			return
		}
		if !due {
			silent := r.cfg.Heartbeat > 0 && p != nil && !p.HeartbeatAt.IsZero() && p.HeartbeatAt.Before(r.began.Add(-r.cfg.Heartbeat))
			if !silent || !runs(p, c) {
				r.skip(whyNot(p, c))
				return
			}
			st.Error, st.HeartbeatAt = project.FellSilent(r.cfg.Heartbeat), p.HeartbeatAt
		}
		if r.receipt.DryRun {
			if !runs(p, c) {
				r.skip(whyNot(p, c))
				return
			}
			r.count(func(rc *Receipt) { rc.Failed++ })
			log.InfoContext(ctx, "execution would be failed", "started_at", c.StartedAt, "reason", st.Error)
			return
		}
	}
	p, err := r.store.Settle(ctx, st)
	if project.CodeOf(err) == project.CodeAttemptClosed && st.HeartbeatAt.IsZero() && runs(p, c) {
		// It still runs what was judged, so its start is written in another
		// form than the store's. The execution id says the same.
		st.Ref.ProjectUID, st.StartedAt = p.UID, time.Time{}
		p, err = r.store.Settle(ctx, st)
	}
	if project.CodeOf(err) == project.CodeAttemptClosed {
		r.skip(whyNot(p, c))
		return
	}
	if err != nil {
		r.failedToJudge(ctx, log, err)
		return
	}
	r.count(func(rc *Receipt) { rc.Failed++ })
	attrs := []any{"started_at", c.StartedAt, "reason", st.Error}
	if !p.HeartbeatAt.IsZero() {
		attrs = append(attrs, "last_heartbeat_at", p.HeartbeatAt)
	}
	log.WarnContext(ctx, "execution failed by the sweep", attrs...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, ended{
		ref:   project.Ref{Key: c.Key, ProjectUID: p.UID, ExecutionID: c.ExecutionID},
		jobID: p.Attempts[c.ExecutionID].JobID, reason: st.Error,
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

func (r *run) failedToJudge(ctx context.Context, log *slog.Logger, err error) {
	r.skip(SkipError)
	r.count(func(rc *Receipt) { rc.Complete = false })
	if errors.Is(err, context.DeadlineExceeded) {
		log.WarnContext(ctx, "execution left to the next sweep: the deadline is near")
		return
	}
	log.ErrorContext(ctx, "execution left to the next sweep", "error", err)
}

// runs says whether p is still running what was nominated.
func runs(p *project.Project, c project.Candidate) bool {
	return p != nil && p.Status == project.Running && p.ExecutionID == c.ExecutionID && p.StartedAt.Equal(c.StartedAt)
}

// whyNot says why p was not failed for c.
func whyNot(p *project.Project, c project.Candidate) string {
	switch {
	case p == nil:
		return SkipGone
	case p.Status != project.Running:
		return SkipEnded
	case !runs(p, c):
		return SkipRestarted
	default:
		return SkipNotDue
	}
}
