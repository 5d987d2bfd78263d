package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"rekindle/internal/project"
)

// seed is what a seed file holds, checked and ready to be inserted.
type seed struct {
	tenants  []*project.Tenant
	sessions []*project.Session
	projects []*project.Project
}

// seedStore is where a seed goes. Each method inserts only what is not there.
type seedStore interface {
	PutTenant(ctx context.Context, t *project.Tenant) (bool, error)
	PutSession(ctx context.Context, s *project.Session, now time.Time) (bool, error)
	PutProject(ctx context.Context, p *project.Project) (bool, error)
}

// insert puts what is absent, and returns how much that was. A session that has
// ended counts as absent, so that a stack that starts again has a live one.
func (s *seed) insert(ctx context.Context, store seedStore, now time.Time) (int, error) {
	inserted := 0
	count := func(ok bool, err error) error {
		if ok {
			inserted++
		}
		return err
	}
	for _, t := range s.tenants {
		if err := count(store.PutTenant(ctx, t)); err != nil {
			return inserted, fmt.Errorf("seeding tenant %s: %w", t.ID, err)
		}
	}
	for _, x := range s.sessions {
		if err := count(store.PutSession(ctx, x, now)); err != nil {
			return inserted, fmt.Errorf("seeding a session of %s: %w", x.TenantID, err)
		}
	}
	for _, p := range s.projects {
		if err := count(store.PutProject(ctx, p)); err != nil {
			return inserted, fmt.Errorf("seeding project %s: %w", p.ProjectID, err)
		}
	}
	return inserted, nil
}

// hashCodes puts the hashes in the place of the projects' activation codes.
func (s *seed) hashCodes(h *project.Hasher) {
	for _, p := range s.projects {
		if p.ActivationCode != "" {
			p.ActivationCode = h.Hash(project.KindActivation, p.ActivationCode)
		}
	}
}

type seedTenant struct {
	TenantID     string `json:"tenant_id"`
	Name         string `json:"name"`
	Slug         string `json:"slug"`
	Email        string `json:"email"`
	Subscription string `json:"subscription_state"`
	SessionToken string `json:"session_token"`
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
	ActivationCode string `json:"activation_code"`
	Status         string `json:"execution_status"`
	ExecutionID    int64  `json:"execution_id"`
	Attempt        int    `json:"attempt"`
	StartedAt      string `json:"execution_started_at"`
	CompletedAt    string `json:"execution_completed_at"`
	Error          string `json:"execution_error"`
}

