package project_test

import (
	"strings"
	"testing"
	"time"

	"rekindle/internal/project"
)

func TestEachSubscriptionStateAllowsRunningOrSaysWhyNot(t *testing.T) {
	want := map[project.Subscription]project.Code{
		project.NoSubscription: project.CodeSubscriptionMissing,
		project.Active:         "",
		project.Trialing:       "",
		project.PastDue:        project.CodeSubscriptionPastDue,
		project.Canceled:       project.CodeSubscriptionCanceled,
		project.Unpaid:         project.CodeSubscriptionUnpaid,
		project.Suspended:      project.CodeSubscriptionSuspended,
		"incomplete":           project.CodeSubscriptionUnknown,
		"Active":               project.CodeSubscriptionUnknown,
	}
	for _, state := range project.Subscriptions {
		if _, ok := want[state]; !ok {
			t.Errorf("%s is not in this test", state)
		}
	}
	for state, code := range want {
		for status, event := range map[project.Status]project.Event{project.Pending: project.Run, project.Failed: project.Restart} {
			p, tenant := ready(status)
			tenant.Subscription = state
			if got := project.CodeOf(project.CheckStart(event, p, tenant)); got != code {
				t.Errorf("%s with subscription %q: got %q, want %q", event, state, got, code)
			}
		}
	}
	p, tenant := ready(project.Failed)
	tenant.Subscription = "incomplete"
	if got, want := project.CheckStart(project.Restart, p, tenant).Error(), "Current state: incomplete"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want …%s", got, want)
	}
}

func TestFieldOfNothingButSpaceIsMissing(t *testing.T) {
	for field, blank := range map[string]func(*project.Project){
		"name":        func(p *project.Project) { p.Name = " " },
		"description": func(p *project.Project) { p.Description = "\n\t" },
		"objectives":  func(p *project.Project) { p.Objectives = "\u00a0" },
	} {
		p, tenant := ready(project.Pending)
		blank(p)
		err := project.CheckStart(project.Run, p, tenant)
		if want := "The project has no " + field + ": fill it in to run the project"; err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %q", field, err, want)
		}
	}
}

func TestEventThatStartsEachStatus(t *testing.T) {
	for _, status := range project.Statuses {
		want := project.Run
		if status == project.Failed {
			want = project.Restart
		}
		if got := status.StartEvent(); got != want {
			t.Errorf("%s: got %s, want %s", status, got, want)
		}
	}
}

func TestUseOfASessionIsRecordedAtMostOnceInFiveMinutes(t *testing.T) {
	s := project.Session{LastSeen: at, ExpiresAt: at.Add(project.SessionLife)}
	for d, want := range map[time.Duration]bool{
		0: false, project.SessionTouch - time.Millisecond: false, project.SessionTouch: true, time.Hour: true, -time.Minute: false,
	} {
		if got := s.NeedsTouch(at.Add(d)); got != want {
			t.Errorf("%s after its last use: got %t, want %t", d, got, want)
		}
	}
}

func TestActivationCodeIsAssignedUntilItExpiresOrIsRevoked(t *testing.T) {
	for name, c := range map[string]struct {
		code project.ActivationCode
		want project.Code
	}{
		"without an expiry":   {project.ActivationCode{}, ""},
		"before its expiry":   {project.ActivationCode{ExpiresAt: at.Add(time.Millisecond)}, ""},
		"at its expiry":       {project.ActivationCode{ExpiresAt: at}, project.CodeActivationExpired},
		"revoked":             {project.ActivationCode{RevokedAt: at}, project.CodeActivationCodeRevoked},
		"revoked and expired": {project.ActivationCode{RevokedAt: at, ExpiresAt: at}, project.CodeActivationCodeRevoked},
	} {
		if got := project.CodeOf(c.code.Check(at)); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestQuotaFollowsTheSubscription(t *testing.T) {
	for state, want := range map[project.Subscription]struct {
		limit   int
		reached project.Code
		refused project.Code
	}{
		project.Active:   {limit: 1000, reached: project.CodeProjectLimit},
		project.Trialing: {limit: 1, reached: project.CodeTrialProject},
		project.Unpaid:   {refused: project.CodeSubscriptionUnpaid},
	} {
		q, err := project.QuotaOf(&project.Tenant{Subscription: state})
		if project.CodeOf(err) != want.refused || q.Limit != want.limit {
			t.Errorf("%s: got %d, %v, want %d, %q", state, q.Limit, err, want.limit, want.refused)
		}
		if err == nil && project.CodeOf(q.Reached()) != want.reached {
			t.Errorf("%s: reached: got %v, want %s", state, q.Reached(), want.reached)
		}
	}
	if _, err := project.QuotaOf(nil); project.CodeOf(err) != project.CodeSubscriptionMissing {
		t.Errorf("no tenant: got %v", err)
	}
}

func TestProjectRunsOneExecutionOfOneIncarnation(t *testing.T) {
	p := &project.Project{Key: project.Key{TenantID: "acme", ProjectID: "site"}, UID: "u", Status: project.Running, ExecutionID: 7}
	if !p.Runs(p.Ref()) {
		t.Error("the present execution: got false")
	}
	earlier, namesake := p.Ref(), p.Ref()
	earlier.ExecutionID, namesake.ProjectUID = 6, "u-2"
	ended := *p
	ended.Status = project.Failed
	if p.Runs(earlier) || p.Runs(namesake) || ended.Runs(p.Ref()) || (*project.Project)(nil).Runs(p.Ref()) {
		t.Error("an earlier execution, a namesake's, one that has ended, or one of no project: got true")
	}
}

func TestAttemptsAreFoundByTheirKeyAndListedNewestFirst(t *testing.T) {
	p := &project.Project{Attempts: map[int64]project.Attempt{
		5: {ExecutionID: 5, Number: 1}, 30: {ExecutionID: 30, Number: 3, KeyHash: "h"}, 12: {ExecutionID: 12, Number: 2},
	}}
	if a, ok := p.AttemptOf("h"); !ok || a.Number != 3 {
		t.Errorf("by its key: got %+v, %t", a, ok)
	}
	// A start without a key is nobody's to repeat.
	for _, hash := range []string{"", "other"} {
		if a, ok := p.AttemptOf(hash); ok {
			t.Errorf("key %q: got %+v", hash, a)
		}
	}
	for i, a := range p.History() {
		if a.Number != 3-i {
			t.Errorf("history[%d]: got attempt %d, want %d", i, a.Number, 3-i)
		}
	}
}

func TestTokensAreNotGivenOutTwiceNorStored(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		for _, token := range []string{project.NewToken(), project.NewSessionToken("acme")} {
			if seen[token] || len(token) < 22 {
				t.Fatalf("got %q, seen before: %t", token, seen[token])
			}
			seen[token] = true
		}
	}
	if got, want := project.Hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want {
		t.Errorf("got %s, want SHA-256 in hex, %s", got, want)
	}
}
