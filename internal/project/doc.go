// Package project is the language of Rekindle: what a project is, the states
// it passes through, who may start it, and how a refusal reads.
//
// A project runs as a series of attempts. Each attempt is one execution, named
// by an execution id that is never used twice; whoever reports on an execution
// or ends it says which one it speaks for, and is refused when that one is no
// longer the present one (fencing).
//
// The state machine is the table [Transitions]. The store writes what the
// table says, the tests walk it, and docs/state_machine.md is checked against
// it:
//
//	pending --run--> running --succeed--> completed
//	                 running --fail, time_out, cancel--> failed
//	failed --restart--> running
//
// The package imports nothing of AWS and reads no clock: its callers pass the
// time in, in UTC.
package project
