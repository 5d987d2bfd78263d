package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/sweep"
)

// bare is a project of few words: the sweep reads none of them, and a million of
// them are kept.
var bare = shape{description: "Short", objectives: "Short", failure: "none"}

// healthyTimes is how many times as many projects run and are not due, beside
// those that are stuck: first as many, then ten times as many.
var healthyTimes = []int{1, 10}

// readTwice is up to how many stuck projects are swept twice; of more, the first
// time, the index is read alone.
const readTwice = 10_000

// runSweeps measures the sweep in this process, with the real store over the
// wire, and sees that what it reads grows with the stuck projects alone.
func runSweeps(ctx context.Context, e *env) (rows []row, err error) {
	sizes := []int{1_000, 10_000, 100_000}
	if e.quick {
		sizes = []int{100, 1_000}
	}
	folder := filepath.Join(e.work, "dynamodb")
	d, err := openDatabase(ctx, folder, false) // makes the tables
	if err != nil {
		return nil, err
	}
	defer func() {
		if d != nil {
			err = errors.Join(err, d.close())
		}
	}()
	healthy := 0
	for _, stuck := range sizes {
		var reads []usage
		for _, times := range healthyTimes {
			e.progress("%d stuck among %d healthy", stuck, times*stuck)
			err := d.close()
			d = nil
			if err != nil {
				return rows, err
			}
			began := time.Now()
			if err := fill(ctx, folder,
				copies{bare.project(project.Key{}, project.Running, noon.Add(-25*time.Hour)), "stuck", 0, stuck},
				copies{bare.project(project.Key{}, project.Running, noon.Add(-time.Hour)), "healthy", healthy, max(healthy, times*stuck)},
			); err != nil {
				return rows, err
			}
			healthy = max(healthy, times*stuck)
			if d, err = openDatabase(ctx, folder, false); err != nil {
				return rows, err
			}
			filled := time.Since(began)
			measure := oneSweep
			if stuck > readTwice && times == 1 {
				measure = oneRead
			}
			began = time.Now()
			r, used, err := measure(ctx, d, fmt.Sprintf("stuck=%d/healthy=%d", stuck, healthy), stuck)
			if err != nil {
				return rows, err
			}
			e.progress("filled in %.1f s, measured in %.1f s", filled.Seconds(), time.Since(began).Seconds())
			rows, reads = append(rows, r), append(reads, used)
		}
		if a, b := reads[0], reads[1]; a.Calls != b.Calls || a.Read != b.Read {
			return rows, fmt.Errorf("%d stuck cost %v queries and %v read units among as many healthy, and %v and %v among ten times as many: reads are to grow with the stuck alone",
				stuck, a.Calls, a.Read, b.Calls, b.Read)
		}
	}
	e.note("The sweeper in this process, its store over HTTP to the local database (dynalite on disk, one Node.js thread, which is what the rate is); an engine that stops nothing in no time. On DynamoDB the rate is another, the pages and units are these.")
	e.note("pages and rcu are those of the index that nominates: the same, however many healthy projects run, or the bench fails. It fails, too, if a sweep fails another number than the stuck. What a sweep costs besides, whatever it finds, is sweep/nothing-stuck among the calls.")
	if !e.quick {
		e.note("Where no time is given the index alone was read, as the sweep reads it: minutes of writes more would say nothing new.")
	}
	return rows, nil
}

// oneRead reads the index as a sweep does, and writes nothing.
func oneRead(ctx context.Context, d *database, name string, stuck int) (row, usage, error) {
	d.meter.reset()
	nominated := 0
	for shard := range project.Shards {
		for page, err := range d.store.RunningSince(ctx, shard, noon.Add(-project.DefaultTimeout)) {
			if err != nil {
				return row{}, usage{}, err
			}
			nominated += len(page)
		}
	}
	if nominated != stuck {
		return row{}, usage{}, fmt.Errorf("%s: the index nominated %d, want %d", name, nominated, stuck)
	}
	queries := d.meter.reset()["Query "+projectsTable]
	return row{Name: name, N: stuck, Metrics: queryMetrics(queries, stuck)}, queries, nil
}

func queryMetrics(queries usage, stuck int) []metric {
	return []metric{{queries.Calls, "pages"}, {queries.Read, "rcu"}, {1000 * queries.Read / float64(stuck), "rcu/1000-stuck"}}
}

// oneSweep sweeps, and returns the row and what the queries cost.
func oneSweep(ctx context.Context, d *database, name string, stuck int) (row, usage, error) {
	s := sweep.New(d.store, idleEngine{}, sweep.Config{Timeout: project.DefaultTimeout}, func() time.Time { return noon }, slog.New(slog.DiscardHandler))
	d.meter.reset()
	began := time.Now()
	r := s.Sweep(ctx, false)
	took := time.Since(began)
	used := d.meter.reset()
	if !r.Complete || r.Failed != stuck || r.Nominated != stuck || len(r.Skipped) != 0 {
		return row{}, usage{}, fmt.Errorf("%s: the sweep was to fail %d: %+v", name, stuck, r)
	}
	queries, writes := used["Query "+projectsTable], used["UpdateItem "+projectsTable]
	return row{Name: name, N: stuck, Metrics: slices.Concat(
		[]metric{nanoseconds(took, "sweep-ns"), {float64(stuck) / took.Seconds(), "projects/s"}},
		queryMetrics(queries, stuck), []metric{{writes.Calls, "writes"}},
	)}, queries, nil
}
