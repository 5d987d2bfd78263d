package sweep_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/sweep"
)

// The sweep's judgement, over a store in memory.

func TestSweepIsStrictAboutTheLimit(t *testing.T) {
	f := newFake()
	f.add(0, "before", 24*time.Hour-time.Second)
	f.add(1, "exactly", 24*time.Hour)
	f.add(2, "after", 24*time.Hour+time.Second)
	r := sweeper(f, &stops{}, day, nil).Sweep(t.Context(), false)
	if r.Failed != 1 || r.Nominated != 1 || !r.Complete || f.items[project.Key{TenantID: "acme", ProjectID: "after"}].Status != project.Failed {
		t.Errorf("got %+v", r)
	}
}

func TestSweepJudgesByTimeWhateverTheIndexNominates(t *testing.T) {
	f := newFake()
	f.loose = true
	for id, d := range map[string]time.Duration{"before": 24*time.Hour - time.Second, "exactly": 24 * time.Hour, "after": 24*time.Hour + time.Second} {
		f.add(0, id, d).HeartbeatAt = storeNow.Add(-23 * time.Hour) // silent, which is not judged
	}
	for _, dry := range []bool{true, false} {
		r := sweeper(f, &stops{}, day, nil).Sweep(t.Context(), dry)
		if r.Nominated != 3 || r.Failed != 1 || !maps.Equal(r.Skipped, map[string]int{sweep.SkipNotDue: 2}) {
			t.Errorf("dry %t: got %+v, want one failed of 3, two not due", dry, r)
		}
	}
	if p := f.items[project.Key{TenantID: "acme", ProjectID: "after"}]; p.Status != project.Failed {
		t.Errorf("the one after the limit: got %s", p.Status)
	}
}

func TestSweepReadsOnThroughAnEmptyPage(t *testing.T) {
	f := newFake()
	f.shards[5] = []page{{}, {}}
	f.add(5, "stuck", 25*time.Hour)
	r := sweeper(f, &stops{}, day, nil).Sweep(t.Context(), false)
	if r.Failed != 1 || r.Pages != 3 || r.Shards != project.Shards {
		t.Errorf("got %+v, want one failed on the third page", r)
	}
}

func TestSweepGoesOnPastAThrottledShardAndABadItem(t *testing.T) {
	f := newFake()
	f.shards[3] = []page{{err: project.Refuse(project.CodeUnavailable, nil)}}
	for i := range 5 {
		f.add(4, fmt.Sprintf("p%d", i), 25*time.Hour)
	}
	bad := project.Key{TenantID: "acme", ProjectID: "p1"}
	f.broken[bad] = errors.New("attribute x: what is this")
	var logs bytes.Buffer
	r := sweeper(f, &stops{}, day, &logs).Sweep(t.Context(), false)
	if r.Failed != 4 || r.Shards != project.Shards-1 || r.Complete || !maps.Equal(r.Skipped, map[string]int{sweep.SkipError: 1}) {
		t.Errorf("got %+v, want 4 failed, one in error, 15 shards, incomplete", r)
	}
	// The next one goes on.
	f.shards[3], f.broken = nil, map[project.Key]error{}
	if r := sweeper(f, &stops{}, day, nil).Sweep(t.Context(), false); r.Failed != 1 || !r.Complete {
		t.Errorf("the next sweep: got %+v, want the one left", r)
	}
	for _, id := range []string{"p0", "p2", "p3", "p4"} {
		if !strings.Contains(logs.String(), `"msg":"execution failed by the sweep","sweep_id":"`+r.SweepID+`","tenant_id":"acme","project_id":"`+id+`"`) {
			t.Errorf("no log line for %s", id)
		}
	}
}

func TestSweepSkipsWhatHasChangedSinceTheIndexWasRead(t *testing.T) {
	f := newFake()
	f.add(0, "ended", 25*time.Hour).Status = project.Completed
	again := f.add(0, "restarted", 25*time.Hour)
	again.ExecutionID, again.StartedAt = 78, storeNow
	delete(f.items, f.add(0, "gone", 25*time.Hour).Key)
	for _, dry := range []bool{true, false} {
		r := sweeper(f, &stops{}, day, nil).Sweep(t.Context(), dry)
		want := map[string]int{sweep.SkipEnded: 1, sweep.SkipRestarted: 1, sweep.SkipGone: 1}
		if r.Failed != 0 || !maps.Equal(r.Skipped, want) || !r.Complete {
			t.Errorf("dry %t: got %+v, want skipped %v", dry, r, want)
		}
	}
	if f.writes != 0 {
		t.Errorf("writes: %d", f.writes)
	}
}

