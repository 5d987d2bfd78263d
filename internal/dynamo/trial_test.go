package dynamo_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"rekindle/internal/dynamo"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
)

var acme = project.Key{TenantID: "acme"}

func tenantOf(t *testing.T, db *dynamotest.DB) *project.Tenant {
	t.Helper()
	_, _, tenant, err := db.Load(t.Context(), "none", acme)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

// trial makes a trialing tenant with pending projects of these names.
func trial(t *testing.T, names ...string) (*dynamotest.DB, []*project.Project) {
	t.Helper()
	db := dynamotest.Open(t)
	if _, err := db.PutTenant(t.Context(), &project.Tenant{ID: "acme", Subscription: project.Trialing}); err != nil {
		t.Fatal(err)
	}
	var all []*project.Project
	for _, n := range names {
		p := sample(project.Key{TenantID: "acme", ProjectID: n}, project.Pending)
		p.UID = "uid-" + n
		all = append(all, db.Insert(t, p))
	}
	return db, all
}

func startOf(p *project.Project, id int64) project.Start {
	return project.Start{Project: p, Event: p.Status.StartEvent(), ExecutionID: id, At: noon, Output: "o", Token: fmt.Sprintf("token-%s-%d", p.ProjectID, id)}
}

func take(t *testing.T, db *dynamotest.DB, s project.Start) (project.Start, error) {
	t.Helper()
	p, err := db.TakeTrialSlot(t.Context(), tenantOf(t, db), s)
	s.Project = p
	return s, err
}

func TestTrialSlotIsTakenWhileItsExecutionRuns(t *testing.T) {
	db, p := trial(t, "one", "two")
	first, err := take(t, db, startOf(p[0], 100))
	if err != nil {
		t.Fatal(err)
	}
	running, err := db.Start(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := take(t, db, startOf(p[1], 200)); project.CodeOf(err) != project.CodeTrialSlotTaken {
		t.Fatalf("got %v, want %s", err, project.CodeTrialSlotTaken)
	}
	if _, err := db.Settle(t.Context(), project.Settlement{Ref: running.Ref(), Event: project.Fail, Error: "e", At: noon, Token: "t"}); err != nil {
		t.Fatal(err)
	}
	second, err := take(t, db, startOf(p[1], 200))
	if err != nil {
		t.Fatalf("after its end: %v", err)
	}
	if _, err := db.Start(t.Context(), second); err != nil {
		t.Fatal(err)
	}
}

// A request that took the slot and stalled before its start must not start
// after another has found the slot dead and taken it.
func TestStalledStartIsVoidOnceItsSlotIsTaken(t *testing.T) {
	for _, other := range []string{"another project", "the same project"} {
		t.Run(other, func(t *testing.T) {
			db, p := trial(t, "one", "two")
			stalled, err := take(t, db, startOf(p[0], 100))
			if err != nil {
				t.Fatal(err)
			}
			rival := p[1]
			if other == "the same project" {
				rival = db.Read(t, p[0].Key)
			}
			second, err := take(t, db, startOf(rival, 200))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Start(t.Context(), stalled); !errors.Is(err, dynamo.ErrLostRace) {
				t.Errorf("the stalled start: got %v, want a lost race", err)
			}
			if _, err := db.Start(t.Context(), second); err != nil {
				t.Errorf("the rival's start: %v", err)
			}
		})
	}
}

func TestSlotOfADeletedProjectIsFree(t *testing.T) {
	db, p := trial(t, "one", "two")
	first, err := take(t, db, startOf(p[0], 100))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Start(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	db.Delete(t, p[0].Key)
	if _, err := take(t, db, startOf(p[1], 200)); err != nil {
		t.Errorf("got %v, want the slot", err)
	}
}

func TestLostReplyOfTheSlotsWriteIsASuccess(t *testing.T) {
	db, p := trial(t, "one")
	tenant := tenantOf(t, db)
	db.Wire.LoseReply("UpdateItem", 1)
	defer db.Wire.Set(nil)
	if _, err := db.TakeTrialSlot(t.Context(), tenant, startOf(p[0], 100)); err != nil {
		t.Errorf("got %v, want success", err)
	}
	if n := db.Wire.Calls()["UpdateItem"]; n != 2 {
		t.Errorf("writes: got %d, want 2", n)
	}
}

func TestFirstTrialStartTakesOneWriteForTheSlot(t *testing.T) {
	db, p := trial(t, "one")
	tenant := tenantOf(t, db)
	db.Wire.Set(func(_ string, _ int, next func() (*http.Response, error)) (*http.Response, error) { return next() })
	if _, err := db.TakeTrialSlot(t.Context(), tenant, startOf(p[0], 100)); err != nil {
		t.Fatal(err)
	}
	if calls := db.Wire.Calls(); calls["UpdateItem"] != 1 || len(calls) != 1 {
		t.Errorf("calls: got %v, want one UpdateItem", calls)
	}
}

func TestAtMostOneTrialProjectRuns(t *testing.T) {
	names := make([]string, 8)
	for i := range names {
		names[i] = fmt.Sprintf("p%d", i)
	}
	db, projects := trial(t, names...)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			p, err := db.Get(t.Context(), projects[i%len(projects)].Key)
			if err != nil {
				t.Error(err)
				return
			}
			if p.Status != project.Pending {
				return
			}
			_, _, tenant, err := db.Load(t.Context(), "none", acme)
			if err != nil {
				t.Error(err)
				return
			}
			s := startOf(p, int64(1000+i))
			if s.Project, err = db.TakeTrialSlot(t.Context(), tenant, s); err != nil {
				if code := project.CodeOf(err); code != project.CodeContended && code != project.CodeTrialSlotTaken {
					t.Error(err)
				}
				return
			}
			if _, err := db.Start(t.Context(), s); err != nil && !errors.Is(err, dynamo.ErrLostRace) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if running := db.Nominated(t, noon.Add(1)); len(running) > 1 {
		t.Errorf("%d trial projects run at once: %v", len(running), running)
	}
}
