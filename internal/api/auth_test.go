package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"rekindle/internal/api"
	"rekindle/internal/project"
	"rekindle/internal/secretwatch"
)

const (
	askCode    = "POST /api/tenant/auth/otp/request"
	sendCode   = "POST /api/tenant/auth/otp/verify"
	getSession = "GET /api/tenant/auth/session"
	refresh    = "POST /api/tenant/auth/refresh"
	logout     = "POST /api/tenant/auth/logout"
)

// login is a world with a tenant that can sign in, its mailbox, and the function
// that signs it in.
type login struct {
	*world
	auth *api.Handler

	mu    sync.Mutex
	mails []letter
	fail  error // what sending ends in
	waits []time.Duration
}

type letter struct{ to, text string }

func (l *login) Send(_ context.Context, to, _, text string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mails = append(l.mails, letter{to, text})
	return l.fail
}

func (l *login) wait(_ context.Context, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits = append(l.waits, d)
}

func newLogin(t *testing.T) *login {
	t.Helper()
	l := &login{world: newWorld(t)}
	l.auth = api.NewAuth(l.db, api.AuthConfig{Hasher: l.hasher, Sender: l, Wait: l.wait},
		api.Options{Now: l.clock, Log: secretwatch.New(slog.NewJSONHandler(&lockedWriter{w: l.logs}, nil))})
	for _, tenant := range []project.Tenant{
		{ID: "t1", Name: "Globex Inc.", Slug: "globex", Email: "ops@globex.example", Subscription: project.Active},
		{ID: "t2", Name: "No mail", Slug: "nomail"},
	} {
		if ok, err := l.db.PutTenant(t.Context(), &tenant); err != nil || !ok {
			t.Fatalf("tenant %s: %t, %v", tenant.ID, ok, err)
		}
	}
	return l
}

func (l *login) ask(slug string) answer {
	l.t.Helper()
	return l.do(l.auth, call{route: askCode, body: fmt.Sprintf(`{"tenant_slug":%q}`, slug)})
}

func (l *login) verify(slug, code string, more ...func(*call)) answer {
	l.t.Helper()
	c := call{route: sendCode, body: fmt.Sprintf(`{"tenant_slug":%q,"code":%q}`, slug, code)}
	for _, f := range more {
		f(&c)
	}
	return l.do(l.auth, c)
}

func (l *login) with(route, token string) answer {
	l.t.Helper()
	return l.do(l.auth, call{route: route, headers: map[string]string{"x-session-token": token}})
}

var sixDigits = regexp.MustCompile(`\b\d{6}\b`)

// code returns a login code of globex.
func (l *login) code() string {
	l.t.Helper()
	return l.codeOf("globex")
}

