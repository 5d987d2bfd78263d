package dynamo_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
)

// trialQuota opens a database with a trialing tenant acme, and returns its quota.
func trialQuota(t *testing.T) (*dynamotest.DB, project.Quota) {
	t.Helper()
	db := dynamotest.Open(t)
	if _, err := db.PutTenant(t.Context(), &project.Tenant{ID: "acme", Subscription: project.Trialing}); err != nil {
		t.Fatal(err)
	}
	q, err := project.QuotaOf(tenantOf(t, db))
	if err != nil {
		t.Fatal(err)
	}
	return db, q
}

func fresh(name string, at time.Time) *project.Project {
	return project.NewProject("acme", project.Draft{Name: name}, at)
}

// counted returns the tenant's count as it is stored.
func counted(t *testing.T, db *dynamotest.DB) int {
	t.Helper()
	consistent := true
	out, err := db.Client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &db.Tables.Tenants, ConsistentRead: &consistent,
		Key: map[string]types.AttributeValue{
			"tenant_id": &types.AttributeValueMemberS{Value: "acme"}, "record": &types.AttributeValueMemberS{Value: "tenant"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	n, _ := out.Item["project_count"].(*types.AttributeValueMemberN)
	if n == nil {
		return -1
	}
	count, err := strconv.Atoi(n.Value)
	if err != nil {
		t.Fatal(err)
	}
	return count
}

func stored(t *testing.T, db *dynamotest.DB) int {
	t.Helper()
	n := 0
	for _, err := range db.Projects(t.Context(), project.Listing{TenantID: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// A correction that comes between a deletion and its decrement has counted the
// deletion already: the decrement must not count it again.
func TestDecrementThatACorrectionOvertookDoesNotStand(t *testing.T) {
	db, q := trialQuota(t)
	p, err := db.CreateProject(t.Context(), fresh("One", noon), q)
	if err != nil {
		t.Fatal(err)
	}
	later, overtaken := noon.Add(time.Hour), false
	db.Wire.Set(func(op string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
		if op == "UpdateItem" && !overtaken { // the decrement
			overtaken = true
			if _, err := db.CreateProject(t.Context(), fresh("Two", later), q); err != nil {
				t.Errorf("creating after the deletion: %v", err)
			}
		}
		return next()
	})
	if err := db.DeleteProject(t.Context(), p, tenantOf(t, db)); err != nil {
		t.Fatal(err)
	}
	db.Wire.Set(nil)
	if c, n := counted(t, db), stored(t, db); !overtaken || c != 1 || n != 1 {
		t.Errorf("%d counted, %d stored, want 1 and 1", c, n)
	}
	_, err = db.CreateProject(t.Context(), fresh("Three", later), q)
	wantCode(t, err, project.CodeTrialProject)
}

func TestDecrementIsSentOnce(t *testing.T) {
	db, _ := trialQuota(t)
	active, err := project.QuotaOf(&project.Tenant{Subscription: project.Active})
	if err != nil {
		t.Fatal(err)
	}
	var all []*project.Project
	for i := range 3 {
		p, err := db.CreateProject(t.Context(), fresh(fmt.Sprint(i), noon), active)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	tenant := tenantOf(t, db)
	db.Wire.LoseReply("UpdateItem", 1)
	if err := db.DeleteProject(t.Context(), all[0], tenant); err != nil {
		t.Fatal(err)
	}
	db.Wire.Set(nil)
	if got := counted(t, db); got != 2 {
		t.Errorf("%d counted, want 2", got)
	}
}

// Whatever fails, the count is never below the truth.
func TestCountIsNeverTooLow(t *testing.T) {
	db, _ := trialQuota(t)
	active, err := project.QuotaOf(&project.Tenant{Subscription: project.Active})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	chance := rand.New(rand.NewPCG(1, 2))
	db.Wire.Set(func(_ string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
		mu.Lock()
		n := chance.IntN(10)
		mu.Unlock()
		if n == 0 {
			return nil, errors.New("not sent")
		}
		resp, err := next()
		if n == 1 && err == nil {
			resp.Body.Close()
			return nil, errors.New("reply lost")
		}
		return resp, err
	})
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for range 15 {
				p, err := db.CreateProject(t.Context(), fresh(fmt.Sprint("Site ", worker), noon), active)
				if err != nil {
					continue
				}
				if worker%2 == 0 {
					_, _, tenant, err := db.Load(t.Context(), "none", acme)
					if err == nil {
						_ = db.DeleteProject(t.Context(), p, tenant)
					}
				}
			}
		})
	}
	wg.Wait()
	db.Wire.Set(nil)
	if c, n := counted(t, db), stored(t, db); c < n {
		t.Errorf("%d counted, %d stored", c, n)
	}
}

func TestCreateGivesUpWhereEveryIDIsTaken(t *testing.T) {
	db, _ := trialQuota(t)
	active, err := project.QuotaOf(&project.Tenant{Subscription: project.Active})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for part := range 10 {
		wg.Go(func() {
			for i := range project.MaxNamesakes / 10 {
				p := fresh("Site", noon)
				p.ProjectID = project.NumberedID("site", part*project.MaxNamesakes/10+i+1)
				if n := part*project.MaxNamesakes/10 + i + 1; n == 777 {
					continue
				}
				if _, err := db.PutProject(t.Context(), p); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	p, err := db.CreateProject(t.Context(), fresh("Site", noon), active)
	if err != nil || p.ProjectID != "site-777" {
		t.Fatalf("got %+v, %v, want the gap", p, err)
	}
	// Room in the quota, for another name's project has gone.
	other := project.Key{TenantID: "acme", ProjectID: "site-5"}
	if err := db.DeleteProject(t.Context(), db.Read(t, other), tenantOf(t, db)); err != nil {
		t.Fatal(err)
	}
	back := fresh("Site", noon)
	back.ProjectID = "site-5"
	db.Insert(t, back)
	before := counted(t, db)
	_, err = db.CreateProject(t.Context(), fresh("Site", noon), active)
	wantCode(t, err, project.CodeProjectIDsTaken)
	if after := counted(t, db); after != before {
		t.Errorf("a refusal left the count at %d, want %d", after, before)
	}
}
