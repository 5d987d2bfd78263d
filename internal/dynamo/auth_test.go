package dynamo_test

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rekindle/internal/dynamo"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
)

func named(id, slug string) *project.Tenant {
	return &project.Tenant{ID: id, Name: id, Slug: slug, Email: id + "@example.com"}
}

func TestSlugIsClaimedByOneOfManyTenants(t *testing.T) {
	db := dynamotest.Open(t)
	var created atomic.Int32
	var winner atomic.Value
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			id := "t" + strconv.Itoa(i)
			ok, err := db.PutTenant(t.Context(), named(id, "acme"))
			if err != nil {
				t.Error(err)
			}
			if ok {
				created.Add(1)
				winner.Store(id)
			}
		})
	}
	wg.Wait()
	if n := created.Load(); n != 1 {
		t.Fatalf("%d tenants have the slug, want 1", n)
	}
	got, err := db.TenantBySlug(t.Context(), "acme")
	if err != nil || got == nil || got.ID != winner.Load() {
		t.Errorf("the slug names %+v, %v, want %s", got, err, winner.Load())
	}
	n := 0
	for _, err := range db.ListTenants(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("there are %d tenants, want the one", n)
	}
}

func TestOneTenantOfManySlugsIsCreatedAndHoldsOneClaim(t *testing.T) {
	db := dynamotest.Open(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := db.PutTenant(t.Context(), named("acme", "s"+strconv.Itoa(i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	tenant, err := db.GetTenant(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		slug := "s" + strconv.Itoa(i)
		if slug == tenant.Slug {
			continue
		}
		if ok, err := db.PutTenant(t.Context(), named("t"+slug, slug)); err != nil || !ok {
			t.Errorf("the slug %s of a tenant that lost is kept: %t, %v", slug, ok, err)
		}
	}
}

func TestTenantCutOffAfterItsClaimHeals(t *testing.T) {
	db := dynamotest.Open(t)
	broken := errors.New("crash")
	db.Wire.Set(func(op string, n int, next func() (*http.Response, error)) (*http.Response, error) {
		if op == "PutItem" && n > 1 { // the claim is written, the tenant never
			return nil, broken
		}
		return next()
	})
	if ok, err := db.PutTenant(t.Context(), named("acme", "acme")); err == nil || ok {
		t.Fatalf("got %t, %v, want the crash", ok, err)
	}
	db.Wire.Set(nil)
	if got, err := db.TenantBySlug(t.Context(), "acme"); got != nil || err != nil {
		t.Errorf("a claim alone names %+v, %v", got, err)
	}
	if ok, err := db.PutTenant(t.Context(), named("rival", "acme")); err != nil || ok {
		t.Errorf("another tenant took the slug: %t, %v", ok, err)
	}
	if _, err := db.GetTenant(t.Context(), "rival"); !errors.Is(err, dynamo.ErrNoTenant) {
		t.Errorf("a tenant without its slug was written: %v", err)
	}
	if ok, err := db.PutTenant(t.Context(), named("acme", "acme")); err != nil || !ok {
		t.Fatalf("again: %t, %v, want it created", ok, err)
	}
	if ok, err := db.PutTenant(t.Context(), named("acme", "acme")); err != nil || ok {
		t.Errorf("a third time: %t, %v, want nothing done", ok, err)
	}
	if got, err := db.TenantBySlug(t.Context(), "acme"); err != nil || got == nil || got.ID != "acme" {
		t.Errorf("the slug names %+v, %v", got, err)
	}
}

func TestTenantIsCreatedDespiteALostReply(t *testing.T) {
	for n := 1; n <= 2; n++ {
		db := dynamotest.Open(t)
		db.Wire.LoseReply("PutItem", n)
		if ok, err := db.PutTenant(t.Context(), named("acme", "acme")); err != nil || !ok {
			t.Errorf("reply %d lost: got %t, %v, want it created", n, ok, err)
		}
	}
}

func issueLogin(t *testing.T, db *dynamotest.DB, hash string, now time.Time, token string) error {
	t.Helper()
	return db.IssueLogin(t.Context(), project.Login{
		Slug: "acme", TenantID: "acme", CodeHash: hash, ExpiresAt: now.Add(project.LoginCodeLife),
	}, now, token)
}

func TestLoginCodesAreLimitedInAnyHour(t *testing.T) {
	db := dynamotest.Open(t)
	for i, c := range []struct {
		at   time.Duration
		wait int64 // 0: it is issued
	}{
		{0, 0}, {20 * time.Minute, 0}, {59 * time.Minute, 0}, {59*time.Minute + 30*time.Second, 30}, {time.Hour - time.Millisecond, 1},
		{time.Hour, 0}, {time.Hour + time.Minute, 19 * 60}, {80 * time.Minute, 0}, {81 * time.Minute, 38 * 60},
	} {
		err := issueLogin(t, db, "h", noon.Add(c.at), strconv.Itoa(i))
		var refused *project.Error
		switch {
		case c.wait == 0 && err != nil:
			t.Errorf("at %s: got %v, want a code", c.at, err)
		case c.wait != 0 && (!errors.As(err, &refused) || refused.Code != project.CodeLoginRateLimited || refused.Fields["retry_after_seconds"] != c.wait):
			t.Errorf("at %s: got %v, want to wait %d s", c.at, err, c.wait)
		}
	}
}

func TestLostReplyOfAnIssueIsCountedOnce(t *testing.T) {
	db := dynamotest.Open(t)
	db.Wire.LoseReply("UpdateItem", 1)
	for i := range 3 {
		if err := issueLogin(t, db, "h", noon, strconv.Itoa(i)); err != nil {
			t.Fatalf("issue %d: %v", i, err)
		}
	}
	if err := issueLogin(t, db, "h", noon, "3"); project.CodeOf(err) != project.CodeLoginRateLimited {
		t.Errorf("the fourth: got %v", err)
	}
}

func TestTryAndUseOfALoginSurviveLostReplies(t *testing.T) {
	db := dynamotest.Open(t)
	if err := issueLogin(t, db, "right", noon, "r"); err != nil {
		t.Fatal(err)
	}
	db.Wire.LoseReply("UpdateItem", 1)
	l, err := db.TryLogin(t.Context(), "acme", noon, "one")
	if err != nil || !l.Fits("right") || l.Tries != 1 {
		t.Fatalf("got %+v, %v, want one try", l, err)
	}
	db.Wire.LoseReply("UpdateItem", 1)
	if err := db.UseLogin(t.Context(), l, "one"); err != nil {
		t.Fatalf("our own use: %v", err)
	}
	db.Wire.Set(nil)
	if err := db.UseLogin(t.Context(), l, "two"); project.CodeOf(err) != project.CodeLoginCodeWrong {
		t.Errorf("another's use: got %v", err)
	}
	if _, err := db.TryLogin(t.Context(), "acme", noon, "three"); project.CodeOf(err) != project.CodeLoginCodeWrong {
		t.Errorf("a try of a used code: got %v", err)
	}
}

func TestNewLoginCodeReplacesTheLast(t *testing.T) {
	db := dynamotest.Open(t)
	if err := issueLogin(t, db, "old", noon, "1"); err != nil {
		t.Fatal(err)
	}
	old, err := db.TryLogin(t.Context(), "acme", noon, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := issueLogin(t, db, "new", noon, "2"); err != nil {
		t.Fatal(err)
	}
	if err := db.UseLogin(t.Context(), old, "a"); project.CodeOf(err) != project.CodeLoginCodeWrong {
		t.Errorf("the old code: got %v", err)
	}
	l, err := db.TryLogin(t.Context(), "acme", noon, "b")
	if err != nil || !l.Fits("new") || l.Fits("old") || l.Tries != 1 {
		t.Errorf("got %+v, %v, want the new code, tried once", l, err)
	}
}

func sessionOf(hash string) *project.Session {
	return &project.Session{TokenHash: hash, TenantID: "acme", ExpiresAt: noon.Add(time.Hour), LastSeen: noon}
}

func liveSession(t *testing.T, db *dynamotest.DB, hash string) bool {
	t.Helper()
	s, _, _, err := db.Load(t.Context(), hash, project.Key{TenantID: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	return s != nil && s.Check(noon) == nil
}

func TestSessionIsReplacedByOneOfManyRequests(t *testing.T) {
	db := dynamotest.Open(t)
	if err := db.CreateSession(t.Context(), sessionOf("old")); err != nil {
		t.Fatal(err)
	}
	var done atomic.Int32
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			n := strconv.Itoa(i)
			err := db.RotateSession(t.Context(), "old", sessionOf("new"+n), noon, n)
			if err == nil {
				done.Add(1)
			} else if project.CodeOf(err) != project.CodeSessionInvalid {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	live := 0
	for i := range 50 {
		if liveSession(t, db, "new"+strconv.Itoa(i)) {
			live++
		}
	}
	if done.Load() != 1 || live != 1 || liveSession(t, db, "old") {
		t.Errorf("%d requests succeeded, %d sessions live, want 1 and 1; the old one lives: %t", done.Load(), live, liveSession(t, db, "old"))
	}
}

func TestSessionIsReplacedDespiteLostReplies(t *testing.T) {
	for _, op := range []string{"PutItem", "UpdateItem", "DeleteItem"} {
		db := dynamotest.Open(t)
		if err := db.CreateSession(t.Context(), sessionOf("old")); err != nil {
			t.Fatal(err)
		}
		db.Wire.LoseReply(op, 1)
		if err := db.RotateSession(t.Context(), "old", sessionOf("new"), noon, "r"); err != nil {
			t.Errorf("%s lost: %v", op, err)
		}
		if liveSession(t, db, "old") || !liveSession(t, db, "new") {
			t.Errorf("%s lost: old lives %t, new lives %t", op, liveSession(t, db, "old"), liveSession(t, db, "new"))
		}
	}
}

func TestRevokedSessionHasNoSuccessor(t *testing.T) {
	db := dynamotest.Open(t)
	if err := db.RotateSession(t.Context(), "revoked", sessionOf("new"), noon, "r"); project.CodeOf(err) != project.CodeSessionInvalid {
		t.Errorf("got %v", err)
	}
	if liveSession(t, db, "new") {
		t.Error("a revoked session lives on in another")
	}
}
