// Package template reads the SAM template and says in plain data what it
// declares: functions, routes, tables, CORS and schedules. The local stack
// serves what it says, so that it can't drift from what is deployed.
//
// Goformation's intrinsics package reads the YAML and evaluates the intrinsic
// functions. Its resource structs are not used, for their schema is older than
// the template: they refuse LoggingConfig, and a Schedule event with a
// RetryPolicy is dropped without a word. They would also add 20 seconds to a
// build.
//
// Where goformation's own answer would mislead, this package gives another;
// see resolve.go. What is left alone: dynamic references, {{resolve:…}}, which
// stay text.
package template
