package sweep_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
	"rekindle/internal/secretwatch"
	"rekindle/internal/sweep"
)

// The sweep over the real store, on a real database.

var storeNow = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

type nothingToStop struct{}

func (nothingToStop) Stop(context.Context, project.Ref, string, string) error { return nil }

func overStore(db *dynamotest.DB, now time.Time) *sweep.Sweeper {
	return sweep.New(db, nothingToStop{}, sweep.Config{Timeout: project.DefaultTimeout},
		func() time.Time { return now }, secretwatch.New(slog.NewTextHandler(io.Discard, nil)))
}

func runningFor(id string, d time.Duration) *project.Project {
	started := storeNow.Add(-d)
	return &project.Project{
		Key: project.Key{TenantID: "acme", ProjectID: id}, UID: "u-" + id, Version: 1, Name: "N", Description: "D", Objectives: "O", ActivationCode: "h",
		Status: project.Running, ExecutionID: 77, Attempt: 1, StartedAt: started, Output: "/o",
		Attempts: map[int64]project.Attempt{77: {ExecutionID: 77, Number: 1, StartedAt: started, Operation: project.Run}},
	}
}

// insertMany puts n projects that have been running for d.
func insertMany(t testing.TB, db *dynamotest.DB, prefix string, n int, d time.Duration) {
	t.Helper()
	work := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range work {
				if _, err := db.PutProject(t.Context(), runningFor(fmt.Sprintf("%s-%d", prefix, i), d)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
}

// (hexpm PR 1825)
func TestStoreBoundaryOfTheLimit(t *testing.T) {
	db := dynamotest.Open(t)
	for id, d := range map[string]time.Duration{
		"before": 24*time.Hour - time.Second, "exactly": 24 * time.Hour, "after": 24*time.Hour + time.Second, "just-after": 24*time.Hour + time.Millisecond,
	} {
		db.Insert(t, runningFor(id, d))
	}
	r := overStore(db, storeNow).Sweep(t.Context(), false)
	if r.Failed != 2 || !r.Complete || r.Shards != project.Shards {
		t.Errorf("got %+v, want 2 failed, complete", r)
	}
	for id, want := range map[string]project.Status{
		"before": project.Running, "exactly": project.Running, "after": project.Failed, "just-after": project.Failed,
	} {
		p := db.Read(t, project.Key{TenantID: "acme", ProjectID: id})
		if p.Status != want {
			t.Errorf("%s: got %s, want %s", id, p.Status, want)
		}
		if want != project.Failed {
			continue
		}
		a := p.Attempts[77]
		if p.Error != "Execution timed out: it was running for more than 24 hours" || !p.CompletedAt.Equal(storeNow) ||
			a.Outcome != project.OutcomeTimedOut || a.Error != p.Error || !a.CompletedAt.Equal(storeNow) {
			t.Errorf("%s: got %q at %s, attempt %+v", id, p.Error, p.CompletedAt, a)
		}
	}
}

// (riverqueue/river 1302)
func TestStoreChangeBetweenIndexReadAndWriteIsRespected(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*testing.T, *dynamotest.DB, *project.Project)
		reason string
	}{
		"completed": {func(t *testing.T, db *dynamotest.DB, p *project.Project) {
			settle(t, db, p, project.Succeed)
		}, sweep.SkipEnded},
		"failed and restarted": {func(t *testing.T, db *dynamotest.DB, p *project.Project) {
			restart(t, db, settle(t, db, p, project.Fail), storeNow)
		}, sweep.SkipRestarted},
		"deleted": {func(t *testing.T, db *dynamotest.DB, p *project.Project) { db.Delete(t, p.Key) }, sweep.SkipGone},
	} {
		t.Run(name, func(t *testing.T) {
			db := dynamotest.Open(t)
			p := db.Insert(t, runningFor("site", 25*time.Hour))
			var (
				once  sync.Once
				after any
			)
			db.Wire.Set(func(op string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
				if op == "UpdateItem" {
					once.Do(func() { // the index has been read, the write is on its way
						db.Wire.Set(nil)
						c.change(t, db, p)
						after = db.Item(t, p.Key)
					})
				}
				return next()
			})
			r := overStore(db, storeNow).Sweep(t.Context(), false)
			if r.Nominated != 1 || r.Failed != 0 || !reflect.DeepEqual(r.Skipped, map[string]int{c.reason: 1}) || !r.Complete {
				t.Errorf("got %+v, want one skipped as %s", r, c.reason)
			}
			if got := any(db.Item(t, p.Key)); !reflect.DeepEqual(got, after) {
				t.Errorf("the sweep changed the item:\ngot  %v\nwant %v", got, after)
			}
		})
	}
}

