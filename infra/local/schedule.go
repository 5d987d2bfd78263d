package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/template"
)

// ticker makes a channel that receives the time every d, first after one d, and
// a func that stops it.
type ticker func(d time.Duration) (ticks <-chan time.Time, stop func())

func realTicker(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTicker(d)
	return t.C, t.Stop
}

// runSchedules fires the template's schedules until ctx ends, each first after
// one full period: nothing is fired at start-up. It returns when none is being
// handled any more.
func runSchedules(ctx context.Context, schedules []template.Schedule, functions map[string]*function, tick ticker, log *slog.Logger) {
	var wg sync.WaitGroup
	for _, s := range schedules {
		ticks, stop := tick(s.Every)
		wg.Go(func() {
			defer stop()
			for {
				select {
				case at := <-ticks:
					fire(ctx, functions[s.Function], s, at, log)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
}

// fire invokes a function with the event that EventBridge sends.
func fire(ctx context.Context, f *function, s template.Schedule, at time.Time, log *slog.Logger) {
	payload := []byte(s.Input)
	if s.Input == "" {
		var err error
		payload, err = json.Marshal(map[string]any{
			"version": "0", "id": project.NewToken(), "detail-type": "Scheduled Event", "source": "aws.events",
			"account": "000000000000", "time": at.UTC().Format(time.RFC3339), "region": "local",
			"resources": []string{}, "detail": map[string]any{},
		})
		if err != nil {
			panic(err) // strings always marshal
		}
	}
	id := newRequestID()
	log.Info("schedule fired", "function", f.name, "every", s.Every.String(), "request_id", id)
	if _, err := f.invoke(ctx, id, payload); err != nil {
		log.Error("function failed", "function", f.name, "request_id", id, "error", err)
	}
}
