package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"rekindle/internal/project"
	"rekindle/internal/telemetry"
)

// budget is how long a handler may take: more than the database client's
// worst case, less than the function's own 20 seconds.
const budget = 15 * time.Second

// statusOf is the one map from codes to HTTP statuses.
var statusOf = map[project.Code]int{
	project.CodeSessionMissing: http.StatusUnauthorized,
	project.CodeSessionInvalid: http.StatusUnauthorized,
	project.CodeSessionExpired: http.StatusUnauthorized,
	project.CodeSessionIdle:    http.StatusUnauthorized,

	project.CodeBodyTooLarge:          http.StatusRequestEntityTooLarge,
	project.CodeBodyEncoding:          http.StatusBadRequest,
	project.CodeBodyInvalid:           http.StatusBadRequest,
	project.CodeContentType:           http.StatusUnsupportedMediaType,
	project.CodeProjectIDInvalid:      http.StatusBadRequest,
	project.CodeIdempotencyKeyInvalid: http.StatusBadRequest,

	project.CodeProjectNotFound:      http.StatusNotFound,
	project.CodeRouteNotFound:        http.StatusNotFound,
	project.CodeIdempotencyKeyReused: http.StatusUnprocessableEntity,
	project.CodeAttemptDiffers:       http.StatusConflict,
	project.CodeNotFailed:            http.StatusBadRequest,
	project.CodeNotPending:           http.StatusBadRequest,
	project.CodeUseRestart:           http.StatusBadRequest,

	project.CodeSubscriptionMissing:   http.StatusBadRequest,
	project.CodeSubscriptionPastDue:   http.StatusBadRequest,
	project.CodeSubscriptionCanceled:  http.StatusBadRequest,
	project.CodeSubscriptionUnpaid:    http.StatusBadRequest,
	project.CodeSubscriptionSuspended: http.StatusBadRequest,
	project.CodeSubscriptionUnknown:   http.StatusBadRequest,
	project.CodeActivationMissing:     http.StatusBadRequest,
	project.CodeActivationRevoked:     http.StatusBadRequest,
	project.CodeFieldMissing:          http.StatusBadRequest,
	project.CodeTrialSlotTaken:        http.StatusBadRequest,

	project.CodeLaunchRefused: http.StatusBadGateway,

	project.CodeFieldInvalid:    http.StatusBadRequest,
	project.CodeQueryInvalid:    http.StatusBadRequest,
	project.CodeCursorInvalid:   http.StatusBadRequest,
	project.CodeVersionMissing:  http.StatusPreconditionRequired,
	project.CodeVersionStale:    http.StatusPreconditionFailed,
	project.CodeProjectRunning:  http.StatusConflict,
	project.CodeNotRunning:      http.StatusBadRequest,
	project.CodeExtended:        http.StatusConflict,
	project.CodeExtensionEarly:  http.StatusBadRequest,
	project.CodeExtensionLate:   http.StatusBadRequest,
	project.CodeNotCompleted:    http.StatusBadRequest,
	project.CodeOutputMissing:   http.StatusNotFound,
	project.CodeAttemptUnknown:  http.StatusNotFound,
	project.CodeProjectLimit:    http.StatusBadRequest,
	project.CodeTrialProject:    http.StatusBadRequest,
	project.CodeProjectIDsTaken: http.StatusConflict,

	project.CodeActivationMalformed:   http.StatusBadRequest,
	project.CodeActivationUnknown:     http.StatusBadRequest,
	project.CodeActivationUsed:        http.StatusBadRequest,
	project.CodeActivationExpired:     http.StatusBadRequest,
	project.CodeActivationCodeRevoked: http.StatusBadRequest,
	project.CodeActivationPresent:     http.StatusBadRequest,

	project.CodeLoginSlugInvalid: http.StatusBadRequest,
	project.CodeLoginRateLimited: http.StatusTooManyRequests,
	project.CodeLoginCodeWrong:   http.StatusUnauthorized,
	project.CodeLoginCodeSpent:   http.StatusUnauthorized,

	project.CodeTokenInvalid:     http.StatusUnauthorized,
	project.CodeAttemptClosed:    http.StatusConflict,
	project.CodeAlreadyClaimed:   http.StatusConflict,
	project.CodeExecutionIDWrong: http.StatusBadRequest,

	project.CodeUploadUnsupported: http.StatusBadRequest,
	project.CodeUploadUnknown:     http.StatusNotFound,
	project.CodeUploadIncomplete:  http.StatusBadRequest,
	project.CodeOutputTooLarge:    http.StatusBadRequest,

	project.CodeContended:   http.StatusServiceUnavailable,
	project.CodeUnavailable: http.StatusServiceUnavailable,
	project.CodeInternal:    http.StatusInternalServerError,
}