func settle(t *testing.T, db *dynamotest.DB, p *project.Project, event project.Event) *project.Project {
	t.Helper()
	p, err := db.Settle(t.Context(), project.Settlement{Ref: p.Ref(), Event: event, Error: "e", At: storeNow, Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func restart(t *testing.T, db *dynamotest.DB, p *project.Project, at time.Time) *project.Project {
	t.Helper()
	p, err := db.Start(t.Context(), project.Start{Project: p, Event: project.Restart, ExecutionID: p.ExecutionID + 1, At: at, Output: "/o", Token: "r"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStoreRestartOfASweptRunIsLeftByTheNextSweep(t *testing.T) {
	db := dynamotest.Open(t)
	p := db.Insert(t, runningFor("site", 25*time.Hour))
	s := overStore(db, storeNow)
	if r := s.Sweep(t.Context(), false); r.Failed != 1 {
		t.Fatalf("got %+v, want 1 failed", r)
	}
	restart(t, db, db.Read(t, p.Key), storeNow)
	before := db.Item(t, p.Key)
	if r := s.Sweep(t.Context(), false); r.Nominated != 0 || r.Failed != 0 {
		t.Errorf("got %+v, want nothing nominated: the start time is new", r)
	}
	if !reflect.DeepEqual(before, db.Item(t, p.Key)) {
		t.Error("the sweep changed the restarted project")
	}
}

// (river 1258, gitlab-org/gitlab 291010)
func TestStoreNoneOfFiveThousandIsLeft(t *testing.T) {
	if testing.Short() {
		t.Skip("short: 5,000 inserts")
	}
	db := dynamotest.Open(t)
	insertMany(t, db, "stuck", 5000, 25*time.Hour)
	insertMany(t, db, "healthy", 50, time.Hour)
	r := overStore(db, storeNow).Sweep(t.Context(), false)
	if r.Failed != 5000 || r.Nominated != 5000 || !r.Complete || len(r.Skipped) != 0 {
		t.Errorf("got %+v, want 5,000 failed", r)
	}
	if left := db.Nominated(t, storeNow); len(left) != 50 {
		t.Errorf("in the index: %d, want the 50 healthy ones", len(left))
	}
}

func TestStoreLostReplyOfASweepsWriteIsCountedAsFailed(t *testing.T) {
	db := dynamotest.Open(t)
	db.Insert(t, runningFor("site", 25*time.Hour))
	db.Wire.LoseReply("UpdateItem", 1)
	r := overStore(db, storeNow).Sweep(t.Context(), false)
	calls := db.Wire.Calls()["UpdateItem"]
	db.Wire.Set(nil)
	if r.Failed != 1 || len(r.Skipped) != 0 || calls != 2 {
		t.Errorf("got %+v after %d writes, want 1 failed after 2", r, calls)
	}
}

// BenchmarkSweep shows that the index's reads grow with the stuck projects
// alone, whatever else runs; and what heap the process took for it at most.
func BenchmarkSweep(b *testing.B) {
	for _, c := range []struct{ stuck, healthy int }{{1_000, 1_000}, {1_000, 10_000}, {10_000, 1_000}} {
		b.Run(fmt.Sprintf("stuck=%d/healthy=%d", c.stuck, c.healthy), func(b *testing.B) {
			queries := 0
			for b.Loop() {
				b.StopTimer()
				db := dynamotest.Open(b)
				insertMany(b, db, "stuck", c.stuck, 25*time.Hour)
				insertMany(b, db, "healthy", c.healthy, time.Hour)
				db.Wire.Set(nil)
				b.StartTimer()
				if r := overStore(db, storeNow).Sweep(b.Context(), false); r.Failed != c.stuck || !r.Complete {
					b.Fatalf("got %+v", r)
				}
				queries = db.Wire.Calls()["Query"]
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(queries), "queries/op")
			b.ReportMetric(float64(c.stuck*b.N)/b.Elapsed().Seconds(), "projects/s")
			b.ReportMetric(float64(m.HeapSys)/1e6, "heap-MB")
		})
	}
}

// Whoever put an item by hand may have written its start in another form of
// RFC 3339, which the index sorts as text. It is judged by its time.
func TestStoreItemWhoseStartIsWrittenOtherwiseIsJudgedByItsTime(t *testing.T) {
	db := dynamotest.Open(t)
	for form, want := range map[string]project.Status{
		"2026-03-01T11:00:00Z":          project.Failed,
		"2026-03-01T11:00:00.000+00:00": project.Failed,
		"2026-03-01T11:00:00.000-02:00": project.Running, // 13:00 in UTC
	} {
		p := runningFor("site", 25*time.Hour)
		p.HeartbeatAt = storeNow.Add(-time.Hour)
		db.Insert(t, p)
		item := db.Item(t, p.Key)
		item["execution_started_at"] = &types.AttributeValueMemberS{Value: form}
		if _, err := db.Client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &db.Tables.Projects, Item: item}); err != nil {
			t.Fatal(err)
		}
		r := overStore(db, storeNow).Sweep(t.Context(), false)
		if got := db.Read(t, p.Key); got.Status != want || r.Nominated != 1 || !r.Complete || (r.Failed == 1) != (want == project.Failed) {
			t.Errorf("%s: got %s and %+v, want it %s", form, got.Status, r, want)
		}
		db.Delete(t, p.Key)
	}
}

func TestStoreExtensionThatComesBeforeTheWriteIsRespected(t *testing.T) {
	db := dynamotest.Open(t)
	p := db.Insert(t, runningFor("site", 25*time.Hour))
	var once sync.Once
	db.Wire.Set(func(op string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
		if op == "UpdateItem" {
			once.Do(func() { // the index has been read, the write is on its way
				db.Wire.Set(nil)
				if _, err := db.Extend(t.Context(), p.Ref(), 2*time.Hour); err != nil {
					t.Error(err)
				}
			})
		}
		return next()
	})
	r := overStore(db, storeNow).Sweep(t.Context(), false)
	if r.Failed != 0 || !reflect.DeepEqual(r.Skipped, map[string]int{sweep.SkipExtended: 1}) {
		t.Errorf("got %+v, want one skipped as extended", r)
	}
	if now := db.Read(t, p.Key); now.Status != project.Running || now.Extension != 2*time.Hour {
		t.Errorf("got %s, extended by %s", now.Status, now.Extension)
	}
	if r := overStore(db, storeNow.Add(time.Hour+time.Millisecond)).Sweep(t.Context(), false); r.Failed != 1 {
		t.Errorf("past the extension: got %+v, want one failed", r)
	}
	if now := db.Read(t, p.Key); now.Error != "Execution timed out: it was running for more than 26 hours" {
		t.Errorf("got %q", now.Error)
	}
}

func TestStoreSweptProjectSaysBySweepCutoffAndHeartbeat(t *testing.T) {
	db := dynamotest.Open(t)
	p := runningFor("site", 25*time.Hour)
	p.HeartbeatAt = storeNow.Add(-3 * time.Hour)
	db.Insert(t, p)
	db.Insert(t, runningFor("never-beat", 25*time.Hour))
	r := overStore(db, storeNow).Sweep(t.Context(), false)
	for id, beat := range map[string]time.Time{"site": p.HeartbeatAt, "never-beat": {}} {
		now := db.Read(t, project.Key{TenantID: "acme", ProjectID: id})
		a := now.Attempts[77]
		if now.SweepID != r.SweepID || now.Outcome != project.OutcomeTimedOut {
			t.Errorf("%s: got sweep %q and outcome %q, want %q and timed_out", id, now.SweepID, now.Outcome, r.SweepID)
		}
		if a.Swept == nil || *a.Swept != (project.Swept{SweepID: r.SweepID, Cutoff: r.Cutoff}) || !a.HeartbeatAt.Equal(beat) {
			t.Errorf("%s: got %+v, last heartbeat %s, want sweep %s, cutoff %s and heartbeat %s", id, a.Swept, a.HeartbeatAt, r.SweepID, r.Cutoff, beat)
		}
	}
	kept, err := db.GetReceipt(t.Context(), r.SweepID)
	if err != nil || kept.Failed != 2 || len(kept.Executions) != 2 || !kept.Complete || !kept.Cutoff.Equal(r.Cutoff) {
		t.Errorf("the receipt is %+v, %v", kept, err)
	}

	// What was so is kept with the attempt, and is no more the project's.
	again := restart(t, db, db.Read(t, p.Key), storeNow)
	if again.SweepID != "" || again.Outcome != "" || again.Attempts[77].Swept == nil {
		t.Errorf("restarted: sweep %q, outcome %q, its first attempt %+v", again.SweepID, again.Outcome, again.Attempts[77])
	}
}
