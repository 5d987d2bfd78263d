package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/dynamo"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	site = project.Key{TenantID: "acme", ProjectID: "site"}
)

// sample is a project in a status, with what a project in that status has.
func sample(key project.Key, status project.Status) *project.Project {
	p := &project.Project{
		Key: key, UID: "uid-1", Version: 7, Name: "Site", Description: "A site", Objectives: "Home",
		ActivationCode: "hash", CreatedAt: noon.Add(-48 * time.Hour), Status: status,
	}
	if status == project.Pending {
		return p
	}
	p.ExecutionID, p.Attempt, p.StartedAt, p.Output = 1000, 1, noon.Add(-time.Hour), "/out/1000/"
	a := project.Attempt{ExecutionID: 1000, Number: 1, StartedAt: p.StartedAt, Output: p.Output, Operation: project.Run, StartedBy: "token-0"}
	switch status {
	case project.Running:
	case project.Completed:
		p.CompletedAt, p.Progress = noon.Add(-time.Minute), project.Progress{Percent: 100}
		a.CompletedAt, a.Outcome = p.CompletedAt, project.OutcomeCompleted
	case project.Failed:
		p.CompletedAt, p.Error = noon.Add(-time.Minute), "it broke"
		p.ClaimedAt, p.HeartbeatAt, p.Progress = noon.Add(-50*time.Minute), noon.Add(-2*time.Minute), project.Progress{Percent: 40, Message: "half"}
		a.CompletedAt, a.Outcome, a.Error, a.RunnerID, a.JobID = p.CompletedAt, project.OutcomeFailed, p.Error, "runner-0", "job-0"
	}
	p.Attempts = map[int64]project.Attempt{1000: a}
	return p
}

// apply makes the store do what an event is.
func apply(ctx context.Context, db *dynamotest.DB, p *project.Project, event project.Event, at time.Time) (*project.Project, error) {
	switch event {
	case project.Run, project.Restart:
		return db.Start(ctx, project.Start{Project: p, Event: event, ExecutionID: p.ExecutionID + 1, At: at, Output: "/out/new/", Token: "token-1"})
	default:
		return db.Settle(ctx, project.Settlement{Ref: p.Ref(), Event: event, Error: "the reason", At: at, Token: "token-1"})
	}
}

