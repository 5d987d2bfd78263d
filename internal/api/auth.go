package api

import (
	"context"
	"fmt"
	"time"

	"rekindle/internal/project"
)

// AuthStore is what signing in needs of the store. Its methods are documented at
// dynamo.Store.
type AuthStore interface {
	SessionStore
	TenantBySlug(ctx context.Context, slug string) (*project.Tenant, error)
	IssueLogin(ctx context.Context, l project.Login, now time.Time, token string) error
	TryLogin(ctx context.Context, slug string, now time.Time, token string) (*project.Login, error)
	UseLogin(ctx context.Context, l *project.Login, token string) error
	CreateSession(ctx context.Context, s *project.Session) error
	RotateSession(ctx context.Context, oldHash string, next *project.Session, now time.Time, token string) error
	RevokeSession(ctx context.Context, tokenHash string) (bool, error)
}

// Sender delivers mail.
type Sender interface {
	// Send hands over a message of plain text. It ends when ctx does. Its error
	// holds nothing of the text.
	Send(ctx context.Context, to, subject, text string) error
}

// AuthConfig is what signing in takes beside the store.
type AuthConfig struct {
	Hasher *project.Hasher
	Sender Sender
	// Wait returns when d has passed or ctx has ended. Nil: it does.
	Wait func(ctx context.Context, d time.Duration)
}

// sendWithin is how long a mail's delivery may take, and how long a request for
// a code takes on top of its calls to the database whether or not a mail goes
// out. In Lambda nothing runs after the answer, so that the delivery can't come
// later; and one that showed would tell which accounts exist. It leaves a cold
// function time for SES's TLS handshake on a slice of a processor.
const sendWithin = 2 * time.Second

type auth struct {
	AuthConfig
	gate
	store AuthStore
}

// NewAuth makes the handler of signing in and out.
func NewAuth(store AuthStore, cfg AuthConfig, o Options) *Handler {
	o = o.withDefaults()
	if cfg.Wait == nil {
		cfg.Wait = sleep
	}
	a := &auth{AuthConfig: cfg, gate: gate{store: store, now: o.Now, log: o.Log}, store: store}
	return newHandler(o, map[string]route{
		"POST /api/tenant/auth/otp/request": a.request,
		"POST /api/tenant/auth/otp/verify":  a.verify,
		"GET /api/tenant/auth/session":      tenantRoute(a.gate, noInput, a.session),
		"POST /api/tenant/auth/refresh":     tenantRoute(a.gate, noInput, a.refresh),
		"POST /api/tenant/auth/logout":      tenantRoute(a.gate, noInput, a.logout),
	})
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// CodeSent is the answer to a request for a login code, whoever it is for.
type CodeSent struct {
	Message   string `json:"message"`
	ExpiresIn int    `json:"expires_in_seconds"`
}

// request sends a login code. What it answers, the calls that it makes and the
// time that it takes are the same whether the slug is a tenant's or not.
func (a *auth) request(ctx context.Context, req *request) (any, error) {
	var in struct {
		Slug string `json:"tenant_slug"`
	}
	if err := req.decode(&in, false); err != nil {
		return nil, err
	}
	slug, err := project.ReadSlug(in.Slug)
	if err != nil {
		return nil, err
	}
	tenant, err := a.store.TenantBySlug(ctx, slug)
	if err != nil {
		return nil, err
	}
	known := tenant != nil && tenant.Email != ""
	now, code := a.now(), project.NewLoginCode()
	login := project.Login{Slug: slug, ExpiresAt: now.Add(project.LoginCodeLife)}
	if known {
		login.TenantID = tenant.ID
	}
	login.CodeHash = a.Hasher.LoginCode(login.TenantID, code)
	if err := a.store.IssueLogin(ctx, login, now, project.NewToken()); err != nil {
		return nil, err
	}
	delivery, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	delivered := make(chan error, 1)
	go func() {
		if !known {
			delivered <- nil
			return
		}
		delivered <- a.send(delivery, tenant, code)
	}()
	a.Wait(ctx, sendWithin)
	cancel()
	if err := <-delivered; err != nil {
		// The answer must not tell: it is the operator's to see to.
		a.log.ErrorContext(ctx, "login code not sent", "tenant_id", tenant.ID, "error", err)
	}
	return CodeSent{"If the account exists, a login code is on its way", int(project.LoginCodeLife / time.Second)}, nil
}

func (a *auth) send(ctx context.Context, t *project.Tenant, code string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: while sending", errPanic)
		}
	}()
	return a.Sender.Send(ctx, t.Email, "Your Rekindle login code", fmt.Sprintf(`%s is the code to sign in with. Account: %s

It is valid for %d minutes and can be used once. If you did not ask for it,
nothing needs to be done: nobody can sign in without it.
`, code, t.Name, int(project.LoginCodeLife/time.Minute)))
}