// codeOf asks for a login code of a slug and reads it from its mail.
func (l *login) codeOf(slug string) string {
	l.t.Helper()
	if a := l.ask(slug); a.status != 200 {
		l.t.Fatalf("asking for a code: %d %s", a.status, a.raw)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return sixDigits.FindString(l.mails[len(l.mails)-1].text)
}

func (l *login) signIn() string {
	l.t.Helper()
	a := l.verify("globex", l.code())
	token, _ := a.body["session_token"].(string)
	if a.status != 200 || token == "" {
		l.t.Fatalf("signing in: %d %s", a.status, a.raw)
	}
	return token
}

// wrong returns a code that is not the right one.
func wrong(right string) string {
	if right == "000000" {
		return "000001"
	}
	return "000000"
}

func TestTenantSignsInWithTheMailedCode(t *testing.T) {
	l := newLogin(t)
	a := l.ask("globex")
	if a.status != 200 || a.raw != `{"message":"If the account exists, a login code is on its way","expires_in_seconds":600}` {
		t.Errorf("got %d %s", a.status, a.raw)
	}
	if len(l.mails) != 1 || l.mails[0].to != "ops@globex.example" || !sixDigits.MatchString(l.mails[0].text) {
		t.Fatalf("mails: %v, want one with a code", l.mails)
	}
	code := sixDigits.FindString(l.mails[0].text)
	a = l.verify(" Globex ", code[:3]+" "+code[3:])
	if a.status != 200 {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	for name, want := range map[string]string{
		"tenant_id": "t1", "tenant_slug": "globex", "tenant_name": "Globex Inc.", "expires_at": "2026-03-02T12:00:00.000Z",
	} {
		if a.body[name] != want {
			t.Errorf("%s is %v, want %s", name, a.body[name], want)
		}
	}
	s := l.with(getSession, a.body["session_token"].(string))
	want := `{"tenant_id":"t1","tenant_slug":"globex","tenant_name":"Globex Inc.","subscription_state":"active",` +
		`"expires_at":"2026-03-02T12:00:00.000Z","idle_expires_at":"2026-03-01T12:30:00.000Z"}`
	if s.status != 200 || s.raw != want {
		t.Errorf("got %d %s, want %s", s.status, s.raw, want)
	}
}

func TestUnknownSlugCannotBeTold(t *testing.T) {
	l := newLogin(t)
	type seen struct {
		status int
		raw    string
		calls  string
		waits  string
	}
	watch := func(do func() answer) seen {
		l.db.Wire.Set(nil)
		l.waits = nil
		a := do()
		return seen{a.status, a.raw, fmt.Sprint(l.db.Wire.Calls()), fmt.Sprint(l.waits)}
	}
	for _, slug := range []string{"nobody", "nomail"} {
		l = newLogin(t)
		for i := range 4 {
			known, unknown := watch(func() answer { return l.ask("globex") }), watch(func() answer { return l.ask(slug) })
			if known != unknown || (known.status == 429) != (i == 3) {
				t.Errorf("request %d: got %+v of a tenant and %+v of %s", i, known, unknown, slug)
			}
		}
	}
	l = newLogin(t)
	right := l.code()
	l.ask("nobody")
	for i := range 6 {
		known := watch(func() answer { return l.verify("globex", wrong(right)) })
		unknown := watch(func() answer { return l.verify("nobody", wrong(right)) })
		if known != unknown {
			t.Errorf("try %d: got %+v of a tenant and %+v of none", i, known, unknown)
		}
	}
}

func TestRequestTakesTheSameTimeWhateverTheDeliveryDoes(t *testing.T) {
	l := newLogin(t)
	l.fail = errors.New("SES is down")
	a := l.ask("globex")
	if a.status != 200 || len(l.waits) != 1 || l.waits[0] < time.Second {
		t.Errorf("got %d after %v, want 200 after one wait of a second or more", a.status, l.waits)
	}
	if !strings.Contains(l.logs.String(), "SES is down") {
		t.Error("the operator does not hear of it")
	}
}

func TestLoginRefusesBadInput(t *testing.T) {
	l := newLogin(t)
	for _, c := range []struct {
		route, body string
		status      int
		code        project.Code
	}{
		{askCode, ``, 400, project.CodeBodyInvalid},
		{askCode, `{"slug":"globex"}`, 400, project.CodeBodyInvalid},
		{askCode, `{}`, 400, project.CodeLoginSlugInvalid},
		{askCode, `{"tenant_slug":"-"}`, 400, project.CodeLoginSlugInvalid},
		{askCode, `{"tenant_slug":"a#b"}`, 400, project.CodeLoginSlugInvalid},
		{askCode, `{"tenant_slug":"` + strings.Repeat("a", 64) + `"}`, 400, project.CodeLoginSlugInvalid},
		{sendCode, `{"tenant_slug":"a b","code":"123456"}`, 400, project.CodeLoginSlugInvalid},
		{sendCode, `{"tenant_slug":"globex","code":123456}`, 400, project.CodeBodyInvalid},
		{sendCode, `{"tenant_slug":"globex","code":"12345"}`, 401, project.CodeLoginCodeWrong},
		{sendCode, `{"tenant_slug":"globex","code":"１２３４５６"}`, 401, project.CodeLoginCodeWrong},
		{sendCode, `{"tenant_slug":"globex","code":"123456"}`, 401, project.CodeLoginCodeWrong},
	} {
		l.want(l.do(l.auth, call{route: c.route, body: c.body}), c.status, c.code, "")
	}
	if len(l.mails) != 0 {
		t.Errorf("mails were sent: %v", l.mails)
	}
}

// at50 makes 50 calls at once.
func at50(f func() answer) []answer {
	all := make([]answer, 50)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i] = f() })
	}
	wg.Wait()
	return all
}

func count(all []answer, status int, code project.Code) (n int) {
	for _, a := range all {
		if a.status == status && a.code() == string(code) {
			n++
		}
	}
	return n
}

