package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"rekindle/internal/api"
	"rekindle/internal/project"
	"rekindle/internal/secretwatch"
	"rekindle/internal/telemetry"
	"rekindle/internal/telemetry/emftest"
)

// counted returns what the log has counted since the last call.
func (w *world) counted() map[string]float64 {
	w.t.Helper()
	sums := emftest.Count(w.t, w.logs.String())
	w.logs.Reset()
	return sums
}

func (w *world) wantCounts(what string, want map[string]float64) {
	w.t.Helper()
	if got := w.counted(); !maps.Equal(got, want) {
		w.t.Errorf("%s counts %v, want %v", what, got, want)
	}
}

type counts = map[string]float64

func refused(code project.Code) counts {
	return counts{"Refused": 1, "Refused Code=" + string(code): 1}
}

func TestEachStartIsCountedOnce(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	run := action("run", "site", header("idempotency-key", "once"))
	w.do(w.run, run)
	w.wantCounts("a run", counts{"Started": 1})
	w.do(w.run, run)
	w.wantCounts("its twin", counts{})
	w.do(w.run, action("run", "site"))
	w.wantCounts("a run of what runs", refused(project.CodeNotPending))
	w.insert("shop", project.Failed)
	w.do(w.restart, action("restart", "shop"))
	w.wantCounts("a restart", counts{"Restarted": 1})
	w.do(w.status, action("status", "site"))
	w.wantCounts("a question", counts{})
}

func TestRefusedLaunchesAreCounted(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	w.engine.refuse = errors.New("no such queue")
	w.do(w.run, action("run", "site"))
	want := refused(project.CodeLaunchRefused)
	maps.Copy(want, counts{"Started": 1, "LaunchFailures": 1, "Failed": 1, "Failed Reason=launch_refused": 1})
	w.wantCounts("a refused launch", want)
}

func TestEachEndIsCountedOnce(t *testing.T) {
	for outcome, want := range map[string]counts{
		"completed": {"Completed": 1},
		"failed":    {"Failed": 1, "Failed Reason=reported": 1},
		"timed_out": {"Failed": 1, "Failed Reason=timed_out": 1},
	} {
		t.Run(outcome, func(t *testing.T) {
			w := newWorld(t)
			ref, report := w.claimed("site")
			w.counted()
			result := fmt.Sprintf(`{"outcome":%q,"exit_code":3}`, outcome)
			first := w.report("result", ref, report, result)
			w.wantCounts("a result", want)
			w.pass(time.Second)
			if again := w.report("result", ref, report, result); again.status != 200 || again.raw != first.raw {
				t.Fatalf("the same again: got %d %s, want %s", again.status, again.raw, first.raw)
			}
			w.wantCounts("the same result again", counts{})
		})
	}
}

func TestCancellingAndLateResultsAreCounted(t *testing.T) {
	w := newWorld(t)
	ref, report := w.claimed("site")
	w.counted()
	w.do(w.projects, on("POST /cancel", "site"))
	w.wantCounts("a cancel", counts{"Failed": 1, "Failed Reason=cancelled": 1})
	const result = `{"outcome":"completed","exit_code":0}`
	w.report("result", ref, report, result)
	want := refused(project.CodeAttemptClosed)
	want["LateResults"] = 1
	w.wantCounts("a late result", want)
	w.report("result", ref, report, result)
	w.wantCounts("the same late result again", refused(project.CodeAttemptClosed))
}

func TestWaitForARunnerIsMeasuredOnce(t *testing.T) {
	w := newWorld(t)
	ref, execution := w.running("site")
	w.counted()
	w.pass(90 * time.Second)
	const claim = `{"runner_id":"runner-1","job_id":"job-1"}`
	w.report("claim", ref, execution, claim)
	w.wantCounts("a claim", counts{"WaitToClaim": 90})
	w.pass(time.Second)
	w.report("claim", ref, execution, claim)
	w.wantCounts("the same claim again", counts{})
}

// broken is a store that can't be read.
type broken struct{}

func (broken) Load(context.Context, string, project.Key) (*project.Session, *project.Project, *project.Tenant, error) {
	return nil, nil, nil, errors.New("no route to the database")
}
func (broken) TouchSession(context.Context, string, time.Time) error { return nil }

// Whatever went wrong, the line says what the caller was told.
func TestFaultsAreCountedByTheCodeOfTheirAnswer(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	lost := api.NewStatus(broken{}, project.DefaultTimeout, api.Options{
		Now: w.clock, Log: secretwatch.New(telemetry.NewHandler(slog.NewJSONHandler(w.logs, nil), "Rekindle/test")),
	})
	a := w.do(lost, action("status", "site"))
	if a.status != 500 || a.body["request_id"] != "req-1" {
		t.Errorf("got %d %s", a.status, a.raw)
	}
	logs := w.logs.String()
	if !strings.Contains(logs, `"code":"internal"`) {
		t.Errorf("the log does not have the answer's code: %s", logs)
	}
	w.wantCounts("a fault", refused(project.CodeInternal))
}

func TestLinesHaveTheCallersIdAndLambdas(t *testing.T) {
	w := newWorld(t)
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "invocation-1"})
	w.insert("site", project.Pending)
	invoke(t, ctx, w.run, action("run", "site"))
	lines := 0
	for line := range strings.Lines(w.logs.String()) {
		lines++
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry["request_id"] != "req-1" || entry["lambda_request_id"] != "invocation-1" {
			t.Errorf("a line is of the request %v and the invocation %v: %s", entry["request_id"], entry["lambda_request_id"], line)
		}
	}
	if lines < 3 {
		t.Errorf("a run has %d lines, want that it started, was launched and answered", lines)
	}
}

// No metric may tell a tenant or a project, or grow with their number.
func TestNoDimensionNamesATenant(t *testing.T) {
	w := newWorld(t)
	ref, report := w.claimed("site")
	w.report("result", ref, report, `{"outcome":"failed","exit_code":1,"error":"acme site"}`)
	w.do(w.run, action("run", "nothing"))
	for _, m := range emftest.Read(t, w.logs.String()) {
		for _, name := range []string{"acme", "site", "nothing", "77"} {
			if strings.Contains(m.Dimensions, name) {
				t.Errorf("%s has the dimensions %s", m.Name, m.Dimensions)
			}
		}
	}
}
