package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
)

// projectView is a project in a list. Description and objectives are the
// tenant's own, and not shown.
type projectView struct {
	TenantID    string         `json:"tenant_id"`
	ProjectID   string         `json:"project_id"`
	Name        string         `json:"name"`
	Status      project.Status `json:"execution_status"`
	Since       time.Time      `json:"since,omitzero"` // when it came to have the status
	Attempt     int            `json:"attempt"`
	ExecutionID int64          `json:"execution_id,omitempty"`
	HeartbeatAt time.Time      `json:"heartbeat_at,omitzero"`
	SweepID     string         `json:"sweep_id,omitempty"` // of the sweep that failed it
	Error       string         `json:"execution_error,omitempty"`
}

func viewProject(p *project.Project) projectView {
	return projectView{
		TenantID: p.TenantID, ProjectID: p.ProjectID, Name: p.Name, Status: p.Status, Since: dynamo.Since(p),
		Attempt: p.Attempt, ExecutionID: p.ExecutionID, HeartbeatAt: p.HeartbeatAt, SweepID: p.SweepID, Error: p.Error,
	}
}

// detailView is a project with all that an operator may see of it.
type detailView struct {
	projectView
	ProjectUID     string           `json:"project_uid"`
	Version        int64            `json:"version"`
	CreatedAt      time.Time        `json:"created_at,omitzero"`
	ActivationCode string           `json:"activation_code"` // none, assigned or revoked
	BlockedReason  string           `json:"blocked_reason,omitempty"`
	StartedAt      time.Time        `json:"execution_started_at,omitzero"`
	ClaimedAt      time.Time        `json:"claimed_at,omitzero"`
	CompletedAt    time.Time        `json:"execution_completed_at,omitzero"`
	ExtendedBy     string           `json:"extended_by,omitempty"`
	Output         string           `json:"output_folder_path,omitempty"`
	Progress       project.Progress `json:"progress"`
	Attempts       []attemptView    `json:"attempts"` // newest first
}

type attemptView struct {
	ExecutionID int64           `json:"execution_id"`
	Number      int             `json:"number"`
	StartedAt   time.Time       `json:"started_at,omitzero"`
	ClaimedAt   time.Time       `json:"claimed_at,omitzero"`
	CompletedAt time.Time       `json:"completed_at,omitzero"`
	HeartbeatAt time.Time       `json:"heartbeat_at,omitzero"` // the last one, once it has ended
	SweepID     string          `json:"sweep_id,omitempty"`
	SweepCutoff time.Time       `json:"sweep_cutoff,omitzero"` // what had started, or sent its last heartbeat, before it was failed
	Outcome     project.Outcome `json:"outcome,omitempty"`     // none while it runs
	Error       string          `json:"error,omitempty"`
	JobID       string          `json:"job_id,omitempty"`
	Late        project.Outcome `json:"late_outcome,omitempty"`
}

func viewDetail(p *project.Project, t *project.Tenant) detailView {
	v := detailView{
		projectView: viewProject(p), ProjectUID: p.UID, Version: p.Version, CreatedAt: p.CreatedAt, ActivationCode: "none",
		StartedAt: p.StartedAt, ClaimedAt: p.ClaimedAt, CompletedAt: p.CompletedAt, Output: p.Output, Progress: p.Progress,
		Attempts: []attemptView{},
	}
	if p.Extension > 0 {
		v.ExtendedBy = p.Extension.String()
	}
	switch {
	case !p.ActivationCodeRevokedAt.IsZero():
		v.ActivationCode = "revoked"
	case p.ActivationCode != "":
		v.ActivationCode = "assigned"
	}
	if p.Status == project.Pending || p.Status == project.Failed {
		if err := project.CheckStart(p.Status.StartEvent(), p, t); err != nil {
			v.BlockedReason = err.Error()
		}
	}
	for _, x := range p.History() {
		w := attemptView{
			ExecutionID: x.ExecutionID, Number: x.Number, StartedAt: x.StartedAt, ClaimedAt: x.ClaimedAt,
			CompletedAt: x.CompletedAt, HeartbeatAt: x.HeartbeatAt, Outcome: x.Outcome, Error: x.Error, JobID: x.JobID,
		}
		if x.Swept != nil {
			w.SweepID, w.SweepCutoff = x.Swept.SweepID, x.Swept.Cutoff
		}
		if x.Late != nil {
			w.Late = x.Late.Outcome
		}
		v.Attempts = append(v.Attempts, w)
	}
	return v
}

func (a *app) projectCommand() *cobra.Command {
	return a.group("project", "Lists and shows the projects of all tenants", a.projectList(), a.projectShow())
}

