package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/secretwatch"
	"rekindle/internal/sweep"
)

func TestSweepTimesByHand(t *testing.T) {
	s := sweeping{shards: 4, pageSize: 100, stops: 16, deadline: 100 * time.Second}
	for n, want := range map[int]time.Duration{0: 30, 1: 40, 100: 1_030, 101: 1_055, 250: 2_560} {
		if got := s.shardTakes(n); got != want*time.Millisecond {
			t.Errorf("%d entries of a shard: %s, want %s", n, got, want*time.Millisecond)
		}
	}
	if got := s.usable(); got != 95*time.Second {
		t.Errorf("of 100 s it uses %s, want 95 s", got)
	}
	if got := (sweeping{deadline: 8 * time.Second}).usable(); got != 6*time.Second {
		t.Errorf("of 8 s it uses %s, want three quarters", got)
	}
	// 93 whole pages of 1.015 s, and 59 of the next in what is left.
	if got := s.most(); got != 4*(93*100+59) {
		t.Errorf("at most %d, want %d", got, 4*(93*100+59))
	}
	for n, want := range map[int]int{0: 1, 1: 1, s.most(): 1, s.most() + 1: 2, 3 * s.most(): 3} {
		if got := s.sweeps(n); got != want {
			t.Errorf("%d stuck: %d sweeps, want %d", n, got, want)
		}
	}
	// 50 a second, in the five seconds that are left.
	if got := s.stopped(1_000, 90*time.Second); got != 250 {
		t.Errorf("%d jobs stopped, want 250", got)
	}
	if got := s.stopped(10, 90*time.Second) + s.stopped(10, 99*time.Second); got != 10 {
		t.Errorf("%d jobs stopped, want the 10 of the one in time", got)
	}
}

func TestStuckAreSpreadOverTheShards(t *testing.T) {
	one, many := sweeping{shards: 1, pageSize: 250, deadline: time.Hour}, sweeping{shards: 16, pageSize: 250, deadline: time.Hour}
	for _, n := range []int{manyStuck, manyStuck + 1} {
		if got, want := one.fails(n, 1), one.shardTakes(n); got != want {
			t.Errorf("%d in one shard: %s, want %s", n, got, want)
		}
		least := many.shardTakes(n / 16)
		if got := many.fails(n, 1); got < least || got > least*11/10 {
			t.Errorf("%d in 16 shards: %s, want a little more than %s", n, got, least)
		}
	}
}

// slowStore has so many stuck executions in each shard, and takes the model's
// time for each call.
type slowStore struct {
	inShard, pageSize int
	mu                sync.Mutex
	failed            int
}

func (s *slowStore) RunningSince(ctx context.Context, shard int, before time.Time) iter.Seq2[[]project.Candidate, error] {
	return func(yield func([]project.Candidate, error) bool) {
		for from := 0; from == 0 || from < s.inShard; from += s.pageSize {
			if err := sleep(ctx, queryTakes); err != nil {
				yield(nil, err)
				return
			}
			var page []project.Candidate
			for i := from; i < min(from+s.pageSize, s.inShard); i++ {
				page = append(page, project.Candidate{
					Key:         project.Key{TenantID: "t", ProjectID: fmt.Sprintf("p%d-%d", shard, i)},
					ExecutionID: 1, StartedAt: before.Add(-time.Hour),
				})
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

func (s *slowStore) OldestRunning(ctx context.Context, _ int, _ time.Time) (time.Time, error) {
	return time.Time{}, sleep(ctx, queryTakes)
}

func (s *slowStore) Get(context.Context, project.Key) (*project.Project, error) {
	panic("a sweep reads no project")
}

func (s *slowStore) Settle(ctx context.Context, st project.Settlement) (*project.Project, error) {
	if err := sleep(ctx, updateTakes); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed++
	return &project.Project{Key: st.Ref.Key}, nil
}

func (s *slowStore) KeepReceipt(context.Context, project.SweepReceipt) error { return nil }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type quickStops struct{}

func (quickStops) Stop(context.Context, project.Ref, string, string) error { return nil }

func TestTheModelSweepsAsTheSweepDoes(t *testing.T) {
	facts := theModel(t).facts
	s := sweeping{shards: facts.shards, pageSize: facts.pageSize, stops: facts.stops, deadline: 12 * time.Second}
	for name, c := range map[string]struct {
		inShard, failed int
		took            time.Duration
		whole           bool
	}{
		"nothing":              {0, 0, s.shardTakes(0), true},
		"less than a page":     {40, 40 * s.shards, s.shardTakes(40), true},
		"three pages":          {2*s.pageSize + 1, (2*s.pageSize + 1) * s.shards, s.shardTakes(2*s.pageSize + 1), true},
		"more than it can end": {2_000, s.most(), s.usable(), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &slowStore{inShard: c.inShard, pageSize: s.pageSize}
			ctx, cancel := context.WithTimeout(t.Context(), s.deadline)
			defer cancel()
			began := time.Now()
			r := sweep.New(store, quickStops{}, sweep.Config{Timeout: 24 * time.Hour}, nil, secretwatch.New(slog.DiscardHandler)).Sweep(ctx, false)
			if took := time.Since(began); took != c.took || r.Failed != store.failed || r.Complete != c.whole {
				t.Errorf("%s: the sweep took %s (%+v), the model %s", name, took, r, c.took)
			}
			// At the very end a call of each shard may be under way.
			if off := c.failed - store.failed; off < 0 || off > s.shards {
				t.Errorf("%s: the sweep failed %d, the model %d", name, store.failed, c.failed)
			}
		})
	}
}
