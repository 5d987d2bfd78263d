package api

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"rekindle/internal/project"
)

// Limits of a list's query parameters.
const (
	defaultPage = 20
	maxPage     = 100
	maxSearch   = 200   // characters
	maxCursor   = 1_000 // bytes
)

// ProjectList is a page of a tenant's projects, newest first.
type ProjectList struct {
	Projects   []ProjectSummary `json:"projects"`
	NextCursor *string          `json:"next_cursor"` // null on the last page
}

// ProjectSummary is a project in a [ProjectList].
type ProjectSummary struct {
	ProjectID         string           `json:"project_id"`
	Name              string           `json:"name"`
	Description       string           `json:"description"`
	Status            project.Status   `json:"execution_status"`
	ExecutionID       *int64           `json:"execution_id"`
	Attempt           int              `json:"attempt"`
	StartedAt         Stamp            `json:"execution_started_at"`
	CompletedAt       Stamp            `json:"execution_completed_at"`
	Error             *string          `json:"execution_error"`
	Progress          project.Progress `json:"progress"`
	CreatedAt         Stamp            `json:"created_at"`
	Version           int64            `json:"version"`
	HasActivationCode bool             `json:"has_activation_code"` // one that was not revoked
}

func summaryView(p *project.Project) ProjectSummary {
	return ProjectSummary{
		ProjectID: p.ProjectID, Name: p.Name, Description: p.Description, Status: p.Status,
		ExecutionID: orNull(p.ExecutionID), Attempt: p.Attempt, StartedAt: Stamp(p.StartedAt), CompletedAt: Stamp(p.CompletedAt),
		Error: orNull(p.Error), Progress: p.Progress, CreatedAt: Stamp(p.CreatedAt), Version: p.Version,
		HasActivationCode: p.Activated(),
	}
}

// listInput is what a caller wants to see.
type listInput struct {
	limit  int
	cursor string
	search string // in lower case
	status project.Status
}

func invalidQuery(parameter, problem string) error {
	return project.Refuse(project.CodeQueryInvalid, project.Fields{"parameter": parameter, "problem": problem})
}

// parseList reads the query. A parameter that is empty is one that is absent,
// and one that the list does not have is passed over.
func parseList(req *request) (in listInput, err error) {
	query := req.event.QueryStringParameters
	in = listInput{limit: defaultPage, cursor: query["cursor"], search: strings.ToLower(strings.TrimSpace(query["search"]))}
	if v := query["limit"]; v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxPage {
			return in, invalidQuery("limit", "must be a whole number from 1 to "+strconv.Itoa(maxPage))
		}
		in.limit = n
	}
	if utf8.RuneCountInString(in.search) > maxSearch {
		return in, invalidQuery("search", "is longer than "+strconv.Itoa(maxSearch)+" characters")
	}
	if v := project.Status(query["status"]); v != project.None {
		if !slices.Contains(project.Statuses, v) {
			return in, invalidQuery("status", "must be one of pending, running, completed and failed")
		}
		in.status = v
	}
	return in, nil
}

// list answers with a page. With a search it reads on until the page is full or
// the tenant has no more projects; without, it is one query.
func (s *projects) list(ctx context.Context, _ *request, c *caller, in listInput) (any, error) {
	l := project.Listing{TenantID: c.key.TenantID, Status: in.status, Texts: in.search != ""}
	if in.cursor != "" {
		after, ok := s.readCursor(l.TenantID, in)
		if !ok {
			return nil, project.Refuse(project.CodeCursorInvalid, nil)
		}
		l.After = after
	}
	if in.search == "" && in.status == project.None {
		l.PageSize = in.limit + 1 // the one more tells that there is a next page
	}
	page := &ProjectList{Projects: make([]ProjectSummary, 0, in.limit)}
	var last project.Position
	for p, err := range s.store.Projects(ctx, l) {
		if err != nil {
			return nil, err
		}
		if in.search != "" && !mentions(p, in.search) {
			continue
		}
		if len(page.Projects) == in.limit {
			next := s.cursor(l.TenantID, in, last)
			page.NextCursor = &next
			break
		}
		page.Projects = append(page.Projects, summaryView(p))
		last = project.Position{CreatedAt: p.CreatedAt, ProjectID: p.ProjectID}
	}
	return page, nil
}

// mentions says whether one of the project's texts has a search in it, which is
// in lower case.
func mentions(p *project.Project, search string) bool {
	for _, text := range []string{p.Name, p.ProjectID, p.Description, p.Objectives} {
		if strings.Contains(strings.ToLower(text), search) {
			return true
		}
	}
	return false
}

// place is what a cursor holds.
type place struct {
	CreatedAt int64  `json:"c"` // milliseconds since 1970
	ProjectID string `json:"p"`
}

// cursor makes the cursor of the page after last. Its seal is over the tenant
// and what was asked for, so that a cursor is good for its own list alone.
func (s *projects) cursor(tenantID string, in listInput, last project.Position) string {
	text, err := json.Marshal(place{last.CreatedAt.UnixMilli(), last.ProjectID})
	if err != nil {
		panic(err) // a number and a text
	}
	held := base64.RawURLEncoding.EncodeToString(text)
	return held + "." + s.seal(tenantID, in, held)
}

func (s *projects) seal(tenantID string, in listInput, held string) string {
	// JSON, so that no two lists of texts read the same.
	text, err := json.Marshal([]string{tenantID, in.search, string(in.status), held})
	if err != nil {
		panic(err)
	}
	return s.hasher.Hash(project.KindCursor, string(text))
}

func (s *projects) readCursor(tenantID string, in listInput) (project.Position, bool) {
	held, seal, _ := strings.Cut(in.cursor, ".")
	if len(in.cursor) > maxCursor || !hmac.Equal([]byte(seal), []byte(s.seal(tenantID, in, held))) {
		return project.Position{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(held)
	if err != nil {
		return project.Position{}, false
	}
	var at place
	if err := json.Unmarshal(text, &at); err != nil {
		return project.Position{}, false
	}
	return project.Position{CreatedAt: time.UnixMilli(at.CreatedAt).UTC(), ProjectID: at.ProjectID}, true
}
