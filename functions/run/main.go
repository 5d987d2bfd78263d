// Command run is the Lambda function behind POST /api/tenant/projects/{project_id}/run.
package main

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"rekindle/internal/api"
	"rekindle/internal/launch"
	"rekindle/internal/settings"
)

func main() {
	r := settings.From(nil)
	store, launcher, output := r.Store(settings.Sessions), launch.BatchFrom(r), r.OutputBase()
	r.Start(func(log *slog.Logger) lambda.Handler {
		return api.NewRun(store, launcher, output, api.Options{Log: log})
	})
}