func TestDryRunWritesAndStopsNothing(t *testing.T) {
	f, st := newFake(), &stops{}
	f.add(0, "stuck", 25*time.Hour)
	r := sweeper(f, st, day, nil).Sweep(t.Context(), true)
	if !r.DryRun || r.Failed != 1 || f.writes != 0 || len(st.jobs) != 0 {
		t.Errorf("got %+v with %d writes and stops %v", r, f.writes, st.jobs)
	}
}

// (base2Services/shelvery-aws-backups 71)
func TestSweepStopsCleanlyBeforeItsDeadlineAndTheNextGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.pause = 10 * time.Millisecond
		for i := range 5000 {
			f.add(i%project.Shards, fmt.Sprintf("p%d", i), 25*time.Hour)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		r := sweeper(f, &stops{}, day, nil).Sweep(ctx, false)
		if took := time.Since(began); took >= 2*time.Second || ctx.Err() != nil {
			t.Errorf("took %s of 2 s", took)
		}
		if r.Complete || r.Failed == 0 || r.Failed >= 5000 || r.Failed != f.writes {
			t.Errorf("got %+v with %d writes, want an early stop", r, f.writes)
		}
		if r := sweeper(f, &stops{}, day, nil).Sweep(t.Context(), false); !r.Complete || f.writes != 5000 {
			t.Errorf("the next sweep: got %+v, %d failed in all", r, f.writes)
		}
	})
}

func TestTwoSweepsAtOnceFailNothingTwice(t *testing.T) {
	f, st := newFake(), &stops{}
	for i := range 200 {
		f.add(i%project.Shards, fmt.Sprintf("p%d", i), 25*time.Hour)
	}
	receipts := make([]project.SweepReceipt, 2)
	var wg sync.WaitGroup
	for i := range receipts {
		wg.Go(func() { receipts[i] = sweeper(f, st, day, nil).Sweep(t.Context(), false) })
	}
	wg.Wait()
	if sum := receipts[0].Failed + receipts[1].Failed; sum != 200 || f.writes != 200 || len(st.jobs) != 200 {
		t.Errorf("failed %d, writes %d, stops %d; want 200 each", sum, f.writes, len(st.jobs))
	}
	if receipts[0].Skipped[sweep.SkipEnded]+receipts[1].Skipped[sweep.SkipEnded] != 200 {
		t.Errorf("skipped: %v and %v", receipts[0].Skipped, receipts[1].Skipped)
	}
}

func TestSweepStopsTheClaimingJobAndMindsNoErrorOfIt(t *testing.T) {
	f, st := newFake(), &stops{err: errors.New("engine down")}
	claimed := f.add(0, "claimed", 25*time.Hour)
	claimed.Attempts[77] = project.Attempt{ExecutionID: 77, RunnerID: "r", JobID: "job-7"}
	f.add(1, "unclaimed", 25*time.Hour)
	r := sweeper(f, st, day, nil).Sweep(t.Context(), false)
	slices.Sort(st.jobs)
	if want := []string{"claimed/u-claimed/job-7", "unclaimed/u-unclaimed/"}; !slices.Equal(st.jobs, want) || r.Failed != 2 || !r.Complete {
		t.Errorf("stopped %v, want %v; receipt %+v", st.jobs, want, r)
	}
}

