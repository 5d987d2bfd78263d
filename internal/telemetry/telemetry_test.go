package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"rekindle/internal/secretwatch"
	"rekindle/internal/telemetry"
	"rekindle/internal/telemetry/emftest"
)

const namespace = "Rekindle/test"

// logged returns what a logger for CloudWatch writes.
func logged(namespace string, write func(*slog.Logger)) string {
	var out bytes.Buffer
	write(secretwatch.New(telemetry.NewHandler(slog.NewJSONHandler(&out, nil), namespace)))
	return out.String()
}

func member(t *testing.T, line, name string) (value any, has bool) {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(line), &all); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	value, has = all[name]
	return value, has
}

func TestEachLineSaysWhichRequestItBelongsTo(t *testing.T) {
	lambda := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "lambda-1"})
	for _, c := range []struct {
		name            string
		ctx             context.Context
		request, lambda any
	}{
		{"of API Gateway", telemetry.WithRequest(lambda, "gateway-1"), "gateway-1", "lambda-1"},
		{"of Lambda alone", lambda, "lambda-1", nil},
		{"by one id", telemetry.WithRequest(lambda, "lambda-1"), "lambda-1", nil},
		{"without Lambda", telemetry.WithRequest(t.Context(), "gateway-1"), "gateway-1", nil},
		{"of nobody", t.Context(), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			line := logged("", func(log *slog.Logger) {
				telemetry.WithRequestIDs(log).With("tenant_id", "acme").WarnContext(c.ctx, "late result", "outcome", "failed")
			})
			for name, want := range map[string]any{
				"request_id": c.request, "lambda_request_id": c.lambda, "msg": "late result", "tenant_id": "acme", "outcome": "failed",
			} {
				if got, has := member(t, line, name); got != want || has != (want != nil) {
					t.Errorf("%s is %v (there: %t), want %v", name, got, has, want)
				}
			}
			if _, err := emftest.Line([]byte(line)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMetricsAreEmbeddedAsCloudWatchReadsThem(t *testing.T) {
	var m telemetry.Metrics
	m.Count(telemetry.Started)
	m.Set(telemetry.WaitToClaim, 41.5)
	m.CountOf(telemetry.Failed, telemetry.LaunchRefused)
	m.CountOf(telemetry.Refused, "launch_refused")
	line := logged(namespace, func(log *slog.Logger) { log.Info("request", "status", 502, m.Attr(), "code", "launch_refused") })
	metric := func(name, unit, dimensions string, value float64) emftest.Metric {
		return emftest.Metric{Namespace: namespace, Name: name, Unit: unit, Dimensions: dimensions, Value: value}
	}
	want := []emftest.Metric{
		metric("Started", "Count", "", 1),
		metric("WaitToClaim", "Seconds", "", 41.5),
		metric("Failed", "Count", "", 1),
		metric("Failed", "Count", "Reason=launch_refused", 1),
		metric("Refused", "Count", "", 1),
		metric("Refused", "Count", "Code=launch_refused", 1),
	}
	if got := emftest.Read(t, line); !reflect.DeepEqual(got, want) {
		t.Errorf("CloudWatch reads\n%v, want\n%v", got, want)
	}
	// It is a line of the log all the same.
	for name, want := range map[string]any{"msg": "request", "status": 502.0, "code": "launch_refused", "level": "INFO"} {
		if got, _ := member(t, line, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if strings.Count(line, "\n") != 1 {
		t.Errorf("it takes more than one line: %q", line)
	}
}

func TestTimestampIsTheLinesOwn(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 7_000_000, time.UTC)
	var out bytes.Buffer
	var m telemetry.Metrics
	m.Count(telemetry.SweepEnded)
	r := slog.NewRecord(at, slog.LevelInfo, "sweep ended", 0)
	r.AddAttrs(m.Attr())
	if err := telemetry.NewHandler(slog.NewJSONHandler(&out, nil), namespace).Handle(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	aws, _ := member(t, out.String(), "_aws")
	if got := aws.(map[string]any)["Timestamp"]; got != float64(at.UnixMilli()) {
		t.Errorf("the timestamp is %v, want %d", got, at.UnixMilli())
	}
}

func TestWithoutANamespaceALineHasNoMetrics(t *testing.T) {
	var m telemetry.Metrics
	m.Count(telemetry.Started)
	for name, line := range map[string]string{
		"no namespace": logged("", func(log *slog.Logger) { log.Info("request", m.Attr()) }),
		"no metrics":   logged(namespace, func(log *slog.Logger) { log.Info("request", new(telemetry.Metrics).Attr()) }),
	} {
		for _, gone := range []string{"_aws", "metrics", "Started"} {
			if _, has := member(t, line, gone); has {
				t.Errorf("%s: the line has %s: %s", name, gone, line)
			}
		}
	}
	var console bytes.Buffer
	secretwatch.New(slog.NewTextHandler(&console, nil)).Info("request", m.Attr())
	if text := console.String(); strings.Contains(text, "metrics") || strings.Contains(text, "Started") {
		t.Errorf("a developer's console has %q", text)
	}
}

func TestMetricsPassLoggersWithAttributes(t *testing.T) {
	var m telemetry.Metrics
	m.CountOf(telemetry.Failed, telemetry.Engine)
	ctx := telemetry.WithRequest(t.Context(), "r-1")
	line := logged(namespace, func(log *slog.Logger) {
		telemetry.WithRequestIDs(log).With("tenant_id", "acme").WarnContext(ctx, "execution failed", m.Attr())
	})
	if got := emftest.Count(t, line); got["Failed Reason=engine"] != 1 || got["Failed"] != 1 {
		t.Errorf("CloudWatch counts %v", got)
	}
	if got, _ := member(t, line, "request_id"); got != "r-1" {
		t.Errorf("the line is of the request %v, want r-1", got)
	}
}

func TestWhatIsNotDefinedIsNotCounted(t *testing.T) {
	for name, count := range map[string]func(*telemetry.Metrics){
		"an unknown metric":      func(m *telemetry.Metrics) { m.Count("Begun") },
		"no dimension":           func(m *telemetry.Metrics) { m.Count(telemetry.Failed) },
		"a dimension too many":   func(m *telemetry.Metrics) { m.CountOf(telemetry.Started, "x") },
		"one metric twice":       func(m *telemetry.Metrics) { m.Count(telemetry.Started); m.Count(telemetry.Started) },
		"an empty dimension":     func(m *telemetry.Metrics) { m.CountOf(telemetry.Failed, "") },
		"one dimension, twofold": func(m *telemetry.Metrics) { m.CountOf(telemetry.Failed, "a"); m.CountOf(telemetry.Failed, "b") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was counted", name)
				}
			}()
			count(&telemetry.Metrics{})
		}()
	}
}

// No two metrics with dimensions share one: they would share the member of the
// root that has its value.
func TestEachDimensionBelongsToOneMetric(t *testing.T) {
	var seen []telemetry.Dimension
	for _, d := range telemetry.Definitions {
		if d.Dimension != "" && slices.Contains(seen, d.Dimension) {
			t.Errorf("%s shares the dimension %s", d.Name, d.Dimension)
		}
		seen = append(seen, d.Dimension)
	}
}

// The reader of the tests refuses what CloudWatch would not read.
func TestLinesThatCloudWatchWouldNotReadAreFound(t *testing.T) {
	const ok = `"_aws":{"Timestamp":1772366400000,"CloudWatchMetrics":[{"Namespace":"N","Dimensions":[["D"]],"Metrics":[{"Name":"M","Unit":"Count"}]}]}`
	if got, err := emftest.Line([]byte(`{` + ok + `,"D":"d","M":1}`)); err != nil || len(got) != 1 || got[0].Dimensions != "D=d" {
		t.Errorf("a sound line gives %v, %v", got, err)
	}
	for name, line := range map[string]string{
		"text before it":          `INFO {` + ok + `,"D":"d","M":1}`,
		"text after it":           `{` + ok + `,"D":"d","M":1} x`,
		"no value":                `{` + ok + `,"D":"d"}`,
		"a value that is text":    `{` + ok + `,"D":"d","M":"1"}`,
		"no dimension":            `{` + ok + `,"M":1}`,
		"a dimension as a number": `{` + ok + `,"D":7,"M":1}`,
		"a member twice":          `{` + ok + `,"D":"d","M":1,"M":2}`,
		"nested metadata":         `{"g":{},"_aws":{"CloudWatchMetrics":[]}}`,
		"seconds for a time":      `{` + strings.Replace(ok, "1772366400000", "1772366400", 1) + `,"D":"d","M":1}`,
		"an unknown unit":         `{` + strings.Replace(ok, `"Count"`, `"Pieces"`, 1) + `,"D":"d","M":1}`,
		"a namespace of AWS":      `{` + strings.Replace(ok, `"N"`, `"AWS/N"`, 1) + `,"D":"d","M":1}`,
		"no sets of dimensions":   `{` + strings.Replace(ok, `[["D"]]`, `[]`, 1) + `,"D":"d","M":1}`,
		"an unknown member":       `{` + strings.Replace(ok, `"Namespace"`, `"Zone":"z","Namespace"`, 1) + `,"D":"d","M":1}`,
	} {
		if got, err := emftest.Line([]byte(line)); err == nil {
			t.Errorf("%s: it gives %v, want an error", name, got)
		}
	}
}

var (
	withoutContext = regexp.MustCompile(`\b[lL]og\.(Debug|Info|Warn|Error)\(`)
	byHand         = regexp.MustCompile(`"request_id", `)
)

// A line that is written without the request's context can't say whose it is, and
// one that says it by hand says it twice.
func TestEachLineOfTheFunctionsIsWrittenWithItsContext(t *testing.T) {
	lines := 0
	for _, dir := range []string{"api", "settle", "sweep", "launch", "dynamo", "output", "mail"} {
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			// The launcher of one machine has no requests.
			if strings.HasSuffix(file, "_test.go") || dir == "launch" && slices.Contains([]string{"local.go", "adopt.go"}, filepath.Base(file)) {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines += len(regexp.MustCompile(`\b[lL]og\.\w+Context\(|\.LogAttrs\(`).FindAll(text, -1))
			for _, wrong := range [][]byte{withoutContext.Find(text), byHand.Find(text)} {
				if wrong != nil {
					t.Errorf("%s has %s", file, wrong)
				}
			}
		}
	}
	if lines < 20 {
		t.Errorf("%d lines were looked at: are they written otherwise by now?", lines)
	}
}
