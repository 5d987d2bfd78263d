// Command handlers serves Rekindle's handlers of run, restart, status and cleanup
// over plain HTTP, with an engine that launches nothing: what the bench compares
// with the peer on the same database. Requests become API Gateway's events and
// back again, as on the local stack, so that the handlers' whole work is counted.
//
//	handlers ADDRESS
//
// It is told of tables and database as the functions are, by its environment.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"rekindle/internal/api"
	"rekindle/internal/project"
	"rekindle/internal/settings"
	"rekindle/internal/sweep"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: handlers ADDRESS")
		os.Exit(2)
	}
	if err := serve(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "handlers:", err)
		os.Exit(1)
	}
}

func serve(address string) error {
	r := settings.From(nil)
	store, swept, timeout, output := r.Store(settings.Sessions), r.Store(settings.Sweeps), r.Timeout(), r.OutputBase()
	if err := r.Err(); err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	o := api.Options{Log: log}
	const projects = "/api/tenant/projects/{project_id}/"
	mux := http.NewServeMux()
	for pattern, h := range map[string]lambda.Handler{
		"GET " + projects + "status":   api.NewStatus(store, timeout, o),
		"POST " + projects + "run":     api.NewRun(store, idle{}, output, o),
		"POST " + projects + "restart": api.NewRestart(store, idle{}, output, o),
	} {
		mux.Handle(pattern, gateway{pattern, h, log})
	}
	sweeper := sweep.New(swept, idle{}, sweep.Config{Timeout: timeout}, nil, log)
	mux.HandleFunc("POST /internal/sweep", func(w http.ResponseWriter, r *http.Request) {
		receipt, err := sweeper.Invoke(r.Context(), []byte("{}"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(receipt) // nobody is left to tell if the caller has gone
	})
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// idle is an engine that does nothing.
type idle struct{}

func (idle) Launch(context.Context, project.Ref) (string, error)     { return "none", nil }
func (idle) Lookup(context.Context, project.Ref) ([]string, error)   { return nil, nil }
func (idle) Stop(context.Context, project.Ref, string, string) error { return nil }

// gateway hands a route's requests to its handler.
type gateway struct {
	route   string
	handler lambda.Handler
	log     *slog.Logger
}

func (g gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resp, err := g.answer(r)
	if err != nil {
		g.log.ErrorContext(r.Context(), "not answered", "route", g.route, "error", err)
		http.Error(w, "not answered", http.StatusInternalServerError)
		return
	}
	for name, value := range resp.Headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.WriteString(w, resp.Body) // nobody is left to tell if the caller has gone
}

func (g gateway) answer(r *http.Request) (resp events.APIGatewayV2HTTPResponse, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return resp, fmt.Errorf("reading a body: %w", err)
	}
	event := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: g.route, RawPath: r.URL.Path, Headers: map[string]string{}, Body: string(body),
		PathParameters: map[string]string{"project_id": r.PathValue("project_id")},
	}
	for name, values := range r.Header {
		event.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	event.RequestContext.RequestID = project.NewToken()
	payload, err := json.Marshal(event)
	if err != nil {
		return resp, fmt.Errorf("encoding an event: %w", err)
	}
	out, err := g.handler.Invoke(r.Context(), payload)
	if err != nil {
		return resp, err
	}
	if err := json.Unmarshal(out, &resp); err != nil {
		return resp, fmt.Errorf("decoding an answer: %w", err)
	}
	if resp.StatusCode == 0 {
		return resp, errors.New("the answer has no status")
	}
	return resp, nil
}
