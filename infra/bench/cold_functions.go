package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"rekindle/internal/launch"
	"rekindle/internal/project"
	"rekindle/internal/token"
)

// The tenant of the events in infra/events, and its session.
const (
	coldTenant  = "demo"
	coldSession = "demo.rekindle-demo-session"
)

// seed puts in the tenant of the events and its session.
func (b *coldBench) seed(ctx context.Context) error {
	if _, err := b.database.store.PutTenant(ctx, &project.Tenant{
		ID: coldTenant, Name: "Demo Inc.", Slug: coldTenant, Email: "demo@example.com", Subscription: project.Active,
	}); err != nil {
		return fmt.Errorf("seeding the tenant: %w", err)
	}
	now := time.Now().UTC()
	if _, err := b.database.store.PutSession(ctx, &project.Session{
		TokenHash: project.Hash(coldSession), TenantID: coldTenant, ExpiresAt: now.Add(project.SessionLife), LastSeen: now,
	}, now); err != nil {
		return fmt.Errorf("seeding the session: %w", err)
	}
	return nil
}

// about makes a project in a status and has the event speak of it.
func about(status project.Status) func(context.Context, *coldBench, map[string]any, int) error {
	return func(ctx context.Context, b *coldBench, event map[string]any, n int) error {
		p, err := b.insert(ctx, n, status, time.Hour)
		if err != nil {
			return err
		}
		if headers, ok := event["headers"].(map[string]any); ok {
			delete(headers, "idempotency-key") // each call has a project of its own
		}
		old, _ := event["pathParameters"].(map[string]any)["project_id"].(string)
		path, _ := event["rawPath"].(string)
		event["rawPath"] = strings.Replace(path, old, p.ProjectID, 1)
		event["requestContext"].(map[string]any)["http"].(map[string]any)["path"] = event["rawPath"]
		event["pathParameters"] = map[string]any{"project_id": p.ProjectID}
		return nil
	}
}

// insert puts in the n-th call's project, started so long ago.
func (b *coldBench) insert(ctx context.Context, n int, status project.Status, ago time.Duration) (*project.Project, error) {
	p := coldProject(n, status, time.Now().UTC().Add(-ago).Truncate(time.Millisecond))
	inserted, err := b.database.store.PutProject(ctx, p)
	if err == nil && !inserted {
		err = fmt.Errorf("project %s was there already", p.ProjectID)
	}
	return p, err
}

// executionToken is what a runner of a project would have.
func (b *coldBench) executionToken(p *project.Project) (string, error) {
	keys, err := token.NewKeyring(b.settings["EXECUTION_TOKEN_SECRET"])
	if err != nil {
		return "", err
	}
	return keys.Mint(token.Execution, p.Ref(), ""), nil
}

var coldFunctions = []coldFunction{
	{name: "status", event: "status.json", peer: "peer.lambdas.handler", prepare: about(project.Failed)},
	{name: "run", event: "run.json", peer: "peer.lambdas.handler", prepare: about(project.Pending)},
	{name: "restart", event: "restart.json", peer: "peer.lambdas.handler", prepare: about(project.Failed)},
	{name: "cleanup", event: "cleanup.json", peer: "peer.lambdas.cleanup", check: failedOne,
		prepare: func(ctx context.Context, b *coldBench, _ map[string]any, n int) error {
			_, err := b.insert(ctx, n, project.Running, 25*time.Hour)
			return err
		}},
	{name: "projects", event: "project-list.json"},
	// Not the request for a login code: that takes two seconds on purpose.
	{name: "auth", event: "project-list.json",
		prepare: func(_ context.Context, _ *coldBench, event map[string]any, _ int) error {
			event["routeKey"], event["rawPath"] = "GET /api/tenant/auth/session", "/api/tenant/auth/session"
			return nil
		}},
	{name: "worker", event: "worker-claim.json",
		prepare: func(ctx context.Context, b *coldBench, event map[string]any, n int) error {
			p, err := b.insert(ctx, n, project.Running, time.Hour)
			if err != nil {
				return err
			}
			bearer, err := b.executionToken(p)
			id := strconv.FormatInt(p.ExecutionID, 10)
			event["headers"].(map[string]any)["authorization"] = "Bearer " + bearer
			event["pathParameters"] = map[string]any{"execution_id": id}
			event["rawPath"] = "/api/worker/executions/" + id + "/claim"
			return err
		}},
	{name: "settle", event: "settle-failed.json", check: isNull,
		prepare: func(ctx context.Context, b *coldBench, event map[string]any, n int) error {
			p, err := b.insert(ctx, n, project.Running, time.Hour)
			if err != nil {
				return err
			}
			bearer, err := b.executionToken(p)
			detail := event["detail"].(map[string]any)
			detail["jobName"] = launch.JobName(p.Ref())
			detail["container"].(map[string]any)["environment"] = []map[string]string{{"name": "REKINDLE_EXECUTION_TOKEN", "value": bearer}}
			return err
		}},
}