// readSeed reads a seed file. Times are RFC 3339, or relative to now ("-25h").
// An error is one line that names the file and the field.
func readSeed(path string, now time.Time) (*seed, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the seed file: %w", err)
	}
	s, err := parseSeed(text, now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func parseSeed(text []byte, now time.Time) (*seed, error) {
	// The elements are read one by one, so that an error can name its own.
	var file struct {
		Tenants  []json.RawMessage `json:"tenants"`
		Sessions []json.RawMessage `json:"sessions"`
		Projects []json.RawMessage `json:"projects"`
	}
	if err := strict(text, &file); err != nil {
		return nil, err
	}
	s := &seed{}
	for i, raw := range file.Tenants {
		var in seedTenant
		if err := element("tenants", i, strict(raw, &in), func() error { return s.addTenant(in, now) }); err != nil {
			return nil, err
		}
	}
	for i, raw := range file.Sessions {
		var in seedSession
		if err := element("sessions", i, strict(raw, &in), func() error { return s.addSession(in, now) }); err != nil {
			return nil, err
		}
	}
	for i, raw := range file.Projects {
		var in seedProject
		if err := element("projects", i, strict(raw, &in), func() error { return s.addProject(in, now) }); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func element(list string, i int, err error, add func() error) error {
	if err == nil {
		err = add()
	}
	if err != nil {
		var field *fieldProblem
		if errors.As(err, &field) {
			return fmt.Errorf("%s[%d].%w", list, i, err)
		}
		return fmt.Errorf("%s[%d]: %w", list, i, err)
	}
	return nil
}

// strict decodes one JSON value and refuses members that v does not have.
func strict(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON ends too early")
	case err == nil && d.More():
		return errors.New("something follows the JSON object")
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: not valid JSON: %w", 1+bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n")), err)
	case errors.As(err, &kind):
		return kindError(kind)
	case err != nil:
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func kindError(err *json.UnmarshalTypeError) error {
	value := err.Value
	switch value {
	case "array", "object":
		value = "an " + value
	case "string", "number":
		value = "a " + value
	case "bool":
		value = "true or false"
	}
	if err.Field == "" {
		return fmt.Errorf("a JSON object is wanted, not %s", value)
	}
	return fieldError(err.Field, "it can't be %s", value)
}

// fieldProblem is what is wrong with one field of an element.
type fieldProblem struct {
	field string
	err   error
}

func (p *fieldProblem) Error() string { return p.field + ": " + p.err.Error() }
func (p *fieldProblem) Unwrap() error { return p.err }

func fieldError(field, format string, args ...any) error {
	return &fieldProblem{field, fmt.Errorf(format, args...)}
}

// tenantIDForm is what a tenant's id may be: it becomes a folder's name.
var tenantIDForm = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$`)

func badTenantID(id string) error {
	if id == "" {
		return fieldError("tenant_id", "it is missing")
	}
	return fieldError("tenant_id", "%q has other characters than letters, digits, - _ and . in it, or begins with a dot", id)
}

func (s *seed) addTenant(in seedTenant, now time.Time) error {
	state := project.Subscription(in.Subscription)
	switch {
	case !tenantIDForm.MatchString(in.TenantID):
		return badTenantID(in.TenantID)
	case state != project.NoSubscription && !slices.Contains(project.Subscriptions, state):
		return fieldError("subscription_state", "%q is not one of %v", state, project.Subscriptions)
	}
	s.tenants = append(s.tenants, &project.Tenant{
		ID: in.TenantID, Name: in.Name, Slug: in.Slug, Email: in.Email, Subscription: state,
	})
	if in.SessionToken == "" {
		return nil
	}
	return s.addSession(seedSession{TenantID: in.TenantID, SessionToken: in.SessionToken}, now)
}

func (s *seed) addSession(in seedSession, now time.Time) error {
	tenantID, ok := project.SplitSessionToken(in.SessionToken)
	switch {
	case !tenantIDForm.MatchString(in.TenantID):
		return badTenantID(in.TenantID)
	case !ok || tenantID != in.TenantID:
		return fieldError("session_token", "it must read %s.secret, with the tenant's id before the last dot", in.TenantID)
	}
	expires, err := seedTime("expires_at", in.ExpiresAt, now, now.Add(project.SessionLife))
	if err != nil {
		return err
	}
	seen, err := seedTime("last_seen", in.LastSeen, now, now)
	if err != nil {
		return err
	}
	s.sessions = append(s.sessions, &project.Session{
		TokenHash: project.Hash(in.SessionToken), TenantID: in.TenantID, ExpiresAt: expires, LastSeen: seen,
	})
	return nil
}

func (s *seed) addProject(in seedProject, now time.Time) error {
	if !tenantIDForm.MatchString(in.TenantID) {
		return badTenantID(in.TenantID)
	}
	if err := project.CheckProjectID(in.ProjectID); err != nil {
		return fieldError("project_id", "%w", err)
	}
	status := project.Status(in.Status)
	if status == project.None {
		status = project.Pending
	}
	if !slices.Contains(project.Statuses, status) {
		return fieldError("execution_status", "%q is not one of %v", status, project.Statuses)
	}
	if in.ExecutionID < 0 || in.ExecutionID >= 1<<53 {
		return fieldError("execution_id", "%d is not a positive number under 2^53", in.ExecutionID)
	}
	if in.Attempt < 0 {
		return fieldError("attempt", "%d is negative", in.Attempt)
	}
	var noStart time.Time
	if status == project.Running {
		// The sweep finds what runs by its start; one without would run for
		// ever.
		noStart = now
	}
	started, err := seedTime("execution_started_at", in.StartedAt, now, noStart)
	if err != nil {
		return err
	}
	completed, err := seedTime("execution_completed_at", in.CompletedAt, now, time.Time{})
	if err != nil {
		return err
	}
	p := &project.Project{
		Key: project.Key{TenantID: in.TenantID, ProjectID: in.ProjectID}, UID: project.NewToken(), Version: 1,
		Name: in.Name, Description: in.Description, Objectives: in.Objectives, CreatedAt: now,
		Status: status, ExecutionID: in.ExecutionID, Attempt: in.Attempt,
		StartedAt: started, CompletedAt: completed, Error: in.Error,
	}
	if in.ActivationCode != "" {
		p.ActivationCode = in.ActivationCode // until hashCodes
	}
	if in.ExecutionID != 0 {
		p.Outcome = map[project.Status]project.Outcome{
			project.Completed: project.OutcomeCompleted, project.Failed: project.OutcomeFailed,
		}[status]
		p.Attempts = map[int64]project.Attempt{in.ExecutionID: {
			ExecutionID: in.ExecutionID, Number: max(in.Attempt, 1), StartedAt: started, CompletedAt: completed,
			Outcome: p.Outcome, Error: in.Error, Operation: project.Run,
		}}
	}
	s.projects = append(s.projects, p)
	return nil
}

// seedTime reads a time, or the distance of one from now.
func seedTime(field, text string, now, absent time.Time) (time.Time, error) {
	if text == "" {
		return absent, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fieldError(field, "%q is neither an RFC 3339 time nor a distance from now such as -25h", text)
	}
	// The first instant of year 1 is Go's word for none, and a year of five
	// digits can't be written back.
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, fieldError(field, "%q is not between the years 1970 and 9999", text)
	}
	return t, nil
}
