package api

import (
	"context"
	"iter"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/telemetry"
)

// ProjectStore is what the projects' calls need of the store. The methods are
// documented at dynamo.Store.
type ProjectStore interface {
	SessionStore
	Projects(ctx context.Context, l project.Listing) iter.Seq2[*project.Project, error]
	CreateProject(ctx context.Context, p *project.Project, q project.Quota) (*project.Project, error)
	EditProject(ctx context.Context, p *project.Project, d project.Draft, anyVersion bool, token string) (*project.Project, error)
	DeleteProject(ctx context.Context, p *project.Project, t *project.Tenant) error
	AssignCode(ctx context.Context, p *project.Project, hash string, now time.Time) (*project.Project, error)
	Settle(ctx context.Context, s project.Settlement) (*project.Project, error)
	Extend(ctx context.Context, ref project.Ref, by time.Duration) (*project.Project, error)
}

// Stopper stops the work of an execution that was cancelled. JobID is empty
// where no job had claimed it. It returns without waiting for the end of the
// work.
type Stopper interface {
	Stop(ctx context.Context, ref project.Ref, jobID, reason string) error
}

// OutputRemover removes what all executions of one incarnation of a project
// wrote.
type OutputRemover interface {
	Remove(ctx context.Context, tenantID, projectUID string) error
}

// ProjectsConfig is what the projects' calls are told by the settings.
type ProjectsConfig struct {
	Timeout time.Duration // the limit that the sweep fails executions by
	Outputs Outputs
}

// NewProjects makes the handler of the calls that list, create, show, edit,
// delete, activate, cancel and extend projects, and show what they wrote.
func NewProjects(store ProjectStore, stopper Stopper, hasher *project.Hasher, cfg ProjectsConfig, o Options) *Handler {
	o = o.withDefaults()
	g := gate{store: store, now: o.Now, log: o.Log}
	s := &projects{gate: g, store: store, stopper: stopper, hasher: hasher, cfg: cfg, now: o.Now, log: o.Log}
	const all, one = "/api/tenant/projects", "/api/tenant/projects/{project_id}"
	routes := map[string]route{
		"GET " + all:                       tenantRoute(g, parseList, s.list),
		"POST " + all:                      tenantRoute(g, parseDraft, s.create),
		"GET " + one:                       projectRoute(g, noInput, s.show),
		"PUT " + one:                       projectRoute(g, parseEdit, s.edit),
		"DELETE " + one:                    projectRoute(g, noInput, s.remove),
		"POST " + one + "/activation-code": projectRoute(g, parseActivation, s.activate),
		"POST " + one + "/cancel":          projectRoute(g, parseCancel, s.cancel),
		"POST " + one + "/extend":          projectRoute(g, parseExtend, s.extend),
	}
	maps.Copy(routes, outputRoutes(g, cfg.Outputs))
	return newHandler(o, routes)
}

type projects struct {
	gate    gate
	store   ProjectStore
	stopper Stopper
	hasher  *project.Hasher
	cfg     ProjectsConfig
	now     func() time.Time
	log     *slog.Logger
}

// Project is everything about one project: the answer to showing, creating,
// editing and activating it.
type Project struct {
	*Status
	Description    string         `json:"description"`
	Objectives     string         `json:"objectives"`
	CreatedAt      Stamp          `json:"created_at"`
	Version        int64          `json:"version"`
	ActivationCode ActivationCode `json:"activation_code"`
}

// ActivationCode is what is told of a project's code: never the code itself.
type ActivationCode struct {
	Assigned  bool    `json:"assigned"` // also if it was revoked since
	Hint      *string `json:"hint"`     // the code's last group
	RevokedAt Stamp   `json:"revoked_at"`
}

// view answers with everything about a project, and its version as the ETag
// that an edit sends in If-Match.
func (s *projects) view(status int, p *project.Project, t *project.Tenant) reply {
	return reply{
		status:  status,
		headers: map[string]string{"etag": etag(p.Version)},
		value: &Project{
			Status: statusView(p, t, s.cfg.Timeout, s.now()), Description: p.Description, Objectives: p.Objectives,
			CreatedAt: Stamp(p.CreatedAt), Version: p.Version,
			ActivationCode: ActivationCode{p.ActivationCode != "", orNull(p.ActivationCodeHint), Stamp(p.ActivationCodeRevokedAt)},
		},
	}
}

