// Command settle is the Lambda function that takes the engine's word of jobs that have ended.
package main

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"rekindle/internal/launch"
	"rekindle/internal/settings"
	"rekindle/internal/settle"
)

func main() {
	r := settings.From(nil)
	store, finder, keys := r.Store(settings.Nothing), launch.BatchStopperFrom(r), r.Keys()
	r.Start(func(log *slog.Logger) lambda.Handler {
		return settle.NewHandler(settle.New(store, finder, nil, log), keys, log)
	})
}
