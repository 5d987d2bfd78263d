//go:build race

package runner_test

// largeOutput is how many bytes a large output has: less where the race detector
// makes compressing them slow, and still more than may be held.
const largeOutput = 30_000_000
