// Command auth is the Lambda function behind /api/tenant/auth: login codes and
// sessions.
package main

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"rekindle/internal/api"
	"rekindle/internal/mail"
	"rekindle/internal/settings"
)

func main() {
	r := settings.From(nil)
	store, cfg := r.Store(settings.Sessions), api.AuthConfig{Hasher: r.Hasher(), Sender: mail.SESFrom(r)}
	r.Start(func(log *slog.Logger) lambda.Handler {
		return api.NewAuth(store, cfg, api.Options{Log: log})
	})
}
