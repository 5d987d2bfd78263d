package settle_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"testing"
	"time"

	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/launch"
	"rekindle/internal/project"
	"rekindle/internal/secretwatch"
	"rekindle/internal/settle"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// jobs are the engine's jobs that are alive.
type jobs struct {
	alive    []string
	err      error
	lookedUp func() // what happens meanwhile
}

func (j *jobs) Lookup(context.Context, project.Ref) ([]string, error) {
	if j.lookedUp != nil {
		j.lookedUp()
	}
	return j.alive, j.err
}

type fixture struct {
	t    *testing.T
	db   *dynamotest.DB
	jobs *jobs
	s    *settle.Settler
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, db: dynamotest.Open(t), jobs: &jobs{}}
	f.s = settle.New(f.db, f.jobs, func() time.Time { return noon }, secretwatch.New(slog.DiscardHandler))
	return f
}

func (f *fixture) running(id string) *project.Project {
	f.t.Helper()
	return f.db.Insert(f.t, &project.Project{
		Key: project.Key{TenantID: "acme", ProjectID: id}, UID: "u-" + id, Version: 1, Name: "N", Status: project.Running,
		ExecutionID: 77, Attempt: 1, StartedAt: noon.Add(-time.Hour),
		Attempts: map[int64]project.Attempt{77: {ExecutionID: 77, Number: 1, StartedAt: noon.Add(-time.Hour)}},
	})
}

func (f *fixture) claimed(id string) *project.Project {
	f.t.Helper()
	p, err := f.db.Claim(f.t.Context(), f.running(id).Ref(), project.Claim{RunnerID: "runner-1", JobID: "job-1"}, noon.Add(-time.Minute))
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) ended(p *project.Project, job string, succeeded bool) {
	f.t.Helper()
	end := launch.JobEnd{Ref: p.Ref(), JobID: job, Succeeded: succeeded, Reason: "The runner was killed"}
	if err := f.s.JobEnded(f.t.Context(), end); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) want(p *project.Project, status project.Status, reason string) {
	f.t.Helper()
	got := f.db.Read(f.t, p.Key)
	if got.Status != status || got.Error != reason {
		f.t.Errorf("got %s %q, want %s %q", got.Status, got.Error, status, reason)
	}
}

func TestOnlyTheClaimingJobCounts(t *testing.T) {
	f := newFixture(t)
	p := f.claimed("site")
	f.ended(p, "job-2", false)
	f.want(p, project.Running, "")
	f.ended(p, "job-1", false)
	f.want(p, project.Failed, "The runner was killed")
	before := f.db.Item(t, p.Key)
	f.ended(p, "job-1", false) // word comes twice
	if !reflect.DeepEqual(before, f.db.Item(t, p.Key)) {
		t.Error("the second word changed the item")
	}
}

func TestJobThatEndedWellWithoutAResultHasFailed(t *testing.T) {
	f := newFixture(t)
	p := f.claimed("site")
	f.ended(p, "job-1", true)
	f.want(p, project.Failed, "The job ended without reporting a result")
}

func TestUnclaimedExecutionFailsWithTheLastOfItsJobs(t *testing.T) {
	f := newFixture(t)
	p := f.running("site")
	f.jobs.alive = []string{"job-2"}
	f.ended(p, "job-1", false)
	f.want(p, project.Running, "")
	f.jobs.alive = nil
	f.ended(p, "job-2", false)
	f.want(p, project.Failed, "The runner was killed")
}

// An engine's list may be older than its word of the end.
func TestEndedJobThatIsStillListedIsNotAlive(t *testing.T) {
	f := newFixture(t)
	p := f.running("site")
	f.jobs.alive = []string{"job-1"}
	f.ended(p, "job-1", false)
	f.want(p, project.Failed, "The runner was killed")
}

func TestClaimWhileOtherJobsAreLookedForIsRespected(t *testing.T) {
	f := newFixture(t)
	p := f.running("site")
	f.jobs.lookedUp = func() {
		if _, err := f.db.Claim(t.Context(), p.Ref(), project.Claim{RunnerID: "runner-2", JobID: "job-2"}, noon); err != nil {
			t.Fatal(err)
		}
	}
	f.ended(p, "job-1", false)
	f.want(p, project.Running, "")
}

func TestFailureWithoutAReasonIsSaidInASentence(t *testing.T) {
	f := newFixture(t)
	p := f.claimed("site")
	if err := f.s.JobEnded(t.Context(), launch.JobEnd{Ref: p.Ref(), JobID: "job-1"}); err != nil {
		t.Fatal(err)
	}
	f.want(p, project.Failed, "The job failed without reporting a result")
}

func TestLateWordChangesNothing(t *testing.T) {
	f := newFixture(t)
	completed := f.claimed("completed")
	if _, err := f.db.Settle(t.Context(), project.Settlement{Ref: completed.Ref(), Event: project.Succeed, At: noon, Token: "t"}); err != nil {
		t.Fatal(err)
	}
	f.ended(completed, "job-1", false)
	f.want(completed, project.Completed, "")

	restarted := f.claimed("restarted")
	failed, err := f.db.Settle(t.Context(), project.Settlement{Ref: restarted.Ref(), Event: project.TimeOut, Error: "limit", At: noon, Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.db.Start(t.Context(), project.Start{Project: failed, Event: project.Restart, ExecutionID: 78, At: noon, Output: "o", Token: "r"}); err != nil {
		t.Fatal(err)
	}
	f.ended(restarted, "job-1", false)
	f.want(restarted, project.Running, "")
}

func TestWordOfADeletedProjectNeverMeetsItsNamesake(t *testing.T) {
	f := newFixture(t)
	old := f.claimed("site")
	f.db.Delete(t, old.Key)
	f.ended(old, "job-1", false)
	again := *old
	again.UID = "u-2"
	f.db.Insert(t, &again)
	f.ended(old, "job-1", false)
	f.want(&again, project.Running, "")
}

func TestFaultsAreToBeToldAgain(t *testing.T) {
	f := newFixture(t)
	p := f.running("site")
	f.jobs.err = errors.New("throttled")
	if err := f.s.JobEnded(t.Context(), launch.JobEnd{Ref: p.Ref(), JobID: "job-1"}); !errors.Is(err, f.jobs.err) {
		t.Errorf("got %v, want the engine's error", err)
	}
	f.want(p, project.Running, "")
	f.jobs.err = nil
	for _, operation := range []string{"GetItem", "UpdateItem"} {
		f.db.Wire.Set(func(op string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
			if op == operation {
				return dynamotest.Answer(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}`), nil
			}
			return next()
		})
		err := f.s.JobEnded(t.Context(), launch.JobEnd{Ref: p.Ref(), JobID: "job-1"})
		f.db.Wire.Set(nil)
		if project.CodeOf(err) != project.CodeUnavailable {
			t.Errorf("%s is throttled: got %v, want it to be told again", operation, err)
		}
		f.want(p, project.Running, "")
	}
	f.ended(p, "job-1", false)
	f.want(p, project.Failed, "The runner was killed")
}
