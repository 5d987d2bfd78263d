package project

import (
	"log/slog"
	"time"
)

// SweepReceipt says what a sweep did. In a dry run Failed counts what would have
// been failed.
type SweepReceipt struct {
	SweepID   string         `json:"sweep_id"`
	BeganAt   time.Time      `json:"began_at"`
	EndedAt   time.Time      `json:"ended_at,omitzero"` // zero: it is under way, or was cut off
	Cutoff    time.Time      `json:"cutoff"`            // what started before it has run for too long
	DryRun    bool           `json:"dry_run"`
	Shards    int            `json:"shards"` // read to their end
	Pages     int            `json:"pages"`
	Nominated int            `json:"nominated"`
	Failed    int            `json:"failed"`
	Skipped   map[string]int `json:"skipped"`
	Complete  bool           `json:"complete"`
	// Executions are the first [MaxSweptListed] of those that were failed, in
	// no order.
	Executions []SweptExecution `json:"executions,omitempty"`
}

// MaxSweptListed is how many executions a receipt names.
const MaxSweptListed = 100

// SweepRetention is how long receipts are kept.
const SweepRetention = 90 * 24 * time.Hour

// SweptExecution is an execution that a sweep failed.
type SweptExecution struct {
	TenantID    string    `json:"tenant_id"`
	ProjectID   string    `json:"project_id"`
	ExecutionID int64     `json:"execution_id"`
	StartedAt   time.Time `json:"started_at"`
	HeartbeatAt time.Time `json:"heartbeat_at,omitzero"` // the last one
	Reason      string    `json:"reason"`                // its error
}

// NewSweepID makes the id of a sweep that begins at now. Ids sort by that time.
func NewSweepID(now time.Time) string {
	return SweepIDsAfter(now) + "-" + Hash(NewToken())[:8]
}

// SweepIDsAfter returns a text that sorts before the ids of the sweeps that begin
// at t or later, and after all others.
func SweepIDsAfter(t time.Time) string { return t.UTC().Format("20060102T150405.000Z") }

// LogValue writes the receipt's numbers under the names that they have in JSON.
func (r SweepReceipt) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("sweep_id", r.SweepID), slog.Time("cutoff", r.Cutoff), slog.Bool("dry_run", r.DryRun),
		slog.Int("shards", r.Shards), slog.Int("pages", r.Pages), slog.Int("nominated", r.Nominated), slog.Int("failed", r.Failed),
		slog.Any("skipped", r.Skipped), slog.Bool("complete", r.Complete),
	)
}
