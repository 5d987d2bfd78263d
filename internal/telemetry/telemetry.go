// Package telemetry is what the functions tell an operator: log lines that know
// which request they belong to, and metrics that are embedded in them.
//
// A handler is made with [WithRequestIDs], and logs with the request's context:
// then no line has to name the request. What happens is counted in a [Metrics],
// whose [Metrics.Attr] goes on a line that is written anyway. In Lambda that
// line is in CloudWatch's embedded metric format, see [NewHandler]: CloudWatch
// reads the metrics out of the log, and no call is made for them. Elsewhere a
// line has no metrics.
//
// A metric is counted by the invocation that saw the change written. A twin of a
// request, or a report that is sent again, finds it written and counts nothing.
// An invocation that dies in between counts nothing either, and CloudWatch may
// count a line twice: metrics are for graphs and alarms, the projects' items are
// the truth.
//
// No dimension names a tenant or a project: each value of a dimension is a
// metric of its own, and is paid for.
package telemetry

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

type requestKey struct{}

// WithRequest makes a context of a request that the caller knows by an id of its
// own: API Gateway's.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// WithRequestIDs makes a logger each of whose lines says which request it
// belongs to, if its context is a request's. request_id is the one that whoever
// called was told: API Gateway's, or else Lambda's own. Where they differ,
// lambda_request_id is Lambda's, by which the lines of the platform are found.
func WithRequestIDs(log *slog.Logger) *slog.Logger { return slog.New(requestIDs{log.Handler()}) }

type requestIDs struct{ slog.Handler }

func (h requestIDs) Handle(ctx context.Context, r slog.Record) error {
	id, _ := ctx.Value(requestKey{}).(string)
	own := ""
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		own = lc.AwsRequestID
	}
	if id == "" {
		id = own
	}
	if id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("request_id", id))
		if own != "" && own != id {
			r.AddAttrs(slog.String("lambda_request_id", own))
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h requestIDs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestIDs{h.Handler.WithAttrs(attrs)}
}
func (h requestIDs) WithGroup(name string) slog.Handler { return requestIDs{h.Handler.WithGroup(name)} }