func TestHeartbeatLimitFailsTheSilentAlone(t *testing.T) {
	f := newFake()
	f.add(0, "silent", time.Hour).HeartbeatAt = storeNow.Add(-11 * time.Minute)
	f.add(1, "on-the-limit", time.Hour).HeartbeatAt = storeNow.Add(-10 * time.Minute)
	f.add(2, "beating", time.Hour).HeartbeatAt = storeNow.Add(-time.Minute)
	f.add(3, "never-beat", time.Hour)
	f.add(4, "old", 25*time.Hour).HeartbeatAt = storeNow
	cfg := sweep.Config{Timeout: 24 * time.Hour, Heartbeat: 10 * time.Minute}
	for _, dry := range []bool{true, false} {
		r := sweeper(f, &stops{}, cfg, nil).Sweep(t.Context(), dry)
		if r.Failed != 2 || !maps.Equal(r.Skipped, map[string]int{sweep.SkipNotDue: 3}) || !r.Complete {
			t.Errorf("dry %t: got %+v", dry, r)
		}
	}
	silent, old := f.items[project.Key{TenantID: "acme", ProjectID: "silent"}], f.items[project.Key{TenantID: "acme", ProjectID: "old"}]
	if silent.Error != "Execution lost: it sent no heartbeat for 10 minutes" || old.Error != "Execution timed out: it was running for more than 24 hours" {
		t.Errorf("got %q and %q", silent.Error, old.Error)
	}
	// Off by default.
	g := newFake()
	g.add(0, "silent", time.Hour).HeartbeatAt = storeNow.Add(-11 * time.Hour)
	if r := sweeper(g, &stops{}, day, nil).Sweep(t.Context(), false); r.Nominated != 0 {
		t.Errorf("without the setting: got %+v", r)
	}
}

func TestInvokeTakesTheSchedulesEventAndADryRun(t *testing.T) {
	for payload, want := range map[string]struct{ failed, dry, refused bool }{
		`{"version":"0","detail-type":"Scheduled Event","source":"aws.events","detail":{}}`: {failed: true},
		`{}`:                 {failed: true},
		`{"dry_run":true}`:   {failed: true, dry: true},
		`{"dry_run":false}`:  {failed: true},
		`{"dry_run":"yes"}`:  {refused: true},
		`{"dry_run":"true"}`: {refused: true},
		`{"dry_run":1}`:      {refused: true},
		`{"dry_run":null}`:   {refused: true},
		// Passed over, these would fail what their sender meant to look at.
		`{"dryRun":true}`:            {refused: true},
		`{"dry-run":true}`:           {refused: true},
		`{"dry_run":true,"limit":5}`: {refused: true},
		`[]`:                         {refused: true},
		`null`:                       {refused: true},
		`true`:                       {refused: true},
		`"dry_run"`:                  {refused: true},
		`{"dry_run":true} {}`:        {refused: true},
		`{`:                          {refused: true},
		``:                           {refused: true},
	} {
		f := newFake()
		f.add(0, "stuck", 25*time.Hour)
		out, err := sweeper(f, &stops{}, day, nil).Invoke(t.Context(), []byte(payload))
		if (err != nil) != want.refused {
			t.Errorf("%s: got %v", payload, err)
			continue
		}
		if want.refused {
			if f.writes != 0 || !strings.Contains(err.Error(), "dry_run") {
				t.Errorf("%s: got %v after %d writes, want what the payload may be, and none", payload, err, f.writes)
			}
			continue
		}
		var got map[string]any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		id, _ := got["sweep_id"].(string)
		delete(got, "sweep_id")
		wantReceipt := map[string]any{
			"cutoff": "2026-03-01T12:00:00Z", "dry_run": want.dry, "shards": 16.0, "pages": 1.0, "nominated": 1.0, "failed": 1.0,
			"skipped": map[string]any{}, "complete": true, "began_at": "2026-03-02T12:00:00Z", "ended_at": "2026-03-02T12:00:00Z",
			"executions": []any{map[string]any{
				"tenant_id": "acme", "project_id": "stuck", "execution_id": 77.0, "started_at": "2026-03-01T11:00:00Z",
				"reason": "Execution timed out: it was running for more than 24 hours",
			}},
		}
		if id == "" || !reflect.DeepEqual(got, wantReceipt) {
			t.Errorf("%s: got %v, want %v and an id", payload, got, wantReceipt)
		}
		if (f.writes == 0) != want.dry {
			t.Errorf("%s: %d writes", payload, f.writes)
		}
	}
}

func TestReceiptCountsWhatWasSkippedByItsReason(t *testing.T) {
	f := newFake()
	f.add(0, "ended", 25*time.Hour).Status = project.Failed
	delete(f.items, f.add(1, "gone", 25*time.Hour).Key)
	delete(f.items, f.add(2, "gone-too", 25*time.Hour).Key)
	out, err := sweeper(f, &stops{}, day, nil).Invoke(t.Context(), []byte("{}"))
	if err != nil || !strings.Contains(string(out), `"skipped":{"ended":1,"gone":2}`) {
		t.Errorf("got %s, %v", out, err)
	}
}

