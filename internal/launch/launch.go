// Package launch starts the work of executions, and finds and stops it: as AWS
// Batch jobs in the cloud ([Batch]), as child processes on one machine ([Local]).
package launch

import "rekindle/internal/project"

// JobEnd says that the engine's job of an execution has ended.
type JobEnd struct {
	Ref       project.Ref
	JobID     string
	Succeeded bool   // it ended well, in the engine's eyes
	Reason    string // if not: why, in a sentence for the tenant
}