func (s *projects) show(_ context.Context, _ *request, c *caller, _ struct{}) (any, error) {
	return s.view(200, c.project, c.tenant), nil
}

func parseDraft(req *request) (d project.Draft, err error) {
	if err := req.decodeUpTo(maxDraft, &d, false); err != nil {
		return d, err
	}
	return d, d.Check()
}

func (s *projects) create(ctx context.Context, req *request, c *caller, d project.Draft) (any, error) {
	quota, err := project.QuotaOf(c.tenant)
	if err != nil {
		return nil, err
	}
	p, err := s.store.CreateProject(ctx, project.NewProject(c.key.TenantID, d, s.now()), quota)
	if err != nil {
		return nil, err
	}
	req.projectID = p.ProjectID
	r := s.view(201, p, c.tenant)
	r.headers["location"] = "/api/tenant/projects/" + p.ProjectID
	return r, nil
}

// edit is what a caller wants a project to be, and of which version.
type edit struct {
	draft project.Draft
	match versions
}

func parseEdit(req *request) (in edit, err error) {
	if in.draft, err = parseDraft(req); err != nil {
		return in, err
	}
	in.match = readVersions(req.header("if-match"))
	if in.match.none() {
		return in, project.Refuse(project.CodeVersionMissing, nil)
	}
	return in, nil
}

func (s *projects) edit(ctx context.Context, _ *request, c *caller, in edit) (any, error) {
	if c.project.Status == project.Running {
		return nil, project.Refuse(project.CodeProjectRunning, project.Fields{"action": "editing"})
	}
	if !in.match.has(c.project.Version) {
		// A caller whose first answer was lost has written the next version.
		if in.match.has(c.project.Version-1) && wrote(c.project, in.draft) {
			return s.view(200, c.project, c.tenant), nil
		}
		return nil, project.Refuse(project.CodeVersionStale, project.Fields{"version": c.project.Version})
	}
	p, err := s.store.EditProject(ctx, c.project, in.draft, in.match.any, project.NewToken())
	if err != nil {
		return nil, err
	}
	return s.view(200, p, c.tenant), nil
}

// wrote says whether a project reads as a draft does.
func wrote(p *project.Project, d project.Draft) bool {
	return p.Name == d.Name && p.Description == d.Description && p.Objectives == d.Objectives
}

// versions are those that an If-Match header names.
type versions struct {
	any    bool
	given  bool
	listed []int64
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// readVersions reads an If-Match header (RFC 9110, section 13.1.1): entity tags,
// or *. A tag may be marked as weak, as proxies that compress do, and its quotes
// may be left out. What is no version matches none.
func readVersions(header string) versions {
	v := versions{given: strings.TrimSpace(header) != ""}
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" {
			v.any = true
			continue
		}
		tag = strings.TrimPrefix(tag, "W/")
		if bare, quoted := strings.CutPrefix(tag, `"`); quoted {
			tag = strings.TrimSuffix(bare, `"`)
		}
		if n, err := strconv.ParseInt(tag, 10, 64); err == nil {
			v.listed = append(v.listed, n)
		}
	}
	return v
}

func (v versions) none() bool { return !v.given }

func (v versions) has(version int64) bool {
	if v.any {
		return true
	}
	for _, n := range v.listed {
		if n == version {
			return true
		}
	}
	return false
}