func TestFiftyRequestsAtOnceGetThreeCodes(t *testing.T) {
	l := newLogin(t)
	all := at50(func() answer { return l.ask("globex") })
	if ok, limited := count(all, 200, ""), count(all, 429, project.CodeLoginRateLimited); ok != 3 || limited != 47 {
		t.Errorf("%d got a code and %d were limited, want 3 and 47", ok, limited)
	}
	if len(l.mails) != 3 {
		t.Errorf("%d mails were sent, want 3", len(l.mails))
	}
	a := l.ask("globex")
	if a.headers["retry-after"] != "3600" || a.number("retry_after_seconds") != 3600 {
		t.Errorf("got %v %s, want to wait an hour", a.headers, a.raw)
	}
	l.pass(time.Hour)
	if a := l.ask("globex"); a.status != 200 {
		t.Errorf("an hour later: got %d %s", a.status, a.raw)
	}
}

func TestFiftyGuessesAtOnceGetFiveTries(t *testing.T) {
	l := newLogin(t)
	right := l.code()
	all := at50(func() answer { return l.verify("globex", wrong(right)) })
	if bad, spent := count(all, 401, project.CodeLoginCodeWrong), count(all, 401, project.CodeLoginCodeSpent); bad != 5 || spent != 45 {
		t.Errorf("%d were compared and %d were not, want 5 and 45", bad, spent)
	}
	l.want(l.verify("globex", right), 401, project.CodeLoginCodeSpent, "Too many wrong login codes: request a new one")
	if a := l.verify("globex", l.code()); a.status != 200 {
		t.Errorf("a new code: got %d %s", a.status, a.raw)
	}
}

func TestFiftySignInsAtOnceGetOneSession(t *testing.T) {
	l := newLogin(t)
	right := l.code()
	all := at50(func() answer { return l.verify("globex", right) })
	if n := count(all, 200, ""); n != 1 {
		t.Errorf("%d sessions were begun, want 1", n)
	}
	if n := count(all, 401, project.CodeLoginCodeWrong) + count(all, 401, project.CodeLoginCodeSpent); n != 49 {
		t.Errorf("%d were refused, want 49", n)
	}
	l.want(l.verify("globex", right), 401, project.CodeLoginCodeWrong, "The login code is wrong or has expired")
}

func TestLoginCodeExpires(t *testing.T) {
	l := newLogin(t)
	right := l.code()
	l.pass(10*time.Minute - time.Millisecond)
	l.want(l.verify("globex", wrong(right)), 401, project.CodeLoginCodeWrong, "")
	l.pass(time.Millisecond)
	l.want(l.verify("globex", right), 401, project.CodeLoginCodeWrong, "The login code is wrong or has expired")
}

func TestLoginCodeOfOneTenantIsNotAnothers(t *testing.T) {
	l := newLogin(t)
	other := project.Tenant{ID: "t3", Name: "Other", Slug: "other", Email: "ops@other.example"}
	if _, err := l.db.PutTenant(t.Context(), &other); err != nil {
		t.Fatal(err)
	}
	right := l.code()
	l.ask("other")
	if theirs := sixDigits.FindString(l.mails[1].text); theirs != right {
		l.want(l.verify("other", right), 401, project.CodeLoginCodeWrong, "")
	}
}

func TestSignInSurvivesLostReplies(t *testing.T) {
	for _, c := range []struct {
		op string
		n  int
	}{{"UpdateItem", 1}, {"UpdateItem", 2}, {"UpdateItem", 3}, {"PutItem", 1}, {"GetItem", 1}, {"GetItem", 2}} {
		l := newLogin(t)
		code := l.code()
		l.db.Wire.LoseReply(c.op, c.n)
		if a := l.verify("globex", code); a.status != 200 {
			t.Errorf("%s %d lost: got %d %s", c.op, c.n, a.status, a.raw)
		}
		l.db.Wire.Set(nil)
		l.want(l.verify("globex", code), 401, project.CodeLoginCodeWrong, "")
	}
}

func TestSignInNeverTakesAGivenToken(t *testing.T) {
	l := newLogin(t)
	fixed := "t1.chosen-by-somebody-else"
	a := l.verify("globex", l.code(), header("x-session-token", fixed))
	if token := a.body["session_token"]; a.status != 200 || token == fixed {
		t.Errorf("got %d with the token %v", a.status, token)
	}
	l.want(l.with(getSession, fixed), 401, project.CodeSessionInvalid, "")
	if first, second := a.body["session_token"], l.signIn(); first == second {
		t.Error("two sessions have one token")
	}
}

