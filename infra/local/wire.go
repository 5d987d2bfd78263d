package main

import (
	"fmt"
	"log/slog"
	"path"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"rekindle/internal/api"
	"rekindle/internal/launch"
	"rekindle/internal/output"
	"rekindle/internal/settings"
	"rekindle/internal/settle"
	"rekindle/internal/sweep"
	"rekindle/internal/template"
)

// buildHandler makes the handler that a function of the template runs in Lambda,
// from the same settings; only the engine and the outputs are this machine's. See
// functions/.
func buildHandler(f template.Function, env settings.Lookup, engine *launch.Local, outputs *output.Local, mailer api.Sender, now func() time.Time, log *slog.Logger) (lambda.Handler, error) {
	r := settings.From(env)
	o := api.Options{Log: log.With("function", f.LogicalID), Now: now}
	var build func() lambda.Handler
	switch path.Base(f.CodeURI) {
	case "run":
		store, folder := r.Store(settings.Sessions), r.OutputBase()
		build = func() lambda.Handler { return api.NewRun(store, engine, folder, o) }
	case "restart":
		store, folder := r.Store(settings.Sessions), r.OutputBase()
		build = func() lambda.Handler { return api.NewRestart(store, engine, folder, o) }
	case "status":
		store, timeout := r.Store(settings.Sessions), r.Timeout()
		build = func() lambda.Handler { return api.NewStatus(store, timeout, o) }
	case "cleanup":
		store, cfg := r.Store(settings.Sweeps), sweep.Config{Timeout: r.Timeout(), Heartbeat: r.HeartbeatTimeout()}
		build = func() lambda.Handler { return sweep.New(store, engine, cfg, now, o.Log) }
	case "settle":
		// The engine of this machine tells its own ends without an event. This is
		// for whoever sends one.
		settler, keys := settle.New(r.Store(settings.Nothing), engine, now, o.Log), r.Keys()
		build = func() lambda.Handler { return settle.NewHandler(settler, keys, o.Log) }
	case "worker":
		// Runners write into this machine's folders: nothing is uploaded.
		store, cfg := r.Store(settings.Nothing), api.WorkerConfig{Keys: r.Keys(), Timeout: r.Timeout(), Heartbeat: r.Heartbeat()}
		build = func() lambda.Handler { return api.NewWorker(store, cfg, o) }
	case "projects":
		store, hasher, cfg := r.Store(settings.Sessions), r.Hasher(), api.ProjectsConfig{Timeout: r.Timeout(), Outputs: outputs}
		build = func() lambda.Handler { return api.NewProjects(store, engine, hasher, cfg, o) }
	case "auth":
		store, cfg := r.Store(settings.Sessions), api.AuthConfig{Hasher: r.Hasher(), Sender: mailer}
		build = func() lambda.Handler { return api.NewAuth(store, cfg, o) }
	default:
		return nil, fmt.Errorf("Resources.%s.Properties.CodeUri: this machine has no handler for %s", f.LogicalID, f.CodeURI)
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", f.LogicalID, err)
	}
	return build(), nil
}
