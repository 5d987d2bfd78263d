// Package sweep ends what has been running for too long, so that nothing stays
// in running for ever.
//
// It runs every hour, on a schedule alone. The index of running projects
// nominates: its shards are queried side by side, each to its end. The base
// item decides: the write that fails a project repeats what was judged, and so
// leaves alone a run that has completed, or was restarted, in between. One bad
// item or one throttled shard does not stop the rest, and before the function's
// deadline the sweep stops cleanly and says that it is incomplete; the next one
// goes on.
//
// "Too long" is strict: an execution that started exactly the limit ago is left
// alone.
package sweep