// The gap between the index and the write, as wide as the test wants it.
func TestChangeJustBeforeTheWriteIsRespected(t *testing.T) {
	cfg := sweep.Config{Timeout: 24 * time.Hour, Heartbeat: 10 * time.Minute}
	for name, c := range map[string]struct {
		running time.Duration
		happens func(p *project.Project)
		reason  string
	}{
		"completed":           {25 * time.Hour, func(p *project.Project) { p.Status = project.Completed }, sweep.SkipEnded},
		"restarted":           {25 * time.Hour, func(p *project.Project) { p.ExecutionID, p.StartedAt = 78, storeNow }, sweep.SkipRestarted},
		"put anew":            {25 * time.Hour, func(p *project.Project) { p.StartedAt = storeNow }, sweep.SkipRestarted},
		"silent, then a beat": {time.Hour, func(p *project.Project) { p.HeartbeatAt = storeNow }, sweep.SkipNotDue},
		"silent, then ended":  {time.Hour, func(p *project.Project) { p.Status = project.Completed }, sweep.SkipEnded},
	} {
		f, st := newFake(), &stops{}
		f.meet = c.happens
		p := f.add(0, "site", c.running)
		p.HeartbeatAt = storeNow.Add(-time.Hour)
		r := sweeper(f, st, cfg, nil).Sweep(t.Context(), false)
		if r.Failed != 0 || f.writes != 0 || len(st.jobs) != 0 || !r.Complete || !maps.Equal(r.Skipped, map[string]int{c.reason: 1}) {
			t.Errorf("%s: got %+v with %d writes and stops %v, want one skipped as %s", name, r, f.writes, st.jobs, c.reason)
		}
	}
}

func TestPagesBeforeAFaultOfTheirShardAreSwept(t *testing.T) {
	f := newFake()
	f.add(3, "stuck", 25*time.Hour)
	f.shards[3] = append(f.shards[3], page{err: errors.New("throttled")})
	r := sweeper(f, &stops{}, day, nil).Sweep(t.Context(), false)
	if r.Failed != 1 || r.Complete || r.Shards != project.Shards-1 || r.Pages != 1 {
		t.Errorf("got %+v, want 1 failed of 1 page, 15 shards, incomplete", r)
	}
}

// An engine that does not answer keeps nothing from being failed, nor the sweep
// past its deadline.
func TestStopThatHangsDoesNotCarryTheSweepPastItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		for i := range 50 {
			f.add(i%2, fmt.Sprintf("p%d", i), 25*time.Hour)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		r := sweep.New(f, hanging{}, day, func() time.Time { return storeNow }, discard).Sweep(ctx, false)
		if took := time.Since(began); took >= 2*time.Second || !r.Complete || r.Failed != 50 {
			t.Errorf("took %s of 2 s, got %+v", took, r)
		}
	})
}

func TestSweepWithoutTimeLeftChangesNothing(t *testing.T) {
	f := newFake()
	f.add(0, "stuck", 25*time.Hour)
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	r := sweeper(f, &stops{}, day, nil).Sweep(ctx, false)
	if r.Complete || r.Failed != 0 || f.writes != 0 {
		t.Errorf("got %+v with %d writes", r, f.writes)
	}
}

func TestExtendedExecutionIsFailedAtItsLaterLimit(t *testing.T) {
	f := newFake()
	f.add(0, "extended", 25*time.Hour).Extension = 6 * time.Hour
	f.add(1, "exactly", 30*time.Hour).Extension = 6 * time.Hour
	over := f.add(2, "over", 30*time.Hour+time.Second)
	over.Extension = 6 * time.Hour
	for _, dry := range []bool{true, false} {
		r := sweeper(f, &stops{}, day, nil).Sweep(t.Context(), dry)
		if r.Nominated != 3 || r.Failed != 1 || !r.Complete || !maps.Equal(r.Skipped, map[string]int{sweep.SkipExtended: 2}) {
			t.Errorf("dry %t: got %+v, want one failed and two extended", dry, r)
		}
	}
	if over.Status != project.Failed || over.Error != "Execution timed out: it was running for more than 30 hours" {
		t.Errorf("got %s, %q", over.Status, over.Error)
	}
	if want := storeNow.Add(-30 * time.Hour); !over.Attempts[77].Swept.Cutoff.Equal(want) {
		t.Errorf("its cutoff is %s, want %s", over.Attempts[77].Swept.Cutoff, want)
	}
}

