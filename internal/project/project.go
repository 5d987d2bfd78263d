package project

import (
	"maps"
	"slices"
	"time"
)

// Limits of a project.
const (
	// MaxAttempts is how many attempts a project remembers; the oldest goes
	// when one more is started.
	MaxAttempts = 10
	// MaxError is how many bytes of an error a project keeps. A longer one
	// loses its beginning, for the reason stands at the end.
	MaxError = 1024
	// MaxProgressMessage is how many bytes of a progress message are kept.
	MaxProgressMessage = 200
)

// Key names a project: its tenant, and its id among that tenant's projects.
type Key struct {
	TenantID  string
	ProjectID string
}

// Ref names one execution of one incarnation of a project. A project that was
// deleted and made again under the same id has another ProjectUID, so that
// whatever still speaks for the old one is refused.
type Ref struct {
	Key
	ProjectUID  string
	ExecutionID int64
}

// Project is a job that a tenant can run. A zero time, number or string means
// that the project does not have the field.
type Project struct {
	Key
	UID     string // random, given at creation
	Version int64  // grows with every write but heartbeats

	Name        string
	Description string
	Objectives  string
	CreatedAt   time.Time

	// ActivationCode is the keyed hash of the code that allows the project
	// to run, and ActivationCodeHint the end of the code itself.
	ActivationCode          string
	ActivationCodeHint      string
	ActivationCodeRevokedAt time.Time

	// WrittenBy is the request token of the create or edit that wrote name,
	// description and objectives last.
	WrittenBy string

	Status      Status
	ExecutionID int64
	Attempt     int // 1 for the first execution; 0 before it
	StartedAt   time.Time
	ClaimedAt   time.Time
	HeartbeatAt time.Time
	CompletedAt time.Time
	Error       string
	Output      string // where the present execution's output goes
	Progress    Progress

	// Outcome is how the present execution ended, SweepID the sweep that
	// failed it, and Extension what was added to its limit.
	Outcome   Outcome
	SweepID   string
	Extension time.Duration

	// Attempts holds the last [MaxAttempts] executions, by execution id.
	Attempts map[int64]Attempt
}

// Activated says whether p has an activation code that was not revoked.
func (p *Project) Activated() bool {
	return p.ActivationCode != "" && p.ActivationCodeRevokedAt.IsZero()
}

// Progress is how far an execution has come, in its own words.
type Progress struct {
	Percent int    `json:"percent"` // 0 to 100
	Message string `json:"message"`
}

// Outcome is how an attempt ended. An attempt that is running has none.
type Outcome string

// The outcomes, each of the event that brings it about.
const (
	OutcomeCompleted Outcome = "completed"
	OutcomeFailed    Outcome = "failed"
	OutcomeTimedOut  Outcome = "timed_out"
	OutcomeCancelled Outcome = "cancelled"
)

// Outcome returns how an attempt that e ended has ended; empty if e ends none.
func (e Event) Outcome() Outcome {
	switch e {
	case Succeed:
		return OutcomeCompleted
	case Fail:
		return OutcomeFailed
	case TimeOut:
		return OutcomeTimedOut
	case Cancel:
		return OutcomeCancelled
	}
	return ""
}

// Attempt is one execution in a project's memory.
type Attempt struct {
	ExecutionID int64
	Number      int
	StartedAt   time.Time
	ClaimedAt   time.Time
	CompletedAt time.Time
	Outcome     Outcome
	Error       string
	Output      string
	Late        *Late

	// HeartbeatAt is when its last heartbeat had come, once it has ended.
	HeartbeatAt time.Time
	Extension   time.Duration
	Swept       *Swept // by which sweep it was failed

	// RunnerID and JobID are those of the runner that claimed the execution
	// and of the engine's job that it runs in.
	RunnerID string
	JobID    string

	// StartedBy and KeyHash are the request token and the hashed
	// Idempotency-Key of the request that started the attempt, Operation is
	// the request's kind; SettledBy is the token of what ended it.
	StartedBy string
	KeyHash   string
	Operation Event
	SettledBy string
}

// Swept says which sweep failed an execution. What had started before the cutoff
// had run for too long; of a silent one the last heartbeat had come before it.
type Swept struct {
	SweepID string
	Cutoff  time.Time
	Silent  bool
}

// Late is a result that came after its attempt had ended otherwise. It changes
// nothing but is kept, so that nobody's work is lost without a word.
type Late struct {
	Outcome    Outcome
	Error      string
	ReceivedAt time.Time
}

// Ref names the project's present execution.
func (p *Project) Ref() Ref {
	return Ref{Key: p.Key, ProjectUID: p.UID, ExecutionID: p.ExecutionID}
}

// Runs says whether the execution that ref names is the one that p is running.
func (p *Project) Runs(ref Ref) bool {
	return p != nil && p.Status == Running && p.ExecutionID == ref.ExecutionID && p.UID == ref.ProjectUID
}

// History returns the attempts, newest first.
func (p *Project) History() []Attempt {
	all := make([]Attempt, 0, len(p.Attempts))
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(p.Attempts))) {
		all = append(all, p.Attempts[id])
	}
	return all
}

// AttemptOf returns the attempt that a request with this hashed
// Idempotency-Key started.
func (p *Project) AttemptOf(keyHash string) (Attempt, bool) {
	for _, a := range p.Attempts {
		if keyHash != "" && a.KeyHash == keyHash {
			return a, true
		}
	}
	return Attempt{}, false
}

// Tenant is a customer of the SaaS.
type Tenant struct {
	ID           string
	Name         string
	Slug         string
	Email        string
	Subscription Subscription
	TrialSlot    *TrialSlot
	CountEpoch   int64 // how often the store has corrected the number of its projects
}

// TrialSlot names the one execution that a trialing tenant may have. It counts
// only while that project runs that execution, so that nobody has to release
// it. Token is the request token of the request that took it.
type TrialSlot struct {
	ProjectID   string
	ProjectUID  string
	ExecutionID int64
	Token       string
}

// Subscription is the state of a tenant's subscription. Only [Active] and
// [Trialing] allow running.
type Subscription string

// The subscription states. A tenant without one has [NoSubscription].
const (
	NoSubscription Subscription = ""
	Active         Subscription = "active"
	Trialing       Subscription = "trialing"
	PastDue        Subscription = "past_due"
	Canceled       Subscription = "canceled"
	Unpaid         Subscription = "unpaid"
	Suspended      Subscription = "suspended"
)

// Subscriptions lists every state that a subscription can have.
var Subscriptions = []Subscription{Active, Trialing, PastDue, Canceled, Unpaid, Suspended}
