// Command cleanup is the Lambda function that the hourly schedule fires: the sweep.
package main

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"rekindle/internal/launch"
	"rekindle/internal/settings"
	"rekindle/internal/sweep"
)

func main() {
	r := settings.From(nil)
	store, stopper := r.Store(settings.Sweeps), launch.BatchStopperFrom(r)
	cfg := sweep.Config{Timeout: r.Timeout(), Heartbeat: r.HeartbeatTimeout()}
	r.Start(func(log *slog.Logger) lambda.Handler {
		return sweep.New(store, stopper, cfg, nil, log)
	})
}
