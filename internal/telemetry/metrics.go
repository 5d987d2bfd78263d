package telemetry

import (
	"context"
	"log/slog"
	"slices"
)

// Name is a metric's name in CloudWatch.
type Name string

// The metrics.
const (
	Started          Name = "Started"          // executions begun by run
	Restarted        Name = "Restarted"        // executions begun by restart
	Refused          Name = "Refused"          // answers that are an error, by [Code]
	Completed        Name = "Completed"        // executions that completed
	Failed           Name = "Failed"           // executions that failed, by [Reason]
	LaunchFailures   Name = "LaunchFailures"   // times that the engine did not take a job
	LateResults      Name = "LateResults"      // results that came after their execution had ended
	WaitToClaim      Name = "WaitToClaim"      // seconds from an execution's start to its runner's claim
	SweepEnded       Name = "SweepEnded"       // sweeps that came to their end, complete or not
	SweepIncomplete  Name = "SweepIncomplete"  // 1 for a sweep that left something to the next one, else 0
	Swept            Name = "Swept"            // executions that one sweep failed
	OldestRunningAge Name = "OldestRunningAge" // seconds since the start of the oldest execution that a sweep left running, 0 for none
)

// Definition says what a metric is to CloudWatch.
type Definition struct {
	Name      Name
	Unit      string    // one of CloudWatch's
	Dimension Dimension // empty: none. The metric without it is the sum of all.
}

// Definitions are all metrics that the functions write.
var Definitions = []Definition{
	{Started, "Count", ""},
	{Restarted, "Count", ""},
	{Refused, "Count", Code},
	{Completed, "Count", ""},
	{Failed, "Count", Reason},
	{LaunchFailures, "Count", ""},
	{LateResults, "Count", ""},
	{WaitToClaim, "Seconds", ""},
	{SweepEnded, "Count", ""},
	{SweepIncomplete, "Count", ""},
	{Swept, "Count", ""},
	{OldestRunningAge, "Seconds", ""},
}

// Dimension is the name of a metric's dimension in CloudWatch.
type Dimension string

// The dimensions. Each has few values.
const (
	Code   Dimension = "Code"   // a project.Code
	Reason Dimension = "Reason" // one of [Reasons]
)

// Why an execution failed.
const (
	Reported      = "reported"       // its runner said so
	TimedOut      = "timed_out"      // its runner stopped it at the limit
	SweptOverdue  = "swept"          // the sweep, at the limit
	SweptSilent   = "silent"         // the sweep, for want of heartbeats
	Cancelled     = "cancelled"      // its tenant
	LaunchRefused = "launch_refused" // the engine did not take its job
	Engine        = "engine"         // its job ended without a result
)

// Reasons are the values of [Reason].
var Reasons = []string{Reported, TimedOut, SweptOverdue, SweptSilent, Cancelled, LaunchRefused, Engine}

// Metrics are what one line of the log counts. The zero value counts nothing.
type Metrics struct{ data []datum }

type datum struct {
	Definition
	of    string // the dimension's value
	value float64
}

// Count counts one of a metric that has no dimension.
func (m *Metrics) Count(n Name) { m.Set(n, 1) }

// Set gives a metric that has no dimension a value.
func (m *Metrics) Set(n Name, value float64) { m.add(n, "", value) }

// CountOf counts one of a metric that has a dimension: of is the dimension's
// value.
func (m *Metrics) CountOf(n Name, of string) { m.add(n, of, 1) }

// add panics for a metric that is not defined, has no dimension but gets a
// value of one, or the other way round; a line can't have one twice.
func (m *Metrics) add(n Name, of string, value float64) {
	i := slices.IndexFunc(Definitions, func(d Definition) bool { return d.Name == n })
	if i < 0 || (Definitions[i].Dimension == "") != (of == "") {
		panic("telemetry: " + string(n) + " is not defined so")
	}
	if slices.ContainsFunc(m.data, func(d datum) bool { return d.Name == n }) {
		panic("telemetry: " + string(n) + " is counted twice on one line")
	}
	m.data = append(m.data, datum{Definitions[i], of, value})
}

// Attr puts the metrics on a line of the log. Only the handler of [NewHandler]
// writes them; for others the line has nothing more for it.
func (m *Metrics) Attr() slog.Attr { return slog.Any("metrics", embedded(m.data)) }

// embedded resolves to an empty group, which slog leaves out.
type embedded []datum

func (embedded) LogValue() slog.Value { return slog.GroupValue() }

// handler writes the metrics of its lines.
type handler struct {
	next      slog.Handler
	namespace string
}

// NewHandler makes a handler that writes the metrics of a line into it, in
// CloudWatch's embedded metric format
// (CloudWatch_Embedded_Metric_Format_Specification in CloudWatch's user guide):
// the member _aws says which members of the line's root are metrics of this
// namespace, and which are dimensions. Next has to write JSON. Without a
// namespace no metrics are written.
func NewHandler(next slog.Handler, namespace string) slog.Handler {
	if namespace == "" {
		return next
	}
	return handler{next, namespace}
}

func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.next.WithAttrs(attrs), h.namespace}
}
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.next.WithGroup(name), h.namespace}
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	var data embedded
	line := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if found, ok := a.Value.Any().(embedded); ok {
			data = append(data, found...)
		} else {
			line.AddAttrs(a)
		}
		return true
	})
	if len(data) == 0 {
		return h.next.Handle(ctx, r)
	}
	line.AddAttrs(h.members(data, r)...)
	return h.next.Handle(ctx, line)
}

// The metadata of a line, as CloudWatch reads it.
type (
	metadata struct {
		Timestamp         int64 // milliseconds since 1970
		CloudWatchMetrics []directive
	}
	directive struct {
		Namespace  string
		Dimensions [][]Dimension
		Metrics    []definition
	}
	definition struct {
		Name Name
		Unit string
	}
)

// members are what the metrics add to the root of a line. Metrics without a
// dimension share a directive; one with a dimension is written with it and
// without, since an alarm can't add up what it does not know the values of.
func (h handler) members(data []datum, r slog.Record) []slog.Attr {
	meta := metadata{Timestamp: r.Time.UnixMilli()}
	attrs := []slog.Attr{{}}
	plain := -1
	for _, d := range data {
		def := definition{d.Name, d.Unit}
		attrs = append(attrs, slog.Float64(string(d.Name), d.value))
		if d.Dimension != "" {
			attrs = append(attrs, slog.String(string(d.Dimension), d.of))
			meta.CloudWatchMetrics = append(meta.CloudWatchMetrics, directive{h.namespace, [][]Dimension{{}, {d.Dimension}}, []definition{def}})
			continue
		}
		if plain < 0 {
			plain = len(meta.CloudWatchMetrics)
			meta.CloudWatchMetrics = append(meta.CloudWatchMetrics, directive{h.namespace, [][]Dimension{{}}, nil})
		}
		meta.CloudWatchMetrics[plain].Metrics = append(meta.CloudWatchMetrics[plain].Metrics, def)
	}
	attrs[0] = slog.Any("_aws", meta)
	return attrs
}