func TestLogoutKillsTheTokenAtOnce(t *testing.T) {
	l := newLogin(t)
	token, other := l.signIn(), l.signIn()
	if a := l.with(logout, token); a.status != 204 || a.raw != "" {
		t.Errorf("got %d %q, want 204 and nothing", a.status, a.raw)
	}
	for _, route := range []string{getSession, refresh, logout} {
		l.want(l.with(route, token), 401, project.CodeSessionInvalid, "")
	}
	if a := l.with(getSession, other); a.status != 200 {
		t.Errorf("another session of the tenant: got %d", a.status)
	}
	l.db.Wire.LoseReply("DeleteItem", 1)
	if a := l.with(logout, other); a.status != 204 {
		t.Errorf("with a lost reply: got %d %s", a.status, a.raw)
	}
}

func TestRefreshReplacesTheTokenAndKeepsTheEnd(t *testing.T) {
	l := newLogin(t)
	old := l.signIn()
	l.pass(20 * time.Minute)
	a := l.with(refresh, old)
	token, _ := a.body["session_token"].(string)
	if a.status != 200 || token == old || a.body["expires_at"] != "2026-03-02T12:00:00.000Z" || a.body["tenant_slug"] != "globex" {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	l.want(l.with(getSession, old), 401, project.CodeSessionInvalid, "")
	if s := l.with(getSession, token); s.status != 200 || s.body["idle_expires_at"] != "2026-03-01T12:50:00.000Z" {
		t.Errorf("got %d %s", s.status, s.raw)
	}
	all := at50(func() answer { return l.with(refresh, token) })
	if n := count(all, 200, ""); n != 1 {
		t.Errorf("%d of 50 refreshes at once got a token, want 1", n)
	}
}

func TestSessionEndsHoweverMuchItIsUsed(t *testing.T) {
	l := newLogin(t)
	token := l.signIn()
	for range 95 { // a quarter of an hour short of a day
		l.pass(15 * time.Minute)
		if a := l.with(getSession, token); a.status != 200 || a.body["expires_at"] != "2026-03-02T12:00:00.000Z" {
			t.Fatalf("at %s: got %d %s", l.clock(), a.status, a.raw)
		}
	}
	// Idle can't outlast the end.
	a := l.with(refresh, token)
	token = a.body["session_token"].(string)
	if s := l.with(getSession, token); s.body["idle_expires_at"] != "2026-03-02T12:00:00.000Z" {
		t.Errorf("got %s", s.raw)
	}
	l.pass(15 * time.Minute)
	for _, route := range []string{getSession, refresh, logout} {
		l.want(l.with(route, token), 401, project.CodeSessionExpired, "")
	}
}

func TestSessionEndsUnused(t *testing.T) {
	l := newLogin(t)
	token := l.signIn()
	l.pass(30 * time.Minute)
	for _, route := range []string{getSession, refresh, logout} {
		l.want(l.with(route, token), 401, project.CodeSessionIdle, "")
		l.want(l.do(l.auth, call{route: route}), 401, project.CodeSessionMissing, "")
	}
}

func TestTenantWithoutSubscriptionSignsIn(t *testing.T) {
	l := newLogin(t)
	if _, err := l.db.SetSubscription(t.Context(), "t1", project.NoSubscription); err != nil {
		t.Fatal(err)
	}
	s := l.with(getSession, l.signIn())
	if v, there := s.body["subscription_state"]; s.status != 200 || !there || v != nil {
		t.Errorf("got %d %s, want null", s.status, s.raw)
	}
}

func TestSigningInLogsNoSecret(t *testing.T) {
	l := newLogin(t)
	l.fail = errors.New("bounced")
	code := l.code()
	l.verify("globex", wrong(code))
	a := l.verify("globex", code)
	token := a.body["session_token"].(string)
	fresh := l.with(refresh, token).body["session_token"].(string)
	l.with(logout, fresh)
	logs := l.logs.String()
	if !strings.Contains(logs, sendCode) || !strings.Contains(logs, `"tenant_id":"t1"`) {
		t.Errorf("the logs don't tell what happened: %s", logs)
	}
	for _, secret := range []string{code, token, fresh, project.Hash(token), l.hasher.LoginCode("t1", code), "ops@globex"} {
		if strings.Contains(logs, secret) {
			t.Errorf("the logs have %s: %s", secret, logs)
		}
	}
}
