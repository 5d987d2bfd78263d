package project

import "time"

// What a runner and the API say to each other, as JSON. See docs/state_machine.md
// for the order of the calls.

// Claim asks for an execution: POST …/claim, with the execution token. The
// same runner asking again is granted again.
type Claim struct {
	RunnerID string `json:"runner_id"` // random, one a runner process
	JobID    string `json:"job_id"`    // the engine's name for the job that the runner is in
}

// Grant is the answer to a claim. ReportToken is for heartbeat and result; the
// runner keeps it in memory alone.
type Grant struct {
	ExecutionID      int64     `json:"execution_id"`
	Attempt          int       `json:"attempt"`
	TenantID         string    `json:"tenant_id"`
	ProjectID        string    `json:"project_id"`
	Name             string    `json:"name"`
	Description      string    `json:"description"`
	Objectives       string    `json:"objectives"`
	OutputFolder     string    `json:"output_folder_path"`
	ReportToken      string    `json:"report_token"`
	TimesOutAt       time.Time `json:"times_out_at"`
	HeartbeatSeconds int       `json:"heartbeat_seconds"`
}

// Heartbeat says that an execution is alive: POST …/heartbeat, with the report
// token. A nil Progress leaves the progress as it was.
type Heartbeat struct {
	Progress *Progress `json:"progress,omitempty"`
}

// Pulse is the answer to a heartbeat.
type Pulse struct {
	TimesOutAt time.Time `json:"times_out_at"`
}

// Result is how the command ended: POST …/result, with the report token.
// Outcome is [OutcomeCompleted], [OutcomeFailed] or [OutcomeTimedOut] (the
// runner keeps the limit itself). The same runner's result again gets the
// answer to its first.
type Result struct {
	Outcome  Outcome `json:"outcome"`
	ExitCode int     `json:"exit_code"`
	Error    string  `json:"error,omitempty"`
}

// Receipt is the answer to a result.
type Receipt struct {
	Status Status `json:"status"`
}
