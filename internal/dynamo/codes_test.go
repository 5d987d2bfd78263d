package dynamo_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
)

// issue stores a code with this hash, good for an hour.
func issue(t *testing.T, db *dynamotest.DB, hash string) {
	t.Helper()
	c := project.ActivationCode{Hash: hash, Hint: "WXYZ", IssuedAt: noon.Add(-time.Hour), ExpiresAt: noon.Add(time.Hour)}
	if err := db.IssueCode(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// unactivated puts a pending project without an activation code.
func unactivated(t *testing.T, db *dynamotest.DB, key project.Key) *project.Project {
	t.Helper()
	p := sample(key, project.Pending)
	p.UID, p.ActivationCode = "uid-"+key.TenantID+"-"+key.ProjectID, ""
	return db.Insert(t, p)
}

func keyed(id string) project.Key { return project.Key{TenantID: "acme", ProjectID: id} }

func code(t *testing.T, db *dynamotest.DB, hash string) *project.ActivationCode {
	t.Helper()
	c, err := db.GetCode(t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantCode(t *testing.T, err error, want project.Code) {
	t.Helper()
	if got := project.CodeOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func TestAssignedCodeIsOnBothItems(t *testing.T) {
	db := dynamotest.Open(t)
	p := unactivated(t, db, site)
	issue(t, db, "h1")
	got, err := db.AssignCode(t.Context(), p, "h1", noon)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Activated() || got.ActivationCode != "h1" || got.ActivationCodeHint != "WXYZ" || got.Version != p.Version+1 {
		t.Errorf("the project is %+v", got)
	}
	if c := code(t, db, "h1"); c.UsedBy != site || c.UsedByUID != p.UID || !c.UsedAt.Equal(noon) {
		t.Errorf("the code is %+v", c)
	}
	// The same code again is a success, and changes nothing.
	again, err := db.AssignCode(t.Context(), got, "h1", noon.Add(2*time.Hour))
	if err != nil || again.Version != got.Version {
		t.Errorf("again: %+v, %v", again, err)
	}
}

func TestAssignRefusesEachKindOfBadCode(t *testing.T) {
	db := dynamotest.Open(t)
	for _, hash := range []string{"used", "revoked", "spare"} {
		issue(t, db, hash)
	}
	if err := db.IssueCode(t.Context(), project.ActivationCode{Hash: "expired", Hint: "AAAA", IssuedAt: noon.Add(-time.Hour), ExpiresAt: noon}); err != nil {
		t.Fatal(err)
	}
	if err := db.RevokeCode(t.Context(), "revoked", noon); err != nil {
		t.Fatal(err)
	}
	holder, err := db.AssignCode(t.Context(), unactivated(t, db, keyed("holder")), "used", noon)
	if err != nil {
		t.Fatal(err)
	}
	p := unactivated(t, db, site)
	for hash, want := range map[string]project.Code{
		"none": project.CodeActivationUnknown, "used": project.CodeActivationUsed,
		"expired": project.CodeActivationExpired, "revoked": project.CodeActivationCodeRevoked,
	} {
		_, err := db.AssignCode(t.Context(), p, hash, noon)
		wantCode(t, err, want)
	}
	_, err = db.AssignCode(t.Context(), holder, "spare", noon)
	wantCode(t, err, project.CodeActivationPresent)
	if c := code(t, db, "spare"); c.UsedBy != (project.Key{}) {
		t.Errorf("a refusal used the code: %+v", c)
	}
}

func TestRevokedCodeCanBeReplaced(t *testing.T) {
	db := dynamotest.Open(t)
	p := unactivated(t, db, site)
	issue(t, db, "h1")
	issue(t, db, "h2")
	if _, err := db.AssignCode(t.Context(), p, "h1", noon); err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // the second changes nothing
		if err := db.RevokeCode(t.Context(), "h1", noon.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	p = db.Read(t, site)
	if p.Activated() || !p.ActivationCodeRevokedAt.Equal(noon) || !code(t, db, "h1").RevokedAt.Equal(noon) {
		t.Errorf("the project is %+v", p)
	}
	_, err := db.AssignCode(t.Context(), p, "h1", noon)
	wantCode(t, err, project.CodeActivationCodeRevoked)
	if p, err = db.AssignCode(t.Context(), p, "h2", noon); err != nil || !p.Activated() || p.ActivationCode != "h2" {
		t.Errorf("got %+v, %v", p, err)
	}
	wantCode(t, db.RevokeCode(t.Context(), "none", noon), project.CodeActivationUnknown)
	// Revoking the old one once more leaves the new one.
	if err := db.RevokeCode(t.Context(), "h1", noon); err != nil || !db.Read(t, site).Activated() {
		t.Errorf("the other code's revocation reached the project: %v", err)
	}
}

func TestOneOfFiftyProjectsGetsTheCode(t *testing.T) {
	db := dynamotest.Open(t)
	issue(t, db, "h1")
	const racers = 50
	projects := make([]*project.Project, racers)
	for i := range projects {
		projects[i] = unactivated(t, db, project.Key{TenantID: fmt.Sprintf("t%d", i%5), ProjectID: fmt.Sprintf("p%d", i)})
	}
	errs := make([]error, racers)
	var wg sync.WaitGroup
	for i, p := range projects {
		wg.Go(func() { _, errs[i] = db.AssignCode(t.Context(), p, "h1", noon) })
	}
	wg.Wait()
	won := 0
	for i, err := range errs {
		p := db.Read(t, projects[i].Key)
		if err == nil {
			won++
			if c := code(t, db, "h1"); c.UsedBy != p.Key || p.ActivationCode != "h1" {
				t.Errorf("%v won, and the code is %+v", p.Key, c)
			}
			continue
		}
		wantCode(t, err, project.CodeActivationUsed)
		if p.ActivationCode != "" {
			t.Errorf("%v lost, and has the code", p.Key)
		}
	}
	if won != 1 {
		t.Errorf("%d won, want 1", won)
	}
}

func TestOneProjectGetsOneOfFiftyCodesAndTheOthersStayFree(t *testing.T) {
	db := dynamotest.Open(t)
	p := unactivated(t, db, site)
	const racers = 50
	errs := make([]error, racers)
	for i := range racers {
		issue(t, db, fmt.Sprintf("h%d", i))
	}
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() { _, errs[i] = db.AssignCode(t.Context(), p, fmt.Sprintf("h%d", i), noon) })
	}
	wg.Wait()
	holds := db.Read(t, site).ActivationCode
	for i, err := range errs {
		hash := fmt.Sprintf("h%d", i)
		if hash == holds {
			if err != nil {
				t.Errorf("%s is assigned, and was refused: %v", hash, err)
			}
			continue
		}
		wantCode(t, err, project.CodeActivationPresent)
		if c := code(t, db, hash); c.UsedBy != (project.Key{}) {
			t.Errorf("%s was refused, and is used: %+v", hash, c)
		}
	}
}

// crash makes the n-th request of an operation, and all that follow, fail
// without reaching the server.
func crash(db *dynamotest.DB, operation string, n int) {
	dead := false
	db.Wire.Set(func(op string, number int, next func() (*http.Response, error)) (*http.Response, error) {
		if dead = dead || op == operation && number >= n; dead {
			return nil, errors.New("the process is gone")
		}
		return next()
	})
}

func TestAssignHealsAfterACrashBetweenItsWrites(t *testing.T) {
	db := dynamotest.Open(t)
	p := unactivated(t, db, site)
	issue(t, db, "h1")
	crash(db, "UpdateItem", 2)
	if _, err := db.AssignCode(t.Context(), p, "h1", noon); err == nil {
		t.Fatal("the crash went unnoticed")
	}
	db.Wire.Set(nil)
	if db.Read(t, site).ActivationCode != "" || code(t, db, "h1").UsedBy != site {
		t.Fatal("the crash was not between the writes")
	}
	_, err := db.AssignCode(t.Context(), unactivated(t, db, keyed("other")), "h1", noon)
	wantCode(t, err, project.CodeActivationUsed)
	// After its expiry too: it was redeemed in time.
	got, err := db.AssignCode(t.Context(), p, "h1", noon.Add(3*time.Hour))
	if err != nil || got.ActivationCode != "h1" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCodeTakenInVainByACrashedRequestIsReleasedByTheNext(t *testing.T) {
	for _, by := range []string{"the same project", "another project"} {
		t.Run(by, func(t *testing.T) {
			db := dynamotest.Open(t)
			p := unactivated(t, db, site)
			issue(t, db, "h1")
			issue(t, db, "h2")
			crash(db, "UpdateItem", 2)
			if _, err := db.AssignCode(t.Context(), p, "h1", noon); err == nil {
				t.Fatal("the crash went unnoticed")
			}
			db.Wire.Set(nil)
			p, err := db.AssignCode(t.Context(), p, "h2", noon)
			if err != nil {
				t.Fatal(err)
			}
			if by == "the same project" {
				_, err = db.AssignCode(t.Context(), p, "h1", noon)
				wantCode(t, err, project.CodeActivationPresent)
				if c := code(t, db, "h1"); c.UsedBy != (project.Key{}) {
					t.Errorf("the code is still used: %+v", c)
				}
				return
			}
			other, err := db.AssignCode(t.Context(), unactivated(t, db, keyed("other")), "h1", noon)
			if err != nil || other.ActivationCode != "h1" {
				t.Errorf("got %+v, %v", other, err)
			}
		})
	}
}

// The project may take a code anew, for good, before a request that took it in
// vain gets to release it.
func TestReleaseSparesACodeThatWasTakenAnew(t *testing.T) {
	db := dynamotest.Open(t)
	p := unactivated(t, db, site)
	issue(t, db, "h1")
	issue(t, db, "h2")
	step, nested := 0, false
	must := func(_ *project.Project, err error) {
		if err != nil {
			t.Error(err)
		}
	}
	db.Wire.Set(func(op string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
		if op != "UpdateItem" || nested {
			return next()
		}
		nested = true
		switch step++; step {
		case 2: // giving: the project gets the other code
			must(db.AssignCode(t.Context(), p, "h2", noon))
		case 3: // releasing: that was revoked, and the project has taken this one
			must(nil, db.RevokeCode(t.Context(), "h2", noon))
			must(db.AssignCode(t.Context(), db.Read(t, site), "h1", noon))
		}
		nested = false
		return next()
	})
	_, err := db.AssignCode(t.Context(), p, "h1", noon)
	wantCode(t, err, project.CodeActivationPresent)
	db.Wire.Set(nil)
	if c, now := code(t, db, "h1"), db.Read(t, site); step != 3 || c.UsedBy != site || now.ActivationCode != "h1" || !now.Activated() {
		t.Errorf("step %d: the code is %+v, the project %+v", step, c, now)
	}
}

func TestStalledAssignmentDoesNotOutliveARevocation(t *testing.T) {
	db := dynamotest.Open(t)
	p := unactivated(t, db, site)
	issue(t, db, "h1")
	revoked := false
	db.Wire.Set(func(op string, number int, next func() (*http.Response, error)) (*http.Response, error) {
		if op == "UpdateItem" && number == 2 && !revoked { // the assignment's second write
			revoked = true
			if err := db.RevokeCode(t.Context(), "h1", noon); err != nil {
				t.Error(err)
			}
		}
		return next()
	})
	_, err := db.AssignCode(t.Context(), p, "h1", noon)
	wantCode(t, err, project.CodeActivationCodeRevoked)
	if db.Read(t, site).Activated() {
		t.Error("the project can be run by a revoked code")
	}
}

func TestAssignAndRevokeSurviveLostReplies(t *testing.T) {
	for n := 1; n <= 2; n++ {
		db := dynamotest.Open(t)
		p := unactivated(t, db, site)
		issue(t, db, "h1")
		db.Wire.LoseReply("UpdateItem", n)
		got, err := db.AssignCode(t.Context(), p, "h1", noon)
		if err != nil || got.ActivationCode != "h1" {
			t.Errorf("reply %d lost: got %+v, %v", n, got, err)
		}
		db.Wire.LoseReply("UpdateItem", n)
		if err := db.RevokeCode(t.Context(), "h1", noon); err != nil || db.Read(t, site).Activated() {
			t.Errorf("reply %d lost: revoke: %v", n, err)
		}
	}
	db := dynamotest.Open(t)
	db.Wire.LoseReply("PutItem", 1)
	issue(t, db, "h1")
	other := project.ActivationCode{Hash: "h1", Hint: "QQQQ", IssuedAt: noon}
	if err := db.IssueCode(t.Context(), other); err == nil {
		t.Error("a code was issued twice")
	}
}

func TestListCodesYieldsCodesAlone(t *testing.T) {
	db := dynamotest.Open(t)
	if _, err := db.PutTenant(t.Context(), &project.Tenant{ID: "acme", Subscription: project.Active}); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for i := range 5 {
		hash := fmt.Sprintf("h%d", i)
		issue(t, db, hash)
		want[hash] = true
	}
	for c, err := range db.ListCodes(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if !want[c.Hash] || c.Hint != "WXYZ" {
			t.Errorf("unexpected: %+v", c)
		}
		delete(want, c.Hash)
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
}