// StatusOf returns the HTTP status of a code, 500 for one that is not known.
func StatusOf(code project.Code) int {
	if status, ok := statusOf[code]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// Options are what every handler takes.
type Options struct {
	Log *slog.Logger     // nil: slog.Default()
	Now func() time.Time // nil: the system's clock
	// Budget is how long a request may take; 0: 15 seconds. Tests that share
	// a slow machine with many others give more.
	Budget time.Duration
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	o.Log = telemetry.WithRequestIDs(o.Log)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Budget == 0 {
		o.Budget = budget
	}
	return o
}

// route answers one of a function's routes with a value to encode as JSON, or a
// [reply].
type route func(context.Context, *request) (any, error)

// reply is an answer that is more than a 200 with a value.
type reply struct {
	status  int
	headers map[string]string // lower-case names
	value   any               // nil: no body
}

// Handler answers the events of one Lambda function. It is a lambda.Handler.
type Handler struct {
	routes map[string]route // by API Gateway's route key
	log    *slog.Logger
	budget time.Duration
}

func newHandler(o Options, routes map[string]route) *Handler {
	routes["$default"] = func(context.Context, *request) (any, error) {
		return nil, project.Refuse(project.CodeRouteNotFound, nil)
	}
	return &Handler{routes: routes, log: o.Log, budget: o.Budget}
}

// Invoke takes an API Gateway HTTP API event and returns the answer to it. Its
// error is for a payload that is no such event.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var event events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, fmt.Errorf("the payload is not an API Gateway HTTP API event: %w", err)
	}
	req := &request{event: &event}
	ctx, cancel := context.WithTimeout(telemetry.WithRequest(ctx, req.id()), h.budget)
	defer cancel()
	began := time.Now()
	value, err := h.answer(ctx, req)
	answer := reply{status: http.StatusOK, value: value}
	var code project.Code
	if err != nil {
		answer, code = h.refusal(req, err)
	} else if r, ok := value.(reply); ok {
		answer = r
	}
	resp := events.APIGatewayV2HTTPResponse{StatusCode: answer.status, Headers: jsonHeaders}
	if len(answer.headers) > 0 {
		resp.Headers = maps.Clone(jsonHeaders)
		maps.Copy(resp.Headers, answer.headers)
	}
	if answer.value != nil {
		body, err := json.Marshal(answer.value)
		if err != nil {
			return nil, fmt.Errorf("encoding an answer: %w", err)
		}
		resp.Body = string(body)
	}
	h.logRequest(ctx, req, answer.status, code, err, time.Since(began))
	return json.Marshal(resp)
}

// jsonHeaders go with every answer: no browser takes it for anything but JSON,
// and no cache keeps it.
var jsonHeaders = map[string]string{
	"content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff",
}

// errPanic is a fault in our own code.
var errPanic = errors.New("panic")

func (h *Handler) answer(ctx context.Context, req *request) (value any, err error) {
	defer func() {
		if p := recover(); p != nil {
			h.log.ErrorContext(ctx, "panic", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	answer, ok := h.routes[req.event.RouteKey]
	if !ok {
		answer = h.routes["$default"]
	}
	return answer(ctx, req)
}

// refusal is the answer to a request that met an error, and the answer's code.
func (h *Handler) refusal(req *request, err error) (reply, project.Code) {
	var refused *project.Error
	if !errors.As(err, &refused) {
		refused = project.Refuse(project.CodeInternal, project.Fields{"request_id": req.id()})
		if errors.Is(err, context.DeadlineExceeded) {
			refused = project.Refuse(project.CodeUnavailable, nil)
		}
	}
	body := make(map[string]any, len(refused.Fields)+2)
	maps.Copy(body, refused.Fields)
	body["detail"], body["code"] = refused.Error(), refused.Code
	r := reply{status: StatusOf(refused.Code), value: body}
	if after, ok := refused.Fields["retry_after_seconds"]; ok {
		r.headers = map[string]string{"retry-after": fmt.Sprint(after)}
	} else if r.status == http.StatusServiceUnavailable {
		r.headers = map[string]string{"retry-after": "1"}
	}
	return r, refused.Code
}

// logRequest writes the one line that each request has, with what it counts.
func (h *Handler) logRequest(ctx context.Context, req *request, status int, code project.Code, err error, took time.Duration) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("route", req.event.RouteKey),
		slog.Int("status", status),
		slog.Duration("took", took),
	}
	for _, f := range []struct{ name, value string }{{"tenant_id", req.tenantID}, {"project_id", req.projectID}} {
		if f.value != "" {
			attrs = append(attrs, slog.String(f.name, f.value))
		}
	}
	if req.executionID != 0 {
		attrs = append(attrs, slog.Int64("execution_id", req.executionID))
	}
	if err != nil {
		attrs = append(attrs, slog.String("code", string(code)))
		req.metrics.CountOf(telemetry.Refused, string(code))
		cause := err
		var refused *project.Error
		if errors.As(err, &refused) {
			cause = refused.Err
		}
		if cause != nil {
			attrs = append(attrs, slog.String("error", cause.Error()))
		}
		if status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	h.log.LogAttrs(ctx, level, "request", append(attrs, req.metrics.Attr())...)
}
