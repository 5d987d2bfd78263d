package settings

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"

	"rekindle/internal/telemetry"
)

// namespace is what CloudWatch takes for one (Metric in its API reference), but
// for spaces.
var namespace = regexp.MustCompile(`^[A-Za-z0-9._/#-][A-Za-z0-9._/#:-]{0,254}$`)

// MetricsNamespace returns METRICS_NAMESPACE: where in CloudWatch the function's
// metrics go. Where it is empty or unset there are none.
func (r *Reader) MetricsNamespace() string {
	const name = "METRICS_NAMESPACE"
	v, _ := r.lookup(name)
	if v != "" && (!namespace.MatchString(v) || strings.HasPrefix(v, "AWS/")) {
		r.fail(name, " must be 1 to 255 letters, digits and ._/#:-, and not AWS's own; it is %q", v)
	}
	return v
}

// Start hands the handler that build makes to Lambda and serves for ever. Its
// log goes to the standard output in JSON, with metrics in it if there is a
// METRICS_NAMESPACE. If a setting was wrong it says so on one line each and ends
// the process, which Lambda reports as a failed start.
func (r *Reader) Start(build func(*slog.Logger) lambda.Handler) {
	metrics := r.MetricsNamespace()
	if err := r.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	log := slog.New(telemetry.NewHandler(slog.NewJSONHandler(os.Stdout, nil), metrics))
	slog.SetDefault(log)
	lambda.Start(build(log))
}
