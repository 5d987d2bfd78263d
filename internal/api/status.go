package api

import (
	"context"
	"time"

	"rekindle/internal/project"
)

// Stamp is a time in an answer: RFC 3339, UTC, milliseconds; null if zero.
type Stamp time.Time

// MarshalJSON writes the time, or null.
func (s Stamp) MarshalJSON() ([]byte, error) {
	t := time.Time(s)
	if t.IsZero() {
		return []byte("null"), nil
	}
	return t.UTC().AppendFormat(nil, `"`+project.TimeFormat+`"`), nil
}

// Status is the answer to GET …/status. What a project does not have is null.
type Status struct {
	ProjectID   string         `json:"project_id"`
	Name        string         `json:"name"`
	Status      project.Status `json:"execution_status"`
	ExecutionID *int64         `json:"execution_id"`
	Attempt     int            `json:"attempt"`
	StartedAt   Stamp          `json:"execution_started_at"`
	ClaimedAt   Stamp          `json:"claimed_at"`
	CompletedAt Stamp          `json:"execution_completed_at"`
	Error       *string        `json:"execution_error"`
	Output      *string        `json:"output_folder_path"`

	Progress    project.Progress `json:"progress"`
	HeartbeatAt Stamp            `json:"heartbeat_at"`
	TimesOutAt  Stamp            `json:"times_out_at"` // while running; with what it was extended by

	Outcome      *project.Outcome `json:"execution_outcome"`           // null while it is running
	SweepID      *string          `json:"sweep_id"`                    // of the sweep that failed it
	Extension    *int64           `json:"execution_extension_seconds"` // null where it was not extended
	ExtendableAt Stamp            `json:"extendable_at"`               // from when on it can be extended; null where it can't any more
	CanExtend    bool             `json:"can_extend"`                  // now

	CanRun        bool          `json:"can_run"`
	CanRestart    bool          `json:"can_restart"`
	BlockedReason *string       `json:"blocked_reason"` // why neither is possible
	BlockedCode   *project.Code `json:"blocked_code"`

	Attempts []AttemptStatus `json:"attempts"` // newest first, at most project.MaxAttempts
}

// AttemptStatus is one attempt in a [Status].
type AttemptStatus struct {
	ExecutionID int64            `json:"execution_id"`
	Attempt     int              `json:"attempt"`
	StartedAt   Stamp            `json:"started_at"`
	ClaimedAt   Stamp            `json:"claimed_at"`
	CompletedAt Stamp            `json:"completed_at"`
	Outcome     *project.Outcome `json:"outcome"` // null while it is running
	Error       *string          `json:"error"`
	Output      *string          `json:"output_folder_path"`
	HeartbeatAt Stamp            `json:"heartbeat_at"` // the last one, once it has ended
	Extension   *int64           `json:"extension_seconds"`
	Swept       *Swept           `json:"swept"` // null where no sweep failed it
	LateResult  *LateResult      `json:"late_result"`
}

// Swept says which sweep failed an attempt, and when: it had started before the
// cutoff, or where it was silent, sent its last heartbeat before it.
type Swept struct {
	SweepID string `json:"sweep_id"`
	At      Stamp  `json:"at"`
	Cutoff  Stamp  `json:"cutoff"`
	Silent  bool   `json:"silent"`
}

// LateResult is a result that came after its attempt had ended.
type LateResult struct {
	Outcome    project.Outcome `json:"outcome"`
	Error      *string         `json:"error"`
	ReceivedAt Stamp           `json:"received_at"`
}

// NewStatus makes the handler of GET …/status, and of every path that no other
// function answers. Timeout is the limit that the sweep fails executions by.
func NewStatus(store SessionStore, timeout time.Duration, o Options) *Handler {
	o = o.withDefaults()
	g := gate{store: store, now: o.Now, log: o.Log}
	return newHandler(o, map[string]route{
		"GET /api/tenant/projects/{project_id}/status": projectRoute(g, noInput,
			func(_ context.Context, _ *request, c *caller, _ struct{}) (any, error) {
				return statusView(c.project, c.tenant, timeout, o.Now()), nil
			}),
	})
}

func statusView(p *project.Project, t *project.Tenant, timeout time.Duration, now time.Time) *Status {
	s := &Status{
		ProjectID: p.ProjectID, Name: p.Name, Status: p.Status, ExecutionID: orNull(p.ExecutionID), Attempt: p.Attempt,
		StartedAt: Stamp(p.StartedAt), ClaimedAt: Stamp(p.ClaimedAt), CompletedAt: Stamp(p.CompletedAt),
		Error: orNull(p.Error), Output: orNull(p.Output), Progress: p.Progress, HeartbeatAt: Stamp(p.HeartbeatAt),
		Outcome: orNull(p.Outcome), SweepID: orNull(p.SweepID), Extension: secondsOf(p.Extension),
	}
	if p.Status == project.Running {
		s.TimesOutAt = Stamp(p.TimesOutAt(timeout))
		s.CanExtend = project.CheckExtend(p, timeout, now) == nil
		if now.Before(p.TimesOutAt(timeout)) {
			s.ExtendableAt = Stamp(p.ExtendableAt(timeout))
		}
	}
	event := p.Status.StartEvent()
	if err := project.CheckStart(event, p, t); err != nil {
		detail, code := err.Error(), project.CodeOf(err)
		s.BlockedReason, s.BlockedCode = &detail, &code
	} else {
		s.CanRun, s.CanRestart = event == project.Run, event == project.Restart
	}
	history := p.History()
	s.Attempts = make([]AttemptStatus, len(history))
	for i, a := range history {
		s.Attempts[i] = attemptView(a)
	}
	return s
}

func attemptView(a project.Attempt) AttemptStatus {
	v := AttemptStatus{
		ExecutionID: a.ExecutionID, Attempt: a.Number,
		StartedAt: Stamp(a.StartedAt), ClaimedAt: Stamp(a.ClaimedAt), CompletedAt: Stamp(a.CompletedAt),
		Outcome: orNull(a.Outcome), Error: orNull(a.Error), Output: orNull(a.Output),
		HeartbeatAt: Stamp(a.HeartbeatAt), Extension: secondsOf(a.Extension),
	}
	if a.Swept != nil {
		v.Swept = &Swept{a.Swept.SweepID, Stamp(a.CompletedAt), Stamp(a.Swept.Cutoff), a.Swept.Silent}
	}
	if a.Late != nil {
		v.LateResult = &LateResult{a.Late.Outcome, orNull(a.Late.Error), Stamp(a.Late.ReceivedAt)}
	}
	return v
}

// secondsOf is a duration in an answer; null if zero.
func secondsOf(d time.Duration) *int64 { return orNull(int64(d / time.Second)) }

// orNull returns nil for a zero value, so that JSON has null.
func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
