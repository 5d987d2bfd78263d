package dynamo_test

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"testing"
	"time"

	"rekindle/internal/dynamo"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
)

// sorted collects what a list yields, as text in order.
func sorted[T any](t *testing.T, list iter.Seq2[T, error], text func(T) string) []string {
	t.Helper()
	all := []string{}
	for v, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text(v))
	}
	slices.Sort(all)
	return all
}

func keyText(p *project.Project) string { return p.TenantID + "/" + p.ProjectID }

func putTenant(t *testing.T, db *dynamotest.DB, id string, state project.Subscription) {
	t.Helper()
	tenant := &project.Tenant{ID: id, Name: "The " + id, Slug: id, Email: id + "@example.com", Subscription: state}
	if put, err := db.PutTenant(t.Context(), tenant); err != nil || !put {
		t.Fatalf("putting tenant %s: got %t, %v", id, put, err)
	}
}

func putSession(t *testing.T, db *dynamotest.DB, tenantID, hash string, expires time.Time) {
	t.Helper()
	s := &project.Session{TokenHash: hash, TenantID: tenantID, ExpiresAt: expires, LastSeen: noon}
	if put, err := db.PutSession(t.Context(), s, noon); err != nil || !put {
		t.Fatalf("putting session %s: got %t, %v", hash, put, err)
	}
}

