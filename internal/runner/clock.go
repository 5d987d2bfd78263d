package runner

import "time"

// Clock tells when an instant that the API named, such as times_out_at, has
// come. Waits that are the runner's own (heartbeats, retries, grace) use the
// time package.
type Clock interface {
	Now() time.Time
	// At returns a channel that is closed once the clock has reached t. Stop
	// frees what is behind it.
	At(t time.Time) (reached <-chan struct{}, stop func())
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now().UTC() }

// At counts running time, which stands still while a laptop sleeps. The runner
// therefore asks again at each heartbeat.
func (systemClock) At(t time.Time) (<-chan struct{}, func()) {
	c := make(chan struct{})
	timer := time.AfterFunc(time.Until(t), func() { close(c) })
	return c, func() { timer.Stop() }
}