// remove deletes a project, and then what it wrote. If that fails, or the
// process ends before it, or the runner of an execution that was just cancelled
// writes once more, files stay under a uid that no project ever has again: they
// cost space, and nobody can reach them.
func (s *projects) remove(ctx context.Context, req *request, c *caller, _ struct{}) (any, error) {
	p := c.project
	for race := range maxRaces {
		if race > 0 {
			if err := pause(ctx, race); err != nil {
				return nil, err
			}
		}
		err := s.store.DeleteProject(ctx, p, c.tenant)
		if project.CodeOf(err) == project.CodeContended {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.log.InfoContext(ctx, "project deleted", "tenant_id", p.TenantID, "project_id", p.ProjectID)
		// A project without a uid is none of ours; its folder would be the
		// tenant's.
		if p.UID != "" && s.cfg.Outputs != nil {
			if err := s.cfg.Outputs.Remove(ctx, p.TenantID, p.UID); err != nil {
				s.log.ErrorContext(ctx, "output of a deleted project not removed",
					"tenant_id", p.TenantID, "project_id", p.ProjectID, "project_uid", p.UID, "error", err)
			}
		}
		return reply{status: 204}, nil
	}
	return nil, project.Refuse(project.CodeContended, nil)
}

func parseActivation(req *request) (string, error) {
	var in struct {
		Code string `json:"code"`
	}
	if err := req.decode(&in, false); err != nil {
		return "", err
	}
	return project.ReadActivationCode(in.Code)
}

func (s *projects) activate(ctx context.Context, req *request, c *caller, code string) (any, error) {
	p, err := s.store.AssignCode(ctx, c.project, s.hasher.Hash(project.KindActivation, code), s.now())
	if err != nil {
		return nil, err
	}
	s.log.InfoContext(ctx, "activation code assigned",
		"tenant_id", p.TenantID, "project_id", p.ProjectID, "hint", p.ActivationCodeHint)
	return s.view(200, p, c.tenant), nil
}

// Cancelled is the answer to POST …/cancel.
type Cancelled struct {
	Success bool           `json:"success"`
	Message string         `json:"message"`
	Status  project.Status `json:"status"`
}

func parseCancel(req *request) (*int, error) {
	var in struct {
		ExpectedAttempt *int `json:"expected_attempt"`
	}
	if err := req.decode(&in, true); err != nil {
		return nil, err
	}
	return in.ExpectedAttempt, checkExpected(in.ExpectedAttempt)
}

// checkExpected refuses an expected_attempt that no project can be at.
func checkExpected(attempt *int) error {
	if attempt != nil && *attempt < 0 {
		return invalidBody("expected_attempt can't be negative")
	}
	return nil
}

// cancelled is the error of an execution that its tenant ended.
const cancelled = "cancelled"

// cancel ends the execution that is running. A lost race is judged anew, but for
// the same attempt: nobody has asked to cancel one that began since.
func (s *projects) cancel(ctx context.Context, req *request, c *caller, expected *int) (any, error) {
	token := project.NewToken()
	for race := range maxRaces {
		if err := s.gate.again(ctx, race, c); err != nil {
			return nil, err
		}
		p := c.project
		req.executionID = p.ExecutionID
		if err := project.CheckAttempt(p, expected); err != nil {
			return nil, err
		}
		if p.Status != project.Running {
			return nil, project.Refuse(project.CodeNotRunning, project.Fields{"action": "cancelled", "status": p.Status})
		}
		expected = &p.Attempt
		ended, err := s.store.Settle(ctx, project.Settlement{Ref: p.Ref(), Event: project.Cancel, Error: cancelled, At: s.now(), Token: token})
		if project.CodeOf(err) == project.CodeAttemptClosed {
			continue
		}
		if err != nil {
			return nil, err
		}
		req.metrics.CountOf(telemetry.Failed, telemetry.Cancelled)
		s.log.InfoContext(ctx, "execution cancelled",
			"tenant_id", p.TenantID, "project_id", p.ProjectID, "execution_id", p.ExecutionID)
		s.stop(ctx, req, p.Ref(), ended.Attempts[p.ExecutionID].JobID)
		return &Cancelled{Success: true, Message: "Project execution cancelled", Status: project.Failed}, nil
	}
	return nil, project.Refuse(project.CodeContended, nil)
}

// stop asks the engine to stop the work of a cancelled execution. Where that
// fails, the runner stops it at its next heartbeat.
func (s *projects) stop(ctx context.Context, req *request, ref project.Ref, jobID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := s.stopper.Stop(ctx, ref, jobID, cancelled); err != nil {
		s.log.WarnContext(ctx, "work of a cancelled execution not stopped: its next heartbeat will",
			"tenant_id", ref.TenantID, "project_id", ref.ProjectID, "execution_id", ref.ExecutionID, "job_id", jobID, "error", err)
	}
}