func (a *app) projectList() *cobra.Command {
	var (
		s      status
		older  span
		tenant string
	)
	c := &cobra.Command{
		Use: "list --status STATUS [--older-than DURATION] [--tenant ID]", Short: "Lists the projects that have a status, oldest first", Args: cobra.NoArgs,
		Long: `Lists the projects that have a status, those first that have had it longest:
running since their start, completed and failed since their end, pending since
their creation.

Running projects are found by an index and one tenant's by its key. Any other
list reads the whole table of projects, which takes time and read units.`,
		Example: "  rekindlectl --local project list --status running --older-than 20h",
		RunE: a.runWithStore(func(ctx context.Context, db store, _ []string) error {
			now := a.now().UTC()
			selection := dynamo.Selection{Status: project.Status(s), TenantID: tenant}
			if older > 0 {
				selection.Before = now.Add(-time.Duration(older))
			}
			if tenant != "" {
				if _, err := db.GetTenant(ctx, tenant); err != nil {
					return noTenant(err, tenant)
				}
			}
			views := []projectView{}
			for p, err := range db.ListProjects(ctx, selection) {
				if err != nil {
					return err
				}
				views = append(views, viewProject(p))
			}
			slices.SortFunc(views, func(x, y projectView) int {
				return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.TenantID, y.TenantID), cmp.Compare(x.ProjectID, y.ProjectID))
			})
			rows := [][]string{{"TENANT", "PROJECT", "STATUS", "SINCE", "AGE", "ATTEMPT", "EXECUTION", "HEARTBEAT", "ERROR"}}
			for _, v := range views {
				rows = append(rows, []string{
					v.TenantID, v.ProjectID, string(v.Status), when(v.Since), age(v.Since, now),
					number(int64(v.Attempt)), number(v.ExecutionID), when(v.HeartbeatAt), clip(v.Error),
				})
			}
			return a.print(views, rows)
		}),
	}
	c.Flags().Var(&s, "status", enumeration(project.Statuses))
	c.Flags().Var(&older, "older-than", "only those that have had the status for longer, such as 20h")
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant's")
	must(c.MarkFlagRequired("status"))
	must(c.RegisterFlagCompletionFunc("status", cobra.FixedCompletions([]string{
		string(project.Pending), string(project.Running), string(project.Completed), string(project.Failed),
	}, cobra.ShellCompDirectiveNoFileComp)))
	return c
}

func (a *app) projectShow() *cobra.Command {
	return &cobra.Command{
		Use: "show TENANT PROJECT", Short: "Shows a project and its attempts", Args: cobra.ExactArgs(2),
		RunE: a.runWithStore(func(ctx context.Context, db store, args []string) error {
			key := project.Key{TenantID: args[0], ProjectID: args[1]}
			p, err := db.Get(ctx, key)
			if project.CodeOf(err) == project.CodeProjectNotFound {
				return notFoundf("tenant %q has no project %q", key.TenantID, key.ProjectID)
			}
			if err != nil {
				return err
			}
			// A project of a tenant that was not created by us is shown too.
			t, err := db.GetTenant(ctx, key.TenantID)
			if err != nil && !errors.Is(err, dynamo.ErrNoTenant) {
				return err
			}
			return a.printProject(viewDetail(p, t))
		}),
	}
}

func (a *app) printProject(v detailView) error {
	rows := [][]string{
		{"tenant", v.TenantID}, {"project", v.ProjectID}, {"name", v.Name},
		{"status", string(v.Status)}, {"blocked", v.BlockedReason}, {"created", when(v.CreatedAt)}, {"activation code", v.ActivationCode},
		{"attempt", number(int64(v.Attempt))}, {"execution", number(v.ExecutionID)},
		{"started", when(v.StartedAt)}, {"claimed", when(v.ClaimedAt)}, {"heartbeat", when(v.HeartbeatAt)}, {"extended by", v.ExtendedBy},
		{"ended", when(v.CompletedAt)}, {"ended by sweep", v.SweepID},
		{"progress", fmt.Sprintf("%d%% %s", v.Progress.Percent, v.Progress.Message)}, {"error", v.Error}, {"output", v.Output},
	}
	if err := a.print(v, rows); err != nil || a.json || len(v.Attempts) == 0 {
		return err
	}
	fmt.Fprintln(a.out)
	rows = [][]string{{"ATTEMPT", "EXECUTION", "OUTCOME", "STARTED", "CLAIMED", "HEARTBEAT", "ENDED", "SWEEP", "LATE", "JOB", "ERROR"}}
	for _, x := range v.Attempts {
		rows = append(rows, []string{
			number(int64(x.Number)), number(x.ExecutionID), string(x.Outcome), when(x.StartedAt), when(x.ClaimedAt),
			when(x.HeartbeatAt), when(x.CompletedAt), x.SweepID, string(x.Late), x.JobID, clip(x.Error),
		})
	}
	return a.print(v.Attempts, rows)
}

// number writes a number; 0 is absent.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// age is how long ago a time was, in its two largest units.
func age(since, now time.Time) string {
	if since.IsZero() {
		return ""
	}
	d := now.Sub(since)
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return d.Truncate(time.Second).String()
}
