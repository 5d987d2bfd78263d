// Package dynalitetest gives tests a DynamoDB to run against.
package dynalitetest

import (
	"context"
	"sync"
	"testing"

	"rekindle/internal/dynalite"
)

var start = sync.OnceValues(func() (*dynalite.Server, error) {
	return dynalite.Start(context.Background(), "")
})

// ForTest returns the endpoint of a database in memory that all tests of one
// binary share: each test makes tables of its own names. It ends with the
// binary. A test that can't have one fails.
func ForTest(t testing.TB) string {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return s.Endpoint()
}