func TestExtensionKeepsNoSilentExecution(t *testing.T) {
	f := newFake()
	p := f.add(0, "silent", 25*time.Hour)
	p.Extension, p.HeartbeatAt = 6*time.Hour, storeNow.Add(-time.Hour)
	r := sweeper(f, &stops{}, sweep.Config{Timeout: 24 * time.Hour, Heartbeat: 10 * time.Minute}, nil).Sweep(t.Context(), false)
	if r.Failed != 1 || p.Error != "Execution lost: it sent no heartbeat for 10 minutes" {
		t.Errorf("got %+v and %q, want it failed for its silence", r, p.Error)
	}
	if swept, want := p.Attempts[77].Swept, storeNow.Add(-10*time.Minute); !swept.Cutoff.Equal(want) || !swept.Silent {
		t.Errorf("its cutoff is %s, silent %t, want that of the heartbeats, %s", swept.Cutoff, swept.Silent, want)
	}
}

func TestReceiptIsKeptFromTheBeginning(t *testing.T) {
	for _, dry := range []bool{false, true} {
		f := newFake()
		f.add(0, "stuck", 25*time.Hour).HeartbeatAt = storeNow.Add(-2 * time.Hour)
		r := sweeper(f, &stops{}, day, nil).Sweep(t.Context(), dry)
		if len(f.kept) != 2 {
			t.Fatalf("dry %t: kept %d times, want at the beginning and the end", dry, len(f.kept))
		}
		first, last := f.kept[0], f.kept[1]
		if first.SweepID != r.SweepID || !first.BeganAt.Equal(storeNow) || !first.EndedAt.IsZero() || first.Failed != 0 {
			t.Errorf("dry %t: the first is %+v, want one without an end", dry, first)
		}
		if !reflect.DeepEqual(last, r) || last.EndedAt.IsZero() || last.DryRun != dry {
			t.Errorf("dry %t: the last is %+v, want the answer, %+v", dry, last, r)
		}
		want := []project.SweptExecution{{
			TenantID: "acme", ProjectID: "stuck", ExecutionID: 77, StartedAt: storeNow.Add(-25 * time.Hour), HeartbeatAt: storeNow.Add(-2 * time.Hour),
			Reason: "Execution timed out: it was running for more than 24 hours",
		}}
		if !reflect.DeepEqual(r.Executions, want) {
			t.Errorf("dry %t: it names %+v, want %+v", dry, r.Executions, want)
		}
	}
}

func TestSweepThatHasNoTimeLeftKeepsItsReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.pause = 10 * time.Millisecond
		for i := range 5000 {
			f.add(i%project.Shards, fmt.Sprintf("p%d", i), 25*time.Hour)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		r := sweeper(f, &stops{}, day, nil).Sweep(ctx, false)
		if last := f.kept[len(f.kept)-1]; !reflect.DeepEqual(last, r) || last.Complete || len(last.Executions) != project.MaxSweptListed {
			t.Errorf("got %d named and complete %t, want %d and false", len(last.Executions), last.Complete, project.MaxSweptListed)
		}
	})
}

func TestSweepIsAsGoodWithoutItsReceipt(t *testing.T) {
	f := newFake()
	f.keepErr = errors.New("no table")
	f.add(0, "stuck", 25*time.Hour)
	var logs bytes.Buffer
	r := sweeper(f, &stops{}, day, &logs).Sweep(t.Context(), false)
	if r.Failed != 1 || !r.Complete {
		t.Errorf("got %+v, want one failed", r)
	}
	if n := strings.Count(logs.String(), "the receipt of the sweep was not kept"); n != 2 {
		t.Errorf("the log says %d times that the receipt was not kept, want 2:\n%s", n, &logs)
	}
}

func TestSweepIDsSortByTheirTime(t *testing.T) {
	early, late := project.NewSweepID(storeNow), project.NewSweepID(storeNow.Add(time.Millisecond))
	if early >= late || early < project.SweepIDsAfter(storeNow) || late < project.SweepIDsAfter(storeNow.Add(time.Millisecond)) || early > project.SweepIDsAfter(storeNow.Add(time.Millisecond)) {
		t.Errorf("got %s and %s", early, late)
	}
	if project.NewSweepID(storeNow) == early {
		t.Error("two sweeps of one millisecond have one id")
	}
}
