package api

import (
	"context"
	"time"

	"rekindle/internal/project"
)

// Extended is the answer to POST …/extend.
type Extended struct {
	Success     bool   `json:"success"`
	Message     string `json:"message"`
	ExecutionID int64  `json:"execution_id"`
	TimesOutAt  Stamp  `json:"times_out_at"`
}

// extension is by how much a caller wants an execution to be extended, and of
// which attempt.
type extension struct {
	by       time.Duration
	expected *int
}

func parseExtend(req *request) (in extension, err error) {
	var body struct {
		Hours           *float64 `json:"hours"`
		ExpectedAttempt *int     `json:"expected_attempt"`
	}
	if err := req.decode(&body, false); err != nil {
		return in, err
	}
	if err := checkExpected(body.ExpectedAttempt); err != nil {
		return in, err
	}
	if body.Hours == nil {
		return in, invalidBody("hours is missing")
	}
	by, ok := project.ExtensionOf(*body.Hours)
	if !ok {
		return in, invalidBody("hours is a number from 1 to 24")
	}
	return extension{by, body.ExpectedAttempt}, nil
}

// extend adds to the limit of the execution that is running. The runner learns of
// it with its next heartbeat, or asks when its time is over; the sweep reads it on
// the project. Asking again for as much is answered like the first time.
func (s *projects) extend(ctx context.Context, req *request, c *caller, in extension) (any, error) {
	for race := range maxRaces {
		if err := s.gate.again(ctx, race, c); err != nil {
			return nil, err
		}
		p := c.project
		req.executionID = p.ExecutionID
		if err := project.CheckAttempt(p, in.expected); err != nil {
			return nil, err
		}
		if p.Status != project.Running || p.Extension != in.by {
			if err := project.CheckExtend(p, s.cfg.Timeout, s.now()); err != nil {
				return nil, err
			}
			in.expected = &p.Attempt // nobody has asked to extend one that began since
			extended, err := s.store.Extend(ctx, p.Ref(), in.by)
			if project.CodeOf(err) == project.CodeContended {
				continue
			}
			if err != nil {
				return nil, err
			}
			p = extended
			s.log.InfoContext(ctx, "execution extended", "tenant_id", p.TenantID, "project_id", p.ProjectID,
				"execution_id", p.ExecutionID, "extension_seconds", int64(in.by/time.Second), "times_out_at", p.TimesOutAt(s.cfg.Timeout))
		}
		return &Extended{
			Success: true, Message: "Project execution extended",
			ExecutionID: p.ExecutionID, TimesOutAt: Stamp(p.TimesOutAt(s.cfg.Timeout)),
		}, nil
	}
	return nil, project.Refuse(project.CodeContended, nil)
}