func TestListTenantsYieldsTenantsAndNothingElseOfTheirTable(t *testing.T) {
	db := dynamotest.Open(t)
	if got := sorted(t, db.ListTenants(t.Context()), func(x *project.Tenant) string { return x.ID }); len(got) != 0 {
		t.Errorf("with no tenant: got %v", got)
	}
	if err := db.IssueCode(t.Context(), project.ActivationCode{Hash: "hash", IssuedAt: noon}); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 5 {
		id := fmt.Sprintf("tenant-%d", i)
		putTenant(t, db, id, project.Active)
		want = append(want, id)
	}
	if got := sorted(t, db.ListTenants(t.Context()), func(x *project.Tenant) string { return x.ID }); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSetSubscriptionWritesTheStateAlone(t *testing.T) {
	db := dynamotest.Open(t)
	putTenant(t, db, "acme", project.Trialing)
	before, err := db.GetTenant(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range append(slices.Clone(project.Subscriptions), project.NoSubscription) {
		wrote, err := db.SetSubscription(t.Context(), "acme", state)
		if err != nil {
			t.Fatalf("%q: %v", state, err)
		}
		read, err := db.GetTenant(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		want := *before
		want.Subscription = state
		if *wrote != want || *read != want {
			t.Errorf("%q: wrote %+v, read %+v, want %+v", state, *wrote, *read, want)
		}
	}
}

func TestSetSubscriptionMakesNoTenant(t *testing.T) {
	db := dynamotest.Open(t)
	if _, err := db.SetSubscription(t.Context(), "nobody", project.Active); !errors.Is(err, dynamo.ErrNoTenant) {
		t.Errorf("got %v, want %v", err, dynamo.ErrNoTenant)
	}
	if _, err := db.GetTenant(t.Context(), "nobody"); !errors.Is(err, dynamo.ErrNoTenant) {
		t.Errorf("afterwards: got %v, want %v", err, dynamo.ErrNoTenant)
	}
}

func TestListProjectsSelects(t *testing.T) {
	db := dynamotest.Open(t)
	for _, tenant := range []string{"acme", "zeta"} {
		for _, status := range project.Statuses {
			db.Insert(t, sample(project.Key{TenantID: tenant, ProjectID: string(status)}, status))
		}
	}
	young := sample(project.Key{TenantID: "acme", ProjectID: "young"}, project.Running)
	young.StartedAt = noon.Add(-time.Minute)
	db.Insert(t, young)
	undated := sample(project.Key{TenantID: "acme", ProjectID: "undated"}, project.Failed)
	undated.CompletedAt = time.Time{}
	db.Insert(t, undated)

	for _, c := range []struct {
		selection dynamo.Selection
		want      []string
	}{
		{dynamo.Selection{Status: project.Pending}, []string{"acme/pending", "zeta/pending"}},
		{dynamo.Selection{Status: project.Completed}, []string{"acme/completed", "zeta/completed"}},
		{dynamo.Selection{Status: project.Running}, []string{"acme/running", "acme/young", "zeta/running"}},
		{dynamo.Selection{Status: project.Running, Before: noon.Add(-30 * time.Minute)}, []string{"acme/running", "zeta/running"}},
		{dynamo.Selection{Status: project.Running, Before: noon.Add(-time.Hour)}, []string{}},
		{dynamo.Selection{Status: project.Running, TenantID: "acme"}, []string{"acme/running", "acme/young"}},
		{dynamo.Selection{Status: project.Running, TenantID: "acme", Before: noon.Add(-30 * time.Minute)}, []string{"acme/running"}},
		{dynamo.Selection{Status: project.Failed}, []string{"acme/failed", "acme/undated", "zeta/failed"}},
		{dynamo.Selection{Status: project.Failed, Before: noon}, []string{"acme/failed", "zeta/failed"}},
		{dynamo.Selection{Status: project.Failed, TenantID: "nobody"}, []string{}},
	} {
		if got := sorted(t, db.ListProjects(t.Context(), c.selection), keyText); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v, want %v", c.selection, got, c.want)
		}
	}
}

// A batch takes 100 keys and a page of the index has more.
func TestListProjectsReadsMoreThanOneBatch(t *testing.T) {
	db := dynamotest.Open(t)
	var want []string
	for i := range 16 * 20 {
		key := project.Key{TenantID: "acme", ProjectID: fmt.Sprintf("p%03d", i)}
		db.Insert(t, sample(key, project.Running))
		want = append(want, "acme/"+key.ProjectID)
	}
	if got := sorted(t, db.ListProjects(t.Context(), dynamo.Selection{Status: project.Running}), keyText); !slices.Equal(got, want) {
		t.Errorf("got %d projects, want %d", len(got), len(want))
	}
}

func TestListsPageToTheEnd(t *testing.T) {
	db := dynamotest.Open(t)
	// A page ends at 1 MB: three of these fill one, and the first pages have
	// nothing that the filter lets through.
	big := make([]byte, 390_000)
	for i := range big {
		big[i] = 'x'
	}
	for i := range 8 {
		p := sample(project.Key{TenantID: "acme", ProjectID: fmt.Sprintf("p%d", i)}, project.Pending)
		p.Objectives = string(big)
		if i == 7 {
			p.Status = project.Failed
		}
		db.Insert(t, p)
	}
	for _, c := range []struct {
		operation string
		selection dynamo.Selection
	}{
		{"Scan", dynamo.Selection{Status: project.Failed}},
		{"Query", dynamo.Selection{Status: project.Failed, TenantID: "acme"}},
	} {
		db.Wire.Set(func(_ string, _ int, next func() (*http.Response, error)) (*http.Response, error) { return next() })
		if got, want := sorted(t, db.ListProjects(t.Context(), c.selection), keyText), []string{"acme/p7"}; !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", c.operation, got, want)
		}
		if n := db.Wire.Calls()[c.operation]; n < 3 {
			t.Errorf("%s: %d pages were read, want 3 or more", c.operation, n)
		}
	}
}

func TestListsStopAtAFault(t *testing.T) {
	db := dynamotest.Open(t)
	putTenant(t, db, "acme", project.Active)
	db.Wire.Set(func(string, int, func() (*http.Response, error)) (*http.Response, error) {
		return dynamotest.Answer(400, `{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","message":"no"}`), nil
	})
	lists := map[string]error{}
	collect := func(name string, err error) { lists[name] = cmp.Or(lists[name], err) }
	for _, err := range db.ListTenants(t.Context()) {
		collect("tenants", err)
	}
	for _, s := range project.Statuses {
		for _, err := range db.ListProjects(t.Context(), dynamo.Selection{Status: s}) {
			collect(string(s), err)
		}
	}
	_, err := db.RevokeSessions(t.Context(), "acme")
	collect("sessions", err)
	for name, err := range lists {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if len(lists) != 2+len(project.Statuses) {
		t.Errorf("got %d answers: %v", len(lists), lists)
	}
}

func TestRevokeSessionsEndsThoseOfOneTenant(t *testing.T) {
	db := dynamotest.Open(t)
	for i := range 3 {
		putSession(t, db, "acme", fmt.Sprintf("hash-%d", i), noon.Add(time.Hour))
	}
	putSession(t, db, "acme", "hash-old", noon.Add(-time.Hour))
	putSession(t, db, "acme-2", "hash-other", noon.Add(time.Hour))
	n, err := db.RevokeSessions(t.Context(), "acme")
	if err != nil || n != 4 {
		t.Errorf("got %d, %v, want 4", n, err)
	}
	for hash, want := range map[string]bool{"hash-0": false, "hash-2": false, "hash-old": false, "hash-other": true} {
		s, _, _, err := db.Load(t.Context(), hash, project.Key{TenantID: "acme"})
		if err != nil || (s != nil) != want {
			t.Errorf("%s: got %v, %v, want it there: %t", hash, s, err, want)
		}
	}
}

func TestRevokeSessionsMeetsASessionMadeMeanwhile(t *testing.T) {
	db := dynamotest.Open(t)
	putSession(t, db, "acme", "hash-1", noon.Add(time.Hour))
	db.Wire.Set(func(op string, n int, next func() (*http.Response, error)) (*http.Response, error) {
		resp, err := next()
		if op == "Scan" && n == 1 {
			putSession(t, db, "acme", "hash-2", noon.Add(time.Hour))
		}
		return resp, err
	})
	if n, err := db.RevokeSessions(t.Context(), "acme"); err != nil || n != 2 {
		t.Errorf("got %d, %v, want 2", n, err)
	}
}

func TestRevokeSessionSaysWhetherThereWasOne(t *testing.T) {
	db := dynamotest.Open(t)
	putSession(t, db, "acme", "hash-1", noon.Add(time.Hour))
	for i, want := range []bool{true, false} {
		if got, err := db.RevokeSession(t.Context(), "hash-1"); err != nil || got != want {
			t.Errorf("time %d: got %t, %v, want %t", i+1, got, err, want)
		}
	}
}
