package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
)

// seedData is a seed file of the local stack, which the peer reads as well.
type seedData struct {
	Tenants  []seedTenant  `json:"tenants"`
	Sessions []seedSession `json:"sessions"`
	Projects []seedProject `json:"projects"`
}

type seedTenant struct {
	TenantID     string `json:"tenant_id"`
	Name         string `json:"name"`
	Slug         string `json:"slug"`
	Email        string `json:"email"`
	Subscription string `json:"subscription_state"`
	SessionToken string `json:"session_token,omitempty"`
}

type seedSession struct {
	TenantID     string `json:"tenant_id"`
	SessionToken string `json:"session_token"`
	ExpiresAt    string `json:"expires_at"`
	LastSeen     string `json:"last_seen"`
}

type seedProject struct {
	TenantID       string `json:"tenant_id"`
	ProjectID      string `json:"project_id"`
	Name           string `json:"name"`
	Description    string `json:"description"`
	Objectives     string `json:"objectives"`
	ActivationCode string `json:"activation_code,omitempty"`
	Status         string `json:"execution_status"`
	ExecutionID    int64  `json:"execution_id,omitempty"`
	Attempt        int    `json:"attempt,omitempty"`
	StartedAt      string `json:"execution_started_at,omitempty"`
	CompletedAt    string `json:"execution_completed_at,omitempty"`
	Error          string `json:"execution_error,omitempty"`
}

// The tenants of the comparison: most projects are peerTenant's, those that are
// stuck another's, and lateTenant has not paid.
const (
	peerTenant  = "peer"
	stuckTenant = "stuck"
	lateTenant  = "late"
)

// sessionToken is a tenant's session; kind tells several of one tenant apart.
func sessionToken(tenant, kind string) string { return tenant + ".bench-session" + kind }

// newSeed has the tenants, their sessions, and what the check of the answers
// needs. Every system gets the same.
func newSeed(now time.Time) *seedData {
	s := &seedData{}
	for _, t := range []struct{ id, state string }{
		{peerTenant, "active"}, {stuckTenant, "active"}, {lateTenant, "past_due"},
	} {
		s.Tenants = append(s.Tenants, seedTenant{t.id, t.id, t.id, t.id + "@example.com", t.state, sessionToken(t.id, "")})
	}
	at := func(ago time.Duration) string { return now.Add(-ago).UTC().Format(time.RFC3339) }
	s.Sessions = []seedSession{
		{peerTenant, sessionToken(peerTenant, "-expired"), at(time.Minute), at(2 * time.Minute)},
		{peerTenant, sessionToken(peerTenant, "-idle"), at(-time.Hour), at(31 * time.Minute)},
	}
	for _, status := range project.Statuses {
		s.add(now, peerTenant, "check-"+string(status), status)
	}
	s.add(now, lateTenant, "check-late", project.Pending)
	return s
}

// add puts a project in. One that runs has been running for 25 hours.
func (s *seedData) add(now time.Time, tenant, id string, status project.Status) {
	p := seedProject{
		TenantID: tenant, ProjectID: id, Name: "Corporate site", Description: small.description, Objectives: small.objectives,
		ActivationCode: "code of " + id, Status: string(status),
	}
	if status != project.Pending {
		p.ExecutionID, p.Attempt, p.StartedAt = 1000, 1, now.Add(-25*time.Hour).UTC().Format(time.RFC3339)
	}
	if status == project.Failed || status == project.Completed {
		p.CompletedAt = now.Add(-24 * time.Hour).UTC().Format(time.RFC3339)
	}
	if status == project.Failed {
		p.Error = small.failure
	}
	s.Projects = append(s.Projects, p)
}

// addMany puts in n projects, and returns their ids.
func (s *seedData) addMany(now time.Time, tenant, prefix string, n int, status project.Status) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = prefix + "-" + strconv.Itoa(i)
		s.add(now, tenant, ids[i], status)
	}
	return ids
}

func (s *seedData) write(path string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// insert puts the same into a store, as the local stack does.
func (s *seedData) insert(ctx context.Context, store *dynamo.Store, now time.Time) error {
	for _, t := range s.Tenants {
		_, err := store.PutTenant(ctx, &project.Tenant{ID: t.TenantID, Name: t.Name, Slug: t.Slug, Email: t.Email, Subscription: project.Subscription(t.Subscription)})
		if err == nil {
			_, err = store.PutSession(ctx, &project.Session{
				TokenHash: project.Hash(t.SessionToken), TenantID: t.TenantID, ExpiresAt: now.Add(project.SessionLife), LastSeen: now,
			}, now)
		}
		if err != nil {
			return fmt.Errorf("seeding tenant %s: %w", t.TenantID, err)
		}
	}
	for _, x := range s.Sessions {
		expires, err := time.Parse(time.RFC3339, x.ExpiresAt)
		seen, err2 := time.Parse(time.RFC3339, x.LastSeen)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if _, err := store.PutSession(ctx, &project.Session{TokenHash: project.Hash(x.SessionToken), TenantID: x.TenantID, ExpiresAt: expires, LastSeen: seen}, now); err != nil {
			return fmt.Errorf("seeding a session: %w", err)
		}
	}
	return insertProjects(ctx, store, s.Projects)
}

// insertProjects puts projects into a store, several at a time.
func insertProjects(ctx context.Context, store *dynamo.Store, projects []seedProject) error {
	const atOnce = 8
	failures := make([]error, atOnce)
	var wg sync.WaitGroup
	for first := range atOnce {
		wg.Go(func() {
			for i := first; i < len(projects) && failures[first] == nil; i += atOnce {
				p, err := projects[i].project()
				if err == nil {
					_, err = store.PutProject(ctx, p)
				}
				failures[first] = err
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("seeding projects: %w", err)
	}
	return nil
}

func (in seedProject) project() (*project.Project, error) {
	p := &project.Project{
		Key: project.Key{TenantID: in.TenantID, ProjectID: in.ProjectID}, UID: project.NewToken(), Version: 1,
		Name: in.Name, Description: in.Description, Objectives: in.Objectives, Status: project.Status(in.Status),
		ActivationCode: project.Hash(in.ActivationCode), ExecutionID: in.ExecutionID, Attempt: in.Attempt, Error: in.Error,
	}
	for text, into := range map[string]*time.Time{in.StartedAt: &p.StartedAt, in.CompletedAt: &p.CompletedAt} {
		if text == "" {
			continue
		}
		var err error
		if *into, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, err
		}
	}
	p.CreatedAt = time.Now().UTC()
	if p.ExecutionID != 0 {
		p.Attempts = map[int64]project.Attempt{p.ExecutionID: {
			ExecutionID: p.ExecutionID, Number: p.Attempt, StartedAt: p.StartedAt, CompletedAt: p.CompletedAt, Error: p.Error, Operation: project.Run,
			Outcome: map[project.Status]project.Outcome{
				project.Completed: project.OutcomeCompleted, project.Failed: project.OutcomeFailed,
			}[p.Status],
		}}
	}
	return p, nil
}
