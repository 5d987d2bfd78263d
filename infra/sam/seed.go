package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
)

// What the events in infra/events/ name. The execution tokens in them are made
// for the stuck project's execution, so its ids never change.
const (
	tenantID = "demo"
	session  = "demo.rekindle-demo-session"
	runnerID = "sam-local-runner"
)

var stuck = project.Ref{
	Key: project.Key{TenantID: tenantID, ProjectID: "stuck-site"}, ProjectUID: "sam-local-stuck-site", ExecutionID: 100001,
}

// seed puts one tenant in, with a session, a project of each status, and one that
// can be extended. Started and completed lie before now.
func seed(ctx context.Context, store *dynamo.Store, hashing string, now time.Time) error {
	hasher, err := project.NewHasher(hashing)
	if err != nil {
		return fmt.Errorf("HASHING_SECRET: %w", err)
	}
	_, tenant := store.PutTenant(ctx, &project.Tenant{
		ID: tenantID, Name: "Demo Inc.", Slug: "demo", Email: "demo@example.com", Subscription: "active",
	})
	_, live := store.PutSession(ctx, &project.Session{
		TokenHash: project.Hash(session), TenantID: tenantID, ExpiresAt: now.Add(project.SessionLife), LastSeen: now,
	}, now)
	failures := []error{tenant, live}
	for _, p := range []*project.Project{
		{Key: project.Key{ProjectID: "pending-site"}, Status: project.Pending, Name: "Product site"},
		{Key: stuck.Key, UID: stuck.ProjectUID, Status: project.Running, Name: "Autumn campaign", ExecutionID: stuck.ExecutionID,
			StartedAt: now.Add(-25 * time.Hour)},
		{Key: project.Key{ProjectID: "long-site"}, Status: project.Running, Name: "Archive", ExecutionID: 100004, StartedAt: now.Add(-21 * time.Hour)},
		{Key: project.Key{ProjectID: "failing-site"}, Status: project.Failed, Name: "Help pages", ExecutionID: 100002,
			StartedAt: now.Add(-3 * time.Hour), CompletedAt: now.Add(-2 * time.Hour), Error: "The disk was full"},
		{Key: project.Key{ProjectID: "finished-site"}, Status: project.Completed, Name: "Careers", ExecutionID: 100003,
			StartedAt: now.Add(-6 * time.Hour), CompletedAt: now.Add(-5 * time.Hour)},
	} {
		p.TenantID, p.Version, p.CreatedAt = tenantID, 1, now
		p.Description, p.Objectives = "A site for the events of sam local", "Welcome\nOffers"
		p.ActivationCode = hasher.Hash(project.KindActivation, "code of "+p.ProjectID)
		if p.UID == "" {
			p.UID = "sam-local-" + p.ProjectID
		}
		if p.ExecutionID != 0 {
			p.Attempt = 1
			p.Outcome = map[project.Status]project.Outcome{
				project.Completed: project.OutcomeCompleted, project.Failed: project.OutcomeFailed,
			}[p.Status]
			p.Attempts = map[int64]project.Attempt{p.ExecutionID: {
				ExecutionID: p.ExecutionID, Number: 1, StartedAt: p.StartedAt, CompletedAt: p.CompletedAt, Error: p.Error, Operation: project.Run,
				Outcome: p.Outcome,
			}}
		}
		_, err := store.PutProject(ctx, p)
		failures = append(failures, err)
	}
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("seeding: %w", err)
	}
	return nil
}
