package sweep_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"rekindle/internal/project"
	"rekindle/internal/sweep"
	"rekindle/internal/telemetry/emftest"
)

type counts = map[string]float64

// counted sweeps, and returns what the log has counted.
func counted(t *testing.T, f *fakeStore, cfg sweep.Config, dryRun bool) counts {
	t.Helper()
	var logs bytes.Buffer
	sweeper(f, &stops{}, cfg, &logs).Sweep(t.Context(), dryRun)
	return emftest.Count(t, logs.String())
}

func wantCounts(t *testing.T, got, want counts) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("the sweep counts\n%v, want\n%v", got, want)
	}
}

func TestSweepCountsWhatItFailedAndWhy(t *testing.T) {
	f := newFake()
	f.add(0, "stuck", 25*time.Hour)
	f.add(1, "stuck too", 26*time.Hour)
	f.add(2, "silent", time.Hour).HeartbeatAt = storeNow.Add(-50 * time.Minute)
	f.add(3, "well", 2*time.Hour).HeartbeatAt = storeNow.Add(-time.Minute)
	cfg := sweep.Config{Timeout: 24 * time.Hour, Heartbeat: 10 * time.Minute}
	wantCounts(t, counted(t, f, cfg, true), counts{}) // a dry run is nothing that happened
	wantCounts(t, counted(t, f, cfg, false), counts{
		"SweepEnded": 1, "SweepIncomplete": 0, "Swept": 3, "OldestRunningAge": 2 * 60 * 60,
		"Failed": 3, "Failed Reason=swept": 2, "Failed Reason=silent": 1,
	})
	wantCounts(t, counted(t, f, cfg, false), counts{"SweepEnded": 1, "SweepIncomplete": 0, "Swept": 0, "OldestRunningAge": 2 * 60 * 60})
}

func TestSweepWithoutRunningProjectsHasAnAgeOfNothing(t *testing.T) {
	wantCounts(t, counted(t, newFake(), day, false), counts{"SweepEnded": 1, "SweepIncomplete": 0, "Swept": 0, "OldestRunningAge": 0})
}

// What the sweep could not end is old; what it has just ended is not, though the
// index still has it.
func TestOldestExecutionIsTheOldestThatIsLeftRunning(t *testing.T) {
	f := newFake()
	f.add(0, "just failed", 90*time.Hour)
	f.add(1, "extended", 30*time.Hour).Extension = 24 * time.Hour
	f.add(2, "young", time.Hour)
	f.add(3, "ended", 95*time.Hour).Status = project.Completed
	got := counted(t, f, day, false)
	if want := 30.0 * 60 * 60; got["OldestRunningAge"] != want || got["Swept"] != 1 {
		t.Errorf("the oldest is %v s old and %v were failed, want %v s, that of the extended one, and 1", got["OldestRunningAge"], got["Swept"], want)
	}
	f.broken[f.add(4, "stuck for good", 60*time.Hour).Key] = errors.New("what is this")
	got = counted(t, f, day, false)
	if want := 60.0 * 60 * 60; got["OldestRunningAge"] != want || got["SweepIncomplete"] != 1 {
		t.Errorf("the oldest is %v s old and incomplete is %v, want %v s and 1", got["OldestRunningAge"], got["SweepIncomplete"], want)
	}
}

// An age that can't be read leaves nothing stuck.
func TestSweepIsCompleteWithoutTheAgeOfTheOldest(t *testing.T) {
	f := newFake()
	f.add(0, "stuck", 25*time.Hour)
	f.oldestErr = project.Refuse(project.CodeUnavailable, nil)
	if got := counted(t, f, day, false); got["SweepIncomplete"] != 0 || got["Swept"] != 1 {
		t.Errorf("the sweep counts %v, want one failed, and complete", got)
	}
}

func TestLinesOfASweepKnowTheirInvocation(t *testing.T) {
	f := newFake()
	f.add(0, "stuck", 25*time.Hour)
	f.shards[3] = []page{{err: project.Refuse(project.CodeUnavailable, nil)}}
	var logs bytes.Buffer
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "invocation-1"})
	if _, err := sweeper(f, &stops{err: errors.New("no such job")}, day, &logs).Invoke(ctx, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(logs.String()) {
		lines++
		if !strings.Contains(line, `"request_id":"invocation-1"`) {
			t.Errorf("a line does not say whose it is: %s", line)
		}
	}
	if lines < 5 {
		t.Errorf("there are %d lines, want the begin, the end, a failure, a stop and a gap", lines)
	}
}
