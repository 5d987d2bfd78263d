package api

import (
	"context"
	"log/slog"
	"time"

	"rekindle/internal/project"
)

// SessionStore is what the session check needs of the store.
type SessionStore interface {
	// Load reads, strongly consistent and at once, the session of a hashed
	// token, a project and its tenant; each is nil where there is none.
	Load(ctx context.Context, tokenHash string, key project.Key) (*project.Session, *project.Project, *project.Tenant, error)
	// TouchSession records a session's use. A session that has gone stays gone.
	TouchSession(ctx context.Context, tokenHash string, now time.Time) error
}

// gate is the session check.
type gate struct {
	store SessionStore
	now   func() time.Time
	log   *slog.Logger
}

// caller is a tenant whose session has been checked, with the project that the
// call is about, if there is one. Only a gate makes it.
type caller struct {
	session *project.Session
	tenant  *project.Tenant  // nil if the tenant has no record
	project *project.Project // nil if the call names none, or another tenant's, or none that exists
	key     project.Key
}

// projectRoute makes a route with {project_id}: handle runs only with a valid
// session and a well-formed id, and after parse has accepted the call's input. A
// project that is not there, or is another tenant's, is a 404 that tells nothing
// of it.
func projectRoute[I any](g gate, parse func(*request) (I, error), handle func(context.Context, *request, *caller, I) (any, error)) route {
	return func(ctx context.Context, req *request) (any, error) {
		id := req.event.PathParameters["project_id"]
		idErr := project.CheckProjectID(id)
		if idErr == nil {
			req.projectID = id
		}
		c, err := g.check(ctx, req)
		if err != nil {
			return nil, err
		}
		if idErr != nil {
			return nil, idErr
		}
		input, err := parse(req)
		if err != nil {
			return nil, err
		}
		if c.project == nil {
			return nil, project.Refuse(project.CodeProjectNotFound, nil)
		}
		return handle(ctx, req, c, input)
	}
}

// tenantRoute makes a route that is about no project: handle runs only with a
// valid session, and after parse has accepted the call's input.
func tenantRoute[I any](g gate, parse func(*request) (I, error), handle func(context.Context, *request, *caller, I) (any, error)) route {
	return func(ctx context.Context, req *request) (any, error) {
		c, err := g.check(ctx, req)
		if err != nil {
			return nil, err
		}
		input, err := parse(req)
		if err != nil {
			return nil, err
		}
		return handle(ctx, req, c, input)
	}
}

// noInput is the input of a call that takes none.
func noInput(*request) (struct{}, error) { return struct{}{}, nil }

// check lets a call through whose X-Session-Token is that of a live session.
func (g gate) check(ctx context.Context, req *request) (*caller, error) {
	token, same := req.sameHeader("x-session-token")
	if !same {
		return nil, project.Refuse(project.CodeSessionInvalid, nil)
	}
	if token == "" {
		return nil, project.Refuse(project.CodeSessionMissing, nil)
	}
	tenantID, ok := project.SplitSessionToken(token)
	if !ok {
		return nil, project.Refuse(project.CodeSessionInvalid, nil)
	}
	hash, key := project.Hash(token), project.Key{TenantID: tenantID, ProjectID: req.projectID}
	session, p, tenant, err := g.store.Load(ctx, hash, key)
	if err != nil {
		return nil, err
	}
	if session == nil || session.TenantID != tenantID {
		return nil, project.Refuse(project.CodeSessionInvalid, nil)
	}
	now := g.now()
	if err := session.Check(now); err != nil {
		return nil, err
	}
	req.tenantID = tenantID
	if session.NeedsTouch(now) {
		// The call is good whether or not its use gets recorded: the next one
		// records it.
		if err := g.store.TouchSession(ctx, hash, now); err != nil {
			g.log.WarnContext(ctx, "session not touched", "tenant_id", tenantID, "error", err)
		} else {
			session.LastSeen = now
		}
	}
	return &caller{session: session, tenant: tenant, project: p, key: key}, nil
}

// again makes ready for a try after the race-th lost race: it waits, and reads
// what the caller has anew. The first try, race 0, goes by what was read.
func (g gate) again(ctx context.Context, race int, c *caller) error {
	if race == 0 {
		return nil
	}
	if err := pause(ctx, race); err != nil {
		return err
	}
	return g.reload(ctx, c)
}

// reload reads the caller's project and tenant again, after a lost race.
func (g gate) reload(ctx context.Context, c *caller) error {
	session, p, tenant, err := g.store.Load(ctx, c.session.TokenHash, c.key)
	switch {
	case err != nil:
		return err
	case session == nil:
		return project.Refuse(project.CodeSessionInvalid, nil)
	case p == nil:
		return project.Refuse(project.CodeProjectNotFound, nil)
	}
	c.project, c.tenant = p, tenant
	return nil
}
