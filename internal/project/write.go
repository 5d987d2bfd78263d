package project

import "time"

// Start asks the store for the write that begins an execution of Project as it
// was read: the write stands only if the project's status, version, uid and
// execution id are still those.
type Start struct {
	Project     *Project
	Event       Event // [Run] or [Restart]
	ExecutionID int64
	At          time.Time
	Output      string // the execution's output folder
	Token       string // the request token
	KeyHash     string // the hashed Idempotency-Key, or empty
}

// Ref names the execution that s begins.
func (s Start) Ref() Ref {
	return Ref{Key: s.Project.Key, ProjectUID: s.Project.UID, ExecutionID: s.ExecutionID}
}

// Settlement asks the store for the write that ends an execution. It stands
// only if the execution is the one that is running and every guard that is set
// holds; otherwise the store answers with [CodeAttemptClosed] and the project
// as it is (nil if there is none).
type Settlement struct {
	Ref   Ref    // an empty ProjectUID and an ExecutionID of 0 guard nothing and nothing but absence
	Event Event  // [Succeed], [Fail], [TimeOut] or [Cancel]
	Error string // what the tenant reads; empty for Succeed
	At    time.Time
	Token string // the request token: a retry of one's own write is a success

	Runner      string    // guard: this runner has claimed the execution
	Unclaimed   bool      // guard: no runner has claimed it
	StartedAt   time.Time // guard: it started exactly then
	HeartbeatAt time.Time // guard: its last heartbeat was exactly then

	Extension *time.Duration // guard: exactly this was added to its limit
	Swept     *Swept         // written: the sweep that ends it
}

// Candidate is what the index nominates for the sweep. The base item decides.
type Candidate struct {
	Key
	ExecutionID int64
	StartedAt   time.Time
}

// Shards is how many partitions the index of running projects is spread over.
const Shards = 16