// SignedIn is the answer that brings a session's token.
type SignedIn struct {
	Token      string `json:"session_token"`
	ExpiresAt  Stamp  `json:"expires_at"`
	TenantID   string `json:"tenant_id"`
	TenantSlug string `json:"tenant_slug"`
	TenantName string `json:"tenant_name"`
}

// verify begins a session with a login code. The session's token is always a new
// one, whatever token came with the call. A code that is wrong, has expired or
// was used, and a slug that nobody has, are refused alike.
//
// The request's own calls to the database may be repeated, but the request
// itself may not: if its answer is lost the code is used up, and another must be
// asked for.
func (a *auth) verify(ctx context.Context, req *request) (any, error) {
	var in struct {
		Slug string `json:"tenant_slug"`
		Code string `json:"code"`
	}
	if err := req.decode(&in, false); err != nil {
		return nil, err
	}
	slug, err := project.ReadSlug(in.Slug)
	if err != nil {
		return nil, err
	}
	code, ok := project.ReadLoginCode(in.Code)
	if !ok {
		return nil, project.Refuse(project.CodeLoginCodeWrong, nil)
	}
	now, token := a.now(), project.NewToken()
	login, err := a.store.TryLogin(ctx, slug, now, token)
	if err != nil {
		return nil, err
	}
	if !login.Fits(a.Hasher.LoginCode(login.TenantID, code)) {
		return nil, project.Refuse(project.CodeLoginCodeWrong, nil)
	}
	tenant, err := a.store.TenantBySlug(ctx, slug)
	if err != nil {
		return nil, err
	}
	if tenant == nil || tenant.ID != login.TenantID {
		return nil, project.Refuse(project.CodeLoginCodeWrong, nil)
	}
	req.tenantID = tenant.ID
	if err := a.store.UseLogin(ctx, login, token); err != nil {
		return nil, err
	}
	secret := project.NewSessionToken(tenant.ID)
	session := &project.Session{
		TokenHash: project.Hash(secret), TenantID: tenant.ID, ExpiresAt: now.Add(project.SessionLife), LastSeen: now,
	}
	if err := a.store.CreateSession(ctx, session); err != nil {
		return nil, err
	}
	return signedIn(secret, session, tenant), nil
}

func signedIn(secret string, s *project.Session, t *project.Tenant) SignedIn {
	return SignedIn{secret, Stamp(s.ExpiresAt), t.ID, t.Slug, t.Name}
}

// SessionView is the answer to GET …/session.
type SessionView struct {
	TenantID      string                `json:"tenant_id"`
	TenantSlug    string                `json:"tenant_slug"`
	TenantName    string                `json:"tenant_name"`
	Subscription  *project.Subscription `json:"subscription_state"` // null: none
	ExpiresAt     Stamp                 `json:"expires_at"`
	IdleExpiresAt Stamp                 `json:"idle_expires_at"`
}

// session tells whose the session is and when it ends. Like any call it counts
// as a use; nothing moves the absolute end.
func (a *auth) session(_ context.Context, _ *request, c *caller, _ struct{}) (any, error) {
	if c.tenant == nil {
		return nil, project.Refuse(project.CodeSessionInvalid, nil)
	}
	v := SessionView{
		TenantID: c.tenant.ID, TenantSlug: c.tenant.Slug, TenantName: c.tenant.Name, ExpiresAt: Stamp(c.session.ExpiresAt),
	}
	if c.tenant.Subscription != project.NoSubscription {
		v.Subscription = &c.tenant.Subscription
	}
	idle := c.session.LastSeen.Add(project.SessionIdle)
	if idle.After(c.session.ExpiresAt) {
		idle = c.session.ExpiresAt
	}
	v.IdleExpiresAt = Stamp(idle)
	return v, nil
}

// refresh exchanges the session's token for a new one. The old one is dead at
// once, so that a copy of it is too. The absolute end stays where signing in put
// it: a session that could be refreshed past it would have none, and a stolen
// token could be kept alive for ever. If the answer is lost, both tokens are
// lost, and the tenant signs in again.
func (a *auth) refresh(ctx context.Context, _ *request, c *caller, _ struct{}) (any, error) {
	if c.tenant == nil {
		return nil, project.Refuse(project.CodeSessionInvalid, nil)
	}
	now, secret := a.now(), project.NewSessionToken(c.tenant.ID)
	next := &project.Session{
		TokenHash: project.Hash(secret), TenantID: c.tenant.ID, ExpiresAt: c.session.ExpiresAt, LastSeen: now,
	}
	if err := a.store.RotateSession(ctx, c.session.TokenHash, next, now, project.NewToken()); err != nil {
		return nil, err
	}
	return signedIn(secret, next, c.tenant), nil
}

// logout ends the session. One that another request has ended in the meantime is
// as dead as was wanted.
func (a *auth) logout(ctx context.Context, _ *request, c *caller, _ struct{}) (any, error) {
	if _, err := a.store.RevokeSession(ctx, c.session.TokenHash); err != nil {
		return nil, err
	}
	return reply{status: 204}, nil
}
