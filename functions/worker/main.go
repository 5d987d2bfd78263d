// Command worker is the Lambda function behind the runner's calls: claim, heartbeat,
// upload and result.
package main

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"rekindle/internal/api"
	"rekindle/internal/output"
	"rekindle/internal/settings"
)

func main() {
	r := settings.From(nil)
	store := r.Store(settings.Nothing)
	cfg := api.WorkerConfig{
		Keys: r.Keys(), Timeout: r.Timeout(), Heartbeat: r.Heartbeat(), Uploads: output.S3From(r), Limit: r.OutputLimit(),
	}
	r.Start(func(log *slog.Logger) lambda.Handler {
		return api.NewWorker(store, cfg, api.Options{Log: log})
	})
}
