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
// token. A nil Progress leaves the progress as it was. Logs asks for leave to
// show logs.
type Heartbeat struct {
	Progress *Progress `json:"progress,omitempty"`
	Logs     *LogSizes `json:"logs,omitempty"`
}

// LogSizes says how many bytes the runner wants to show of what the command
// wrote to its standard output and error: the ends, 0 to [MaxLog] bytes each. 0
// is nothing to show.
type LogSizes struct {
	Stdout int64 `json:"stdout"`
	Stderr int64 `json:"stderr"`
}

// MaxLog is how many bytes of a log are kept: the last ones.
const MaxLog = 256 << 10

// Pulse is the answer to a heartbeat. Logs is nil where there is nothing to
// show, and where logs are not uploaded.
type Pulse struct {
	TimesOutAt time.Time `json:"times_out_at"`
	Logs       *LogLinks `json:"logs,omitempty"`
}

// LogLinks are the URLs that a runner may PUT its logs to, exactly as many bytes
// as it said; an empty one is for a log without bytes. Whoever has one may write
// that log.
type LogLinks struct {
	Stdout    string    `json:"stdout,omitempty"`
	Stderr    string    `json:"stderr,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// The parts of an upload: 1 to [MaxParts], as S3 has it. Each but the last has
// [PartBytes], of which a runner holds one part in memory; all of them are 156
// GiB, more than the largest limit that an output can be given. Uploads that are
// under way when it is changed fail.
const (
	MaxParts  = 10_000
	PartBytes = 16 << 20
)

// TooLarge refuses an output of more than limit bytes.
func TooLarge(limit int64) *Error {
	return Refuse(CodeOutputTooLarge, Fields{"limit_megabytes": limit >> 20})
}

// Upload is the answer to POST …/upload, which begins the upload of an
// execution's zip. Each part but the last has PartBytes. All of them together
// have LimitBytes at most.
type Upload struct {
	UploadID   string `json:"upload_id"`
	PartBytes  int64  `json:"part_bytes"`
	LimitBytes int64  `json:"limit_bytes"`
}

// UploadPart asks for leave to send one part of an upload: POST …/upload/part.
// Parts count from 1.
type UploadPart struct {
	UploadID string `json:"upload_id"`
	Part     int    `json:"part"`
	Bytes    int64  `json:"bytes"`
}

// PartLink is the answer to an [UploadPart]: the URL that the part may be PUT to,
// with exactly as many bytes. Whoever has it may write that part.
type PartLink struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// UploadComplete makes the zip of its parts, which have so many bytes together:
// POST …/upload/complete. Sent again it gets the same answer.
type UploadComplete struct {
	UploadID string `json:"upload_id"`
	Parts    int    `json:"parts"`
	Bytes    int64  `json:"bytes"`
}

// Stored is the answer to an [UploadComplete]: the zip is there.
type Stored struct {
	Bytes int64 `json:"bytes"`
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
