// Package model has no code, only a test: random interleavings of everything
// that can happen to a project, over the real handlers and the real store, held
// against the state machine. Each single write is observed and must be one step
// that the table allows, and each answer must be true.
//
//	go test ./internal/model -rapid.checks=370   # about 10,500 steps
package model
