// Command status is the Lambda function behind GET /api/tenant/projects/{project_id}/status,
// and behind every path that no other function answers.
package main

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"rekindle/internal/api"
	"rekindle/internal/settings"
)

func main() {
	r := settings.From(nil)
	store, timeout := r.Store(settings.Sessions), r.Timeout()
	r.Start(func(log *slog.Logger) lambda.Handler {
		return api.NewStatus(store, timeout, api.Options{Log: log})
	})
}