func TestEachTransitionWritesItsRowAndNothingElse(t *testing.T) {
	db := dynamotest.Open(t)
	for _, status := range project.Statuses {
		for _, event := range project.Events {
			if event == project.Create {
				continue // an insert: TestPutProjectInsertsOnce
			}
			t.Run(fmt.Sprintf("%s/%s", status, event), func(t *testing.T) {
				key := project.Key{TenantID: "acme", ProjectID: fmt.Sprintf("%s-%s", status, event)}
				p := db.Insert(t, sample(key, status))
				before := db.Item(t, key)
				_, err := apply(t.Context(), db, p, event, noon)
				after := db.Item(t, key)
				row, allowed := project.Next(status, event)
				if !allowed {
					if project.CodeOf(err) != project.CodeContended && project.CodeOf(err) != project.CodeAttemptClosed {
						t.Errorf("got %v, want a refusal", err)
					}
					if !reflect.DeepEqual(before, after) {
						t.Errorf("a refused event changed the item:\nbefore %v\nafter  %v", before, after)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := db.Read(t, key).Status; got != row.To {
					t.Errorf("status: got %s, want %s", got, row.To)
				}
				may := map[string]bool{"execution_status": true, "attempts": true, "status_shard": true}
				for _, f := range slices.Concat(row.Clears, row.Sets) {
					may[string(f)] = true
				}
				for name := range union(before, after) {
					if !may[name] && !reflect.DeepEqual(before[name], after[name]) {
						t.Errorf("%s changed from %v to %v, which the row does not name", name, before[name], after[name])
					}
				}
				for _, f := range row.Sets {
					if after[string(f)] == nil {
						t.Errorf("%s is absent, and the row sets it", f)
					}
				}
				for _, f := range row.Clears {
					if !slices.Contains(row.Sets, f) && after[string(f)] != nil {
						t.Errorf("%s is %v, and the row clears it", f, after[string(f)])
					}
				}
				if got, want := after["status_shard"] != nil, row.To == project.Running; got != want {
					t.Errorf("in the index: got %t, want %t", got, want)
				}
			})
		}
	}
}

func union(a, b map[string]types.AttributeValue) map[string]bool {
	all := map[string]bool{}
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return all
}

func TestPutProjectInsertsOnce(t *testing.T) {
	db := dynamotest.Open(t)
	db.Insert(t, sample(site, project.Pending))
	other := sample(site, project.Failed)
	if inserted, err := db.PutProject(t.Context(), other); err != nil || inserted {
		t.Errorf("second insert: got %t, %v, want false, nil", inserted, err)
	}
	if got := db.Read(t, site).Status; got != project.Pending {
		t.Errorf("status: got %s, want the first one's", got)
	}
}

func TestLostReplyOfEachInsertIsASuccess(t *testing.T) {
	db := dynamotest.Open(t)
	for name, insert := range map[string]func() (bool, error){
		"project": func() (bool, error) { return db.PutProject(t.Context(), sample(site, project.Failed)) },
		"tenant": func() (bool, error) {
			return db.PutTenant(t.Context(), &project.Tenant{ID: "acme", Name: "Acme", Subscription: project.Active})
		},
		"session": func() (bool, error) {
			return db.PutSession(t.Context(), &project.Session{TokenHash: "h", TenantID: "acme", ExpiresAt: noon.Add(time.Hour), LastSeen: noon}, noon)
		},
		"code": func() (bool, error) {
			return true, db.IssueCode(t.Context(), project.ActivationCode{Hash: "h", Hint: "WXYZ", IssuedAt: noon})
		},
	} {
		db.Wire.LoseReply("PutItem", 1)
		inserted, err := insert()
		calls := db.Wire.Calls()["PutItem"]
		db.Wire.Set(nil)
		if !inserted || err != nil || calls != 2 {
			t.Errorf("%s: got %t, %v after %d puts, want success after 2", name, inserted, err, calls)
		}
	}
}

func TestProjectSurvivesStorage(t *testing.T) {
	db := dynamotest.Open(t)
	want := db.Insert(t, sample(site, project.Failed))
	a := want.Attempts[1000]
	a.Late = &project.Late{Outcome: project.OutcomeCompleted, Error: "e", ReceivedAt: noon}
	want.Attempts[1000] = a
	want.ProjectID = "two"
	want.ActivationCodeRevokedAt = noon
	db.Insert(t, want)
	if got := db.Read(t, want.Key); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestStartRefusesWhatHasChangedSinceItWasRead(t *testing.T) {
	change := map[string]func(*project.Project){
		"version":      func(p *project.Project) { p.Version++ },
		"uid":          func(p *project.Project) { p.UID = "uid-2" },
		"execution id": func(p *project.Project) { p.ExecutionID = 999 },
		"status":       func(p *project.Project) { p.Status = project.Pending },
	}
	db := dynamotest.Open(t)
	for name, f := range change {
		key := project.Key{TenantID: "acme", ProjectID: name[:3]}
		p := db.Insert(t, sample(key, project.Failed))
		f(p)
		event := p.Status.StartEvent()
		_, err := db.Start(t.Context(), project.Start{Project: p, Event: event, ExecutionID: 2000, At: noon, Output: "o", Token: "x"})
		if !errors.Is(err, dynamo.ErrLostRace) {
			t.Errorf("%s: got %v, want a lost race", name, err)
		}
	}
}

// A restart that read attempt 1 while attempt 2 has come and failed must not
// overwrite it: status and project are the same again, the version is not.
func TestRestartThatReadAnOlderAttemptIsRefused(t *testing.T) {
	db := dynamotest.Open(t)
	read := db.Insert(t, sample(site, project.Failed))
	second, err := apply(t.Context(), db, read, project.Restart, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apply(t.Context(), db, second, project.Fail, noon); err != nil {
		t.Fatal(err)
	}
	before := db.Item(t, site)
	_, err = db.Start(t.Context(), project.Start{Project: read, Event: project.Restart, ExecutionID: 5000, At: noon, Output: "o", Token: "stale"})
	if !errors.Is(err, dynamo.ErrLostRace) {
		t.Errorf("got %v, want a lost race", err)
	}
	if !reflect.DeepEqual(before, db.Item(t, site)) {
		t.Error("the refused restart changed the item")
	}
}

// The reports: (aws/aws-sdk-java 2667, aws/aws-sdk-go 3765).
func TestLostReplyOfEachWriteIsASuccess(t *testing.T) {
	writes := map[string]func(context.Context, *dynamotest.DB, *project.Project) (*project.Project, error){
		"run": func(ctx context.Context, db *dynamotest.DB, p *project.Project) (*project.Project, error) {
			return apply(ctx, db, p, project.Run, noon)
		},
		"restart": func(ctx context.Context, db *dynamotest.DB, p *project.Project) (*project.Project, error) {
			return apply(ctx, db, p, project.Restart, noon)
		},
		"succeed": func(ctx context.Context, db *dynamotest.DB, p *project.Project) (*project.Project, error) {
			return apply(ctx, db, p, project.Succeed, noon)
		},
		"time_out": func(ctx context.Context, db *dynamotest.DB, p *project.Project) (*project.Project, error) {
			return apply(ctx, db, p, project.TimeOut, noon)
		},
		"claim": func(ctx context.Context, db *dynamotest.DB, p *project.Project) (*project.Project, error) {
			return db.Claim(ctx, p.Ref(), project.Claim{RunnerID: "r", JobID: "j"}, noon)
		},
	}
	from := map[string]project.Status{"run": project.Pending, "restart": project.Failed}
	db := dynamotest.Open(t)
	for name, f := range writes {
		t.Run(name, func(t *testing.T) {
			status, ok := from[name]
			if !ok {
				status = project.Running
			}
			p := db.Insert(t, sample(project.Key{TenantID: "acme", ProjectID: "lost-" + name}, status))
			db.Wire.LoseReply("UpdateItem", 1)
			defer db.Wire.Set(nil)
			got, err := f(t.Context(), db, p)
			if err != nil {
				t.Fatalf("got %v, want success", err)
			}
			if calls := db.Wire.Calls()["UpdateItem"]; calls != 2 {
				t.Errorf("the client sent the write %d times, want 2: the reply was not lost", calls)
			}
			if now := db.Read(t, p.Key); got.Status != now.Status || got.ExecutionID != now.ExecutionID {
				t.Errorf("got %s/%d, want what is stored: %s/%d", got.Status, got.ExecutionID, now.Status, now.ExecutionID)
			}
		})
	}
}

// Another's write is never taken for one's own: twins have different tokens,
// even where they came to the same execution id.
func TestAnothersStartIsNoSuccess(t *testing.T) {
	db := dynamotest.Open(t)
	p := db.Insert(t, sample(site, project.Pending))
	start := project.Start{Project: p, Event: project.Run, ExecutionID: 2000, At: noon, Output: "o", Token: "first", KeyHash: "k"}
	if _, err := db.Start(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	start.Token = "second"
	if _, err := db.Start(t.Context(), start); !errors.Is(err, dynamo.ErrLostRace) {
		t.Errorf("got %v, want a lost race", err)
	}
}

// (aws/aws-sdk-go-v2 2600)
func TestFailedConditionUsesTheImageWhereTheDatabaseSendsIt(t *testing.T) {
	db := dynamotest.Open(t)
	p := db.Insert(t, sample(site, project.Running))
	const failed = `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"`
	for _, c := range []struct {
		name, body string
		reads      int
		want       project.Status
	}{
		{"with image", failed + `,"Item":{"tenant_id":{"S":"acme"},"project_id":{"S":"site"},"execution_status":{"S":"completed"},"version":{"N":"9"}}}`, 0, project.Completed},
		{"without image", failed + `}`, 1, project.Running},
	} {
		t.Run(c.name, func(t *testing.T) {
			db.Wire.Set(func(op string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
				if op == "UpdateItem" {
					return dynamotest.Answer(400, c.body), nil
				}
				return next()
			})
			defer db.Wire.Set(nil)
			now, err := db.Settle(t.Context(), project.Settlement{Ref: p.Ref(), Event: project.Fail, Error: "e", At: noon, Token: "t"})
			if project.CodeOf(err) != project.CodeAttemptClosed {
				t.Fatalf("got %v, want %s", err, project.CodeAttemptClosed)
			}
			if now.Status != c.want {
				t.Errorf("status: got %s, want %s", now.Status, c.want)
			}
			if got := db.Wire.Calls()["GetItem"]; got != c.reads {
				t.Errorf("reads: got %d, want %d", got, c.reads)
			}
		})
	}
}

func TestSettleHonoursEachGuard(t *testing.T) {
	guards := map[string]func(*project.Settlement){
		"another execution": func(s *project.Settlement) { s.Ref.ExecutionID = 999 },
		"another uid":       func(s *project.Settlement) { s.Ref.ProjectUID = "uid-0" },
		"another runner":    func(s *project.Settlement) { s.Runner = "runner-2" },
		"unclaimed":         func(s *project.Settlement) { s.Unclaimed = true },
		"another start":     func(s *project.Settlement) { s.StartedAt = noon.Add(-2 * time.Hour) },
		"a newer heartbeat": func(s *project.Settlement) { s.HeartbeatAt = noon.Add(-time.Hour) },
	}
	db := dynamotest.Open(t)
	p := db.Insert(t, sample(site, project.Running))
	if _, err := db.Claim(t.Context(), p.Ref(), project.Claim{RunnerID: "runner-1", JobID: "job-1"}, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Heartbeat(t.Context(), p.Ref(), "runner-1", nil, noon); err != nil {
		t.Fatal(err)
	}
	before := db.Item(t, site)
	for name, set := range guards {
		s := project.Settlement{Ref: p.Ref(), Event: project.Fail, Error: "e", At: noon, Token: "t"}
		set(&s)
		now, err := db.Settle(t.Context(), s)
		if project.CodeOf(err) != project.CodeAttemptClosed || now == nil || now.Status != project.Running {
			t.Errorf("%s: got %v and %+v, want %s and the running project", name, err, now, project.CodeAttemptClosed)
		}
	}
	if !reflect.DeepEqual(before, db.Item(t, site)) {
		t.Error("a guarded settlement changed the item")
	}
	_, err := db.Settle(t.Context(), project.Settlement{
		Ref: p.Ref(), Event: project.Fail, Error: "e", At: noon, Token: "t",
		Runner: "runner-1", StartedAt: p.StartedAt, HeartbeatAt: noon,
	})
	if err != nil {
		t.Errorf("every guard holds: got %v, want success", err)
	}
}

func TestSettleOfAProjectThatIsGoneReturnsNone(t *testing.T) {
	db := dynamotest.Open(t)
	p, err := db.Settle(t.Context(), project.Settlement{Ref: sample(site, project.Running).Ref(), Event: project.Fail, At: noon, Token: "t"})
	if p != nil || project.CodeOf(err) != project.CodeAttemptClosed {
		t.Errorf("got %+v, %v, want none and %s", p, err, project.CodeAttemptClosed)
	}
	if db.Item(t, site) != nil {
		t.Error("the settlement made an item")
	}
}

func TestARunningProjectWithoutAnExecutionIDCanBeEnded(t *testing.T) {
	db := dynamotest.Open(t)
	p := sample(site, project.Running)
	p.ExecutionID, p.Attempts = 0, nil
	db.Insert(t, p)
	if _, err := db.Settle(t.Context(), project.Settlement{Ref: p.Ref(), Event: project.TimeOut, Error: "late", At: noon, Token: "t", StartedAt: p.StartedAt}); err != nil {
		t.Fatal(err)
	}
	if got := db.Read(t, site); got.Status != project.Failed || got.Error != "late" {
		t.Errorf("got %s %q, want failed, late", got.Status, got.Error)
	}
}

// A project that was deleted and made again under a living runner: nothing of
// the old one reaches the new one, though name, execution id and version agree.
func TestReportsOfADeletedProjectNeverMeetItsNamesake(t *testing.T) {
	db := dynamotest.Open(t)
	old := db.Insert(t, sample(site, project.Running))
	claim := project.Claim{RunnerID: "r", JobID: "j"}
	if _, err := db.Claim(t.Context(), old.Ref(), claim, noon); err != nil {
		t.Fatal(err)
	}
	db.Delete(t, site)
	again := sample(site, project.Running)
	again.UID = "uid-2"
	db.Insert(t, again)
	before := db.Item(t, site)
	for name, report := range map[string]func() error{
		"claim":     func() error { _, err := db.Claim(t.Context(), old.Ref(), claim, noon); return err },
		"heartbeat": func() error { _, err := db.Heartbeat(t.Context(), old.Ref(), "r", nil, noon); return err },
		"result": func() error {
			_, err := db.Settle(t.Context(), project.Settlement{Ref: old.Ref(), Event: project.Succeed, At: noon, Token: "t", Runner: "r"})
			return err
		},
	} {
		if err := report(); project.CodeOf(err) != project.CodeAttemptClosed {
			t.Errorf("%s: got %v, want %s", name, err, project.CodeAttemptClosed)
		}
	}
	if err := db.KeepLate(t.Context(), old.Ref(), "r", project.Late{Outcome: project.OutcomeCompleted, ReceivedAt: noon}); err != nil {
		t.Errorf("late result: got %v, want none kept and no error", err)
	}
	if !reflect.DeepEqual(before, db.Item(t, site)) {
		t.Error("a report of the deleted project changed the new one")
	}
}

func TestAStaleStartNeverMeetsANamesake(t *testing.T) {
	db := dynamotest.Open(t)
	read := db.Insert(t, sample(site, project.Pending))
	db.Delete(t, site)
	again := sample(site, project.Pending)
	again.UID = "uid-2"
	db.Insert(t, again)
	if _, err := apply(t.Context(), db, read, project.Run, noon); !errors.Is(err, dynamo.ErrLostRace) {
		t.Errorf("got %v, want a lost race", err)
	}
}

func TestOneRunnerClaims(t *testing.T) {
	db := dynamotest.Open(t)
	p := db.Insert(t, sample(site, project.Running))
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		granted []string
		others  = map[project.Code]int{}
	)
	for i := range 20 {
		wg.Go(func() {
			runner := fmt.Sprintf("runner-%d", i)
			_, err := db.Claim(t.Context(), p.Ref(), project.Claim{RunnerID: runner, JobID: "job-" + runner}, noon)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				granted = append(granted, runner)
			} else {
				others[project.CodeOf(err)]++
			}
		})
	}
	wg.Wait()
	if len(granted) != 1 || others[project.CodeAlreadyClaimed] != 19 {
		t.Fatalf("granted %v, refused %v; want one granted and 19 times %s", granted, others, project.CodeAlreadyClaimed)
	}
	again, err := db.Claim(t.Context(), p.Ref(), project.Claim{RunnerID: granted[0], JobID: "job-" + granted[0]}, noon.Add(time.Hour))
	if err != nil {
		t.Fatalf("the same runner again: %v", err)
	}
	if !again.ClaimedAt.Equal(noon) {
		t.Errorf("claimed at %s, want the first time %s", again.ClaimedAt, noon)
	}
}

func TestHeartbeatsLeaveTheVersion(t *testing.T) {
	db := dynamotest.Open(t)
	p := db.Insert(t, sample(site, project.Running))
	claimed, err := db.Claim(t.Context(), p.Ref(), project.Claim{RunnerID: "r", JobID: "j"}, noon)
	if err != nil {
		t.Fatal(err)
	}
	beat, err := db.Heartbeat(t.Context(), p.Ref(), "r", &project.Progress{Percent: 140, Message: "all\x00"}, noon.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if beat.Version != claimed.Version {
		t.Errorf("version: got %d, want %d", beat.Version, claimed.Version)
	}
	if want := (project.Progress{Percent: 100, Message: "all"}); beat.Progress != want {
		t.Errorf("progress: got %+v, want %+v", beat.Progress, want)
	}
	if _, err := db.Heartbeat(t.Context(), p.Ref(), "r", nil, noon.Add(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := db.Read(t, site); got.Progress != beat.Progress || !got.HeartbeatAt.Equal(noon.Add(2*time.Second)) {
		t.Errorf("got %+v at %s, want the progress as it was and the new time", got.Progress, got.HeartbeatAt)
	}
	if _, err := db.Heartbeat(t.Context(), p.Ref(), "another", nil, noon); project.CodeOf(err) != project.CodeAttemptClosed {
		t.Errorf("another runner's heartbeat: got %v, want %s", err, project.CodeAttemptClosed)
	}
}

// (oban-bg/oban 532; taranis-ai PR 966)
func TestLateResultIsKeptOnItsOwnAttemptAndNeverApplied(t *testing.T) {
	db := dynamotest.Open(t)
	p := db.Insert(t, sample(site, project.Failed)) // attempt 1, by runner-0
	second, err := apply(t.Context(), db, p, project.Restart, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apply(t.Context(), db, second, project.Succeed, noon); err != nil {
		t.Fatal(err)
	}
	late := project.Late{Outcome: project.OutcomeFailed, Error: "too late", ReceivedAt: noon.Add(time.Second)}
	if err := db.KeepLate(t.Context(), p.Ref(), "runner-0", late); err != nil {
		t.Fatal(err)
	}
	if err := db.KeepLate(t.Context(), p.Ref(), "runner-0", project.Late{Outcome: project.OutcomeCompleted, ReceivedAt: noon.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	got := db.Read(t, site)
	if got.Status != project.Completed || got.Error != "" {
		t.Errorf("got %s %q, want completed", got.Status, got.Error)
	}
	if l := got.Attempts[1000].Late; l == nil || *l != late {
		t.Errorf("attempt 1's late result: got %+v, want the first, %+v", l, late)
	}
	if l := got.Attempts[second.ExecutionID].Late; l != nil {
		t.Errorf("attempt 2's late result: got %+v, want none", l)
	}
}

func TestTheLastTenAttemptsAreRemembered(t *testing.T) {
	db := dynamotest.Open(t)
	p := db.Insert(t, sample(site, project.Failed))
	for range 15 {
		var err error
		if p, err = apply(t.Context(), db, p, project.Restart, noon); err != nil {
			t.Fatal(err)
		}
		if p, err = apply(t.Context(), db, p, project.Fail, noon); err != nil {
			t.Fatal(err)
		}
	}
	history := db.Read(t, site).History()
	if len(history) != project.MaxAttempts {
		t.Fatalf("got %d attempts, want %d", len(history), project.MaxAttempts)
	}
	for i, a := range history {
		if want := 16 - i; a.Number != want {
			t.Errorf("entry %d: got attempt %d, want %d", i, a.Number, want)
		}
	}
}

func TestIndexHoldsWhatRunsAndNothingElse(t *testing.T) {
	db := dynamotest.Open(t)
	want := map[string]bool{}
	for i := range 40 {
		status := project.Statuses[i%len(project.Statuses)]
		p := db.Insert(t, sample(project.Key{TenantID: "acme", ProjectID: fmt.Sprintf("p%d", i)}, status))
		if status == project.Running {
			want[p.ProjectID] = true
		}
	}
	got := map[string]bool{}
	for _, c := range db.Nominated(t, noon) {
		got[c.ProjectID] = true
		if c.ExecutionID != 1000 || !c.StartedAt.Equal(noon.Add(-time.Hour)) {
			t.Errorf("%s: got %+v", c.ProjectID, c)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if early := db.Nominated(t, noon.Add(-time.Hour)); len(early) != 0 {
		t.Errorf("started exactly at the cutoff: got %v, want none", early)
	}
}

// (river PR 1318, brendanhay/amazonka 340)
func TestIndexPagesOnThroughAnEmptyPage(t *testing.T) {
	db := dynamotest.Open(t)
	p := db.Insert(t, sample(site, project.Running))
	queries := 0
	db.Wire.Set(func(op string, number int, next func() (*http.Response, error)) (*http.Response, error) {
		if op == "Query" {
			if queries++; queries == 1 {
				return dynamotest.Answer(200, `{"Items":[],"Count":0,"ScannedCount":0,"LastEvaluatedKey":{"tenant_id":{"S":"a"},"project_id":{"S":"a"},"status_shard":{"S":"running#00"},"execution_started_at":{"S":"2020-01-01T00:00:00.000Z"}}}`), nil
			}
		}
		return next()
	})
	defer db.Wire.Set(nil)
	pages, found := 0, 0
	for shard := range project.Shards {
		for page, err := range db.RunningSince(t.Context(), shard, noon) {
			if err != nil {
				t.Fatal(err)
			}
			if shard == 0 && pages < 2 {
				pages++
			}
			found += len(page)
		}
	}
	if pages != 2 {
		t.Errorf("pages of the first shard: got %d, want 2: the empty one and the one after it", pages)
	}
	_ = p
	if queries != project.Shards+1 {
		t.Errorf("queries: got %d, want %d", queries, project.Shards+1)
	}
	if found > 1 {
		t.Errorf("found %d, want at most the one", found)
	}
}

// An entry that can't be read must not keep those after it running for ever.
func TestIndexReadsOnPastABadEntry(t *testing.T) {
	db := dynamotest.Open(t)
	const page = `{"Items":[{"tenant_id":{"S":"acme"},"project_id":{"S":"bad"},"execution_id":{"S":"text"},"execution_started_at":{"S":"2026-01-01T00:00:00.000Z"}},` +
		`{"tenant_id":{"S":"acme"},"project_id":{"S":"worse"},"execution_started_at":{"S":"long ago"}},` +
		`{"tenant_id":{"S":"acme"},"project_id":{"S":"good"},"execution_id":{"N":"7"},"execution_started_at":{"S":"2026-01-01T00:00:00.000Z"}}]%s}`
	db.Wire.Set(func(_ string, n int, _ func() (*http.Response, error)) (*http.Response, error) {
		if n == 1 {
			return dynamotest.Answer(200, fmt.Sprintf(page, `,"LastEvaluatedKey":{"tenant_id":{"S":"a"}}`)), nil
		}
		return dynamotest.Answer(200, fmt.Sprintf(page, "")), nil
	})
	defer db.Wire.Set(nil)
	pages, good, bad := 0, 0, 0
	for page, err := range db.RunningSince(t.Context(), 0, noon) {
		pages++
		good += len(page)
		if err != nil && strings.Contains(err.Error(), "project bad") && strings.Contains(err.Error(), "project worse") {
			bad++
		}
	}
	if pages != 2 || good != 2 || bad != 2 {
		t.Errorf("got %d pages with %d candidates and %d errors, want 2 of each", pages, good, bad)
	}
}

func TestLoadTellsUnreadFromAbsent(t *testing.T) {
	db := dynamotest.Open(t)
	if _, err := db.PutTenant(t.Context(), &project.Tenant{ID: "acme", Name: "Acme", Subscription: project.Active}); err != nil {
		t.Fatal(err)
	}
	db.Insert(t, sample(site, project.Pending))
	sess := &project.Session{TokenHash: "h", TenantID: "acme", ExpiresAt: noon.Add(time.Hour), LastSeen: noon}
	if _, err := db.PutSession(t.Context(), sess, noon); err != nil {
		t.Fatal(err)
	}
	unprocessed := fmt.Sprintf(`{"Responses":{},"UnprocessedKeys":{%q:{"Keys":[{"tenant_id":{"S":"acme"},"project_id":{"S":"site"}}],"ConsistentRead":true},%q:{"Keys":[{"token_hash":{"S":"h"}}],"ConsistentRead":true},%q:{"Keys":[{"tenant_id":{"S":"acme"},"record":{"S":"tenant"}}],"ConsistentRead":true}}}`,
		db.Tables.Projects, db.Tables.Sessions, db.Tables.Tenants)

	t.Run("a batch that is left unprocessed once is read again", func(t *testing.T) {
		db.Wire.Set(func(op string, n int, next func() (*http.Response, error)) (*http.Response, error) {
			if op == "BatchGetItem" && n == 1 {
				return dynamotest.Answer(200, unprocessed), nil
			}
			return next()
		})
		defer db.Wire.Set(nil)
		s, p, tenant, err := db.Load(t.Context(), "h", site)
		if err != nil || s == nil || p == nil || tenant == nil {
			t.Fatalf("got %v %v %v, %v, want all three", s, p, tenant, err)
		}
		if *s != *sess || tenant.Subscription != project.Active {
			t.Errorf("got %+v, %+v", s, tenant)
		}
	})
	t.Run("one that stays unprocessed is unavailable, not absent", func(t *testing.T) {
		db.Wire.Set(func(op string, n int, next func() (*http.Response, error)) (*http.Response, error) {
			return dynamotest.Answer(200, unprocessed), nil
		})
		defer db.Wire.Set(nil)
		_, _, _, err := db.Load(t.Context(), "h", site)
		if project.CodeOf(err) != project.CodeUnavailable {
			t.Errorf("got %v, want %s", err, project.CodeUnavailable)
		}
	})
	t.Run("throttling that stays is unavailable", func(t *testing.T) {
		db.Wire.Set(func(string, int, func() (*http.Response, error)) (*http.Response, error) {
			return dynamotest.Answer(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}`), nil
		})
		defer db.Wire.Set(nil)
		_, _, _, err := db.Load(t.Context(), "h", site)
		if project.CodeOf(err) != project.CodeUnavailable {
			t.Errorf("got %v, want %s", err, project.CodeUnavailable)
		}
	})
	t.Run("what is not there is nil", func(t *testing.T) {
		s, p, tenant, err := db.Load(t.Context(), "nobody", project.Key{TenantID: "none", ProjectID: "none"})
		if s != nil || p != nil || tenant != nil || err != nil {
			t.Errorf("got %v %v %v, %v, want nothing", s, p, tenant, err)
		}
	})
}

func TestSessionIsTouchedOnlyWhileItExists(t *testing.T) {
	db := dynamotest.Open(t)
	if err := db.TouchSession(t.Context(), "gone", noon); err != nil {
		t.Fatal(err)
	}
	if s, _, _, err := db.Load(t.Context(), "gone", project.Key{TenantID: "acme"}); s != nil || err != nil {
		t.Errorf("got %+v, %v: the touch made a session", s, err)
	}
}

func TestPutSessionReplacesOnlyADeadOne(t *testing.T) {
	db := dynamotest.Open(t)
	put := func(expires, seen, now time.Time) bool {
		ok, err := db.PutSession(t.Context(), &project.Session{TokenHash: "h", TenantID: "acme", ExpiresAt: expires, LastSeen: seen}, now)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !put(noon.Add(time.Hour), noon, noon) {
		t.Error("absent: not inserted")
	}
	if put(noon.Add(2*time.Hour), noon, noon.Add(time.Minute)) {
		t.Error("alive: replaced")
	}
	if !put(noon.Add(2*time.Hour), noon.Add(31*time.Minute), noon.Add(31*time.Minute)) {
		t.Error("idle: not replaced")
	}
	if !put(noon.Add(5*time.Hour), noon.Add(2*time.Hour), noon.Add(2*time.Hour)) {
		t.Error("expired: not replaced")
	}
}

// (BrighterCommand/Brighter 2810)
func TestShardsAreEven(t *testing.T) {
	db := dynamotest.Open(t)
	if testing.Short() {
		t.Skip("short: 10,000 inserts")
	}
	const n = 10_000
	work := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range work {
				p := sample(project.Key{TenantID: fmt.Sprintf("tenant-%d", i%37), ProjectID: fmt.Sprintf("project-%d", i)}, project.Running)
				if _, err := db.PutProject(t.Context(), p); err != nil {
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
	for shard := range project.Shards {
		got := 0
		for page, err := range db.RunningSince(t.Context(), shard, noon) {
			if err != nil {
				t.Fatal(err)
			}
			got += len(page)
		}
		if mean := n / project.Shards; got < mean*8/10 || got > mean*12/10 {
			t.Errorf("shard %d holds %d, want %d within 20 %%", shard, got, mean)
		}
	}
}
