//go:build !race

package runner_test

// largeOutput is how many bytes a large output has.
const largeOutput = 100_000_000
