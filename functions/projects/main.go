// Command projects is the Lambda function behind /api/tenant/projects: all of a
// tenant's projects but starting them and their status.
package main

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"rekindle/internal/api"
	"rekindle/internal/launch"
	"rekindle/internal/output"
	"rekindle/internal/settings"
)

func main() {
	r := settings.From(nil)
	store, stopper, hasher := r.Store(settings.Sessions), launch.BatchStopperFrom(r), r.Hasher()
	cfg := api.ProjectsConfig{Timeout: r.Timeout(), Outputs: output.S3From(r)}
	r.Start(func(log *slog.Logger) lambda.Handler {
		return api.NewProjects(store, stopper, hasher, cfg, api.Options{Log: log})
	})
}
