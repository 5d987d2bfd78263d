package project

import (
	"slices"
)

// Status is what a project is doing: the attribute execution_status.
type Status string

// The statuses. None is the status of a project that does not exist.
const (
	None      Status = ""
	Pending   Status = "pending"
	Running   Status = "running"
	Completed Status = "completed"
	Failed    Status = "failed"
)

// Statuses lists every status that a project can have.
var Statuses = []Status{Pending, Running, Completed, Failed}

// Event is what can happen to a project.
type Event string

// The events. TimeOut is the sweep's, for an execution that has been running
// longer than the limit; Fail is a worker's or the engine's report of a
// failure, or a launch that the engine refused.
const (
	Create  Event = "create"
	Run     Event = "run"
	Restart Event = "restart"
	Succeed Event = "succeed"
	Fail    Event = "fail"
	TimeOut Event = "time_out"
	Cancel  Event = "cancel"
)

// Events lists every event.
var Events = []Event{Create, Run, Restart, Succeed, Fail, TimeOut, Cancel}

// Field names an attribute that a transition writes.
type Field string

// The fields that transitions write, beside the status itself.
const (
	FieldUID         Field = "project_uid"
	FieldVersion     Field = "version"
	FieldExecutionID Field = "execution_id"
	FieldAttempt     Field = "attempt"
	FieldStartedAt   Field = "execution_started_at"
	FieldCompletedAt Field = "execution_completed_at"
	FieldError       Field = "execution_error"
	FieldOutput      Field = "output_folder_path"
	FieldProgress    Field = "progress"
	FieldClaimedAt   Field = "claimed_at"
	FieldHeartbeatAt Field = "heartbeat_at"
	FieldOutcome     Field = "execution_outcome"
	FieldExtension   Field = "execution_extension_seconds"
	FieldSweepID     Field = "sweep_id"
)

// Transition is one row of the state machine. Its whole effect is one
// conditional write: the status goes from From to To, the fields in Clears are
// removed, and then those in Sets get a value (a field that stands in both
// starts anew).
type Transition struct {
	From   Status
	Event  Event
	To     Status
	Clears []Field
	Sets   []Field
}

// started is what run and restart write alike; restart clears first. The last
// two fields of what it clears are written between transitions, and by the
// sweep's alone.
var (
	started = []Field{FieldVersion, FieldExecutionID, FieldAttempt, FieldStartedAt, FieldOutput}
	reset   = []Field{FieldError, FieldStartedAt, FieldCompletedAt, FieldProgress, FieldClaimedAt, FieldHeartbeatAt, FieldOutcome, FieldExtension, FieldSweepID}
	failed  = []Field{FieldVersion, FieldOutcome, FieldError, FieldCompletedAt}
)

// Transitions is the state machine. What is not in it is refused. Only failed
// projects can be restarted, and only pending ones run; completed is final.
var Transitions = []Transition{
	{From: None, Event: Create, To: Pending, Sets: []Field{FieldUID, FieldVersion, FieldAttempt}},
	{From: Pending, Event: Run, To: Running, Sets: started},
	{From: Failed, Event: Restart, To: Running, Clears: reset, Sets: started},
	{From: Running, Event: Succeed, To: Completed, Sets: []Field{FieldVersion, FieldOutcome, FieldProgress, FieldCompletedAt}},
	{From: Running, Event: Fail, To: Failed, Sets: failed},
	{From: Running, Event: TimeOut, To: Failed, Sets: failed},
	{From: Running, Event: Cancel, To: Failed, Sets: failed},
}

// Next returns the transition that event makes from status, and whether there
// is one.
func Next(from Status, event Event) (Transition, bool) {
	i := slices.IndexFunc(Transitions, func(t Transition) bool { return t.From == from && t.Event == event })
	if i < 0 {
		return Transition{}, false
	}
	return Transitions[i], true
}

// Leaves returns the transition that event makes, whatever status it leaves:
// each event leaves exactly one.
func (e Event) Leaves() Transition {
	i := slices.IndexFunc(Transitions, func(t Transition) bool { return t.Event == e })
	if i < 0 {
		return Transition{}
	}
	return Transitions[i]
}
