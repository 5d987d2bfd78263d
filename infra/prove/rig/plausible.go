package rig

import (
	"fmt"

	"rekindle/internal/project"
)

// Implausible says what the state machine does not allow in a project that is
// to be at rest.
func Implausible(s Status) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	switch project.Status(s.Status) {
	case project.Pending:
		if s.Attempt != 0 {
			say("it is pending, at attempt %d", s.Attempt)
		}
	case project.Completed:
		if s.Error != "" || s.CompletedAt == "" {
			say("it has completed, with the error %q, at %q", s.Error, s.CompletedAt)
		}
	case project.Failed:
		if s.Error == "" || s.CompletedAt == "" {
			say("it has failed, with the error %q, at %q", s.Error, s.CompletedAt)
		}
	default:
		say("it is %s, and nothing should run", s.Status)
	}
	seen := map[int]bool{}
	for _, a := range s.Attempts {
		if seen[a.Attempt] {
			say("attempt %d is there twice", a.Attempt)
		}
		seen[a.Attempt] = true
		if a.Outcome == "" || a.CompletedAt == "" {
			say("attempt %d has the outcome %q, at %q", a.Attempt, a.Outcome, a.CompletedAt)
		}
		if completed := project.Outcome(a.Outcome) == project.OutcomeCompleted; completed != (a.Error == "") {
			say("attempt %d has the outcome %q and the error %q", a.Attempt, a.Outcome, a.Error)
		}
		if a.ExecutionID == s.ExecutionID && (s.Status == string(project.Completed)) != (project.Outcome(a.Outcome) == project.OutcomeCompleted) {
			say("it is %s, and its attempt's outcome is %q", s.Status, a.Outcome)
		}
	}
	return wrong
}
