package sweep_test

import (
	"bytes"
	"context"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/secretwatch"
	"rekindle/internal/sweep"
	"rekindle/internal/telemetry"
)

// fakeStore is a store in memory whose faults the test chooses. It honours the
// guards of a settlement as the real one does.
type fakeStore struct {
	mu     sync.Mutex
	items  map[project.Key]*project.Project
	shards map[int][]page
	loose  bool // the index nominates whatever it has
	broken map[project.Key]error
	pause  time.Duration            // of each write, in virtual time
	meet   func(p *project.Project) // what happens to an item just before its write
	writes int

	oldestErr error

	kept    []project.SweepReceipt // each time that a receipt was kept
	keepErr error
}

// page is one page of the index, or the error in its place.
type page struct {
	candidates []project.Candidate
	err        error
}

func newFake() *fakeStore {
	return &fakeStore{items: map[project.Key]*project.Project{}, shards: map[int][]page{}, broken: map[project.Key]error{}}
}

// add puts a running project, and nominates it on a page of its own.
func (f *fakeStore) add(shard int, id string, d time.Duration) *project.Project {
	p := runningFor(id, d)
	f.items[p.Key] = p
	f.shards[shard] = append(f.shards[shard], page{candidates: []project.Candidate{{Key: p.Key, ExecutionID: p.ExecutionID, StartedAt: p.StartedAt}}})
	return p
}

func (f *fakeStore) RunningSince(_ context.Context, shard int, before time.Time) iter.Seq2[[]project.Candidate, error] {
	return func(yield func([]project.Candidate, error) bool) {
		for _, pg := range f.shards[shard] {
			due := slices.DeleteFunc(slices.Clone(pg.candidates), func(c project.Candidate) bool { return !f.loose && !c.StartedAt.Before(before) })
			if !yield(due, pg.err) || pg.err != nil {
				return
			}
		}
	}
}

// OldestRunning finds what the index has, whatever has become of it.
func (f *fakeStore) OldestRunning(_ context.Context, shard int, since time.Time) (oldest time.Time, err error) {
	for _, pg := range f.shards[shard] {
		for _, c := range pg.candidates {
			if !c.StartedAt.Before(since) && (oldest.IsZero() || c.StartedAt.Before(oldest)) {
				oldest = c.StartedAt
			}
		}
	}
	return oldest, f.oldestErr
}

func (f *fakeStore) Get(_ context.Context, key project.Key) (*project.Project, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.broken[key]; err != nil {
		return nil, err
	}
	p, ok := f.items[key]
	if !ok {
		return nil, project.Refuse(project.CodeProjectNotFound, nil)
	}
	copied := *p
	return &copied, nil
}

func (f *fakeStore) Settle(ctx context.Context, s project.Settlement) (*project.Project, error) {
	if f.pause > 0 {
		time.Sleep(f.pause) // virtual: the test runs in a synctest bubble
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.broken[s.Ref.Key]; err != nil {
		return nil, err
	}
	p, ok := f.items[s.Ref.Key]
	if !ok {
		return nil, project.Refuse(project.CodeAttemptClosed, nil)
	}
	if f.meet != nil {
		f.meet(p)
	}
	if p.Status != project.Running || p.ExecutionID != s.Ref.ExecutionID ||
		s.Ref.ProjectUID != "" && s.Ref.ProjectUID != p.UID ||
		!s.StartedAt.IsZero() && !p.StartedAt.Equal(s.StartedAt) ||
		!s.HeartbeatAt.IsZero() && !p.HeartbeatAt.Equal(s.HeartbeatAt) ||
		s.Runner != "" && p.Attempts[s.Ref.ExecutionID].RunnerID != s.Runner ||
		s.Extension != nil && p.Extension != *s.Extension ||
		s.Unclaimed && !p.ClaimedAt.IsZero() {
		copied := *p
		return &copied, project.Refuse(project.CodeAttemptClosed, nil)
	}
	f.writes++
	p.Status, p.Error, p.CompletedAt = project.Failed, s.Error, s.At
	if s.Swept != nil {
		p.SweepID = s.Swept.SweepID
		a := p.Attempts[s.Ref.ExecutionID]
		a.Swept = s.Swept
		p.Attempts[s.Ref.ExecutionID] = a
	}
	copied := *p
	return &copied, nil
}

func (f *fakeStore) KeepReceipt(_ context.Context, r project.SweepReceipt) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Skipped, r.Executions = maps.Clone(r.Skipped), slices.Clone(r.Executions)
	f.kept = append(f.kept, r)
	return f.keepErr
}

// stops remembers what was asked to be stopped.
type stops struct {
	mu   sync.Mutex
	jobs []string
	err  error
}

func (s *stops) Stop(_ context.Context, ref project.Ref, jobID, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = append(s.jobs, ref.ProjectID+"/"+ref.ProjectUID+"/"+jobID)
	return s.err
}

func sweeper(f *fakeStore, st *stops, cfg sweep.Config, logs *bytes.Buffer) *sweep.Sweeper {
	log := discard
	if logs != nil {
		log = secretwatch.New(telemetry.NewHandler(slog.NewJSONHandler(logs, nil), "Rekindle/test"))
	}
	return sweep.New(f, st, cfg, func() time.Time { return storeNow }, log)
}

var discard = secretwatch.New(slog.DiscardHandler)

var day = sweep.Config{Timeout: 24 * time.Hour}

// hanging is an engine that does not answer.
type hanging struct{}

func (hanging) Stop(ctx context.Context, _ project.Ref, _, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}
