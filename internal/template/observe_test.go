package template

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rekindle/internal/project"
	"rekindle/internal/telemetry"
)

const ownNamespace = "Rekindle/${AWS::StackName}"

// awsMetrics are those of AWS's namespaces that this stack may speak of, as the
// services' guides list them.
var awsMetrics = map[string][]string{
	"AWS/ApiGateway": {"4xx", "5xx", "Count", "IntegrationLatency", "Latency", "DataProcessed"},
	"AWS/Lambda":     {"ConcurrentExecutions", "Duration", "Errors", "Invocations", "Throttles", "AsyncEventAge", "AsyncEventsDropped"},
	"AWS/DynamoDB": {
		"ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "ReadThrottleEvents", "WriteThrottleEvents", "SystemErrors",
		"ThrottledRequests", "SuccessfulRequestLatency", "ReturnedRecordsCount",
	},
	"AWS/SQS":               {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage", "NumberOfMessagesSent"},
	"AWS/Events":            {"FailedInvocations", "Invocations", "InvocationsSentToDlq", "InvocationsFailedToBeSentToDlq", "ThrottledRules"},
	"AWS/EventBridge/Pipes": {"ExecutionFailed", "ExecutionPartiallyFailed", "ExecutionThrottled", "ExecutionTimeout", "Invocations"},
	"AWS/SNS":               {"NumberOfNotificationsFailed", "NumberOfMessagesPublished"},
}

// filtered are the metrics that metric filters make of the logs.
func filtered(root mapping) []string {
	var names []string
	for _, f := range resources(root, "AWS::Logs::MetricFilter") {
		list, _ := at(f, "Properties", "MetricTransformations").([]any)
		for _, m := range list {
			names = append(names, fmt.Sprint(at(m, "MetricName")))
		}
	}
	return names
}

// unknown says what is wrong with the name of a metric and its dimensions, which
// are names and values in turn; empty if nothing is.
func unknown(root mapping, namespace, name string, dimensions []string) string {
	if namespace != ownNamespace {
		if !slices.Contains(awsMetrics[namespace], name) {
			return fmt.Sprintf("%s of %s is no metric that AWS is known to have", name, namespace)
		}
		if len(dimensions) == 0 {
			return fmt.Sprintf("%s of %s has no dimensions: it would be the whole account's", name, namespace)
		}
		return ""
	}
	if slices.Contains(filtered(root), name) {
		if len(dimensions) > 0 {
			return fmt.Sprintf("%s has the dimensions %v, and its filter gives it none", name, dimensions)
		}
		return ""
	}
	i := slices.IndexFunc(telemetry.Definitions, func(d telemetry.Definition) bool { return string(d.Name) == name })
	if i < 0 {
		return fmt.Sprintf("nothing counts %s", name)
	}
	if len(dimensions) == 0 {
		return ""
	}
	if d := telemetry.Definitions[i].Dimension; len(dimensions) != 2 || dimensions[0] != string(d) {
		return fmt.Sprintf("%s has the dimensions %v, want %q", name, dimensions, d)
	}
	if dimensions[0] == string(telemetry.Reason) && !slices.Contains(telemetry.Reasons, dimensions[1]) {
		return fmt.Sprintf("%s has the reason %q, want one of %v", name, dimensions[1], telemetry.Reasons)
	}
	return ""
}

func TestAlarmsWatchWhatIsMeasured(t *testing.T) {
	root := rawTemplate(t)
	check := func(id string, metric any) {
		var dimensions []string
		list, _ := at(metric, "Dimensions").([]any)
		for _, d := range list {
			dimensions = append(dimensions, fmt.Sprint(at(d, "Name")), fmt.Sprint(at(d, "Value")))
		}
		if problem := unknown(root, fmt.Sprint(at(metric, "Namespace")), fmt.Sprint(at(metric, "MetricName")), dimensions); problem != "" {
			t.Errorf("%s: %s", id, problem)
		}
	}
	for id, a := range resources(root, "AWS::CloudWatch::Alarm") {
		p := a["Properties"]
		queries, _ := at(p, "Metrics").([]any)
		if queries == nil {
			check(id, p)
			continue
		}
		// CloudWatch's limit for an alarm on an expression.
		if len(queries) > 10 {
			t.Errorf("%s watches %d metrics, more than 10", id, len(queries))
		}
		returned := 0
		for _, q := range queries {
			if metric := at(q, "MetricStat", "Metric"); metric != nil {
				check(id, metric)
			}
			if at(q, "ReturnData") != false {
				returned++
			}
		}
		if returned != 1 {
			t.Errorf("%s returns %d of its metrics, want 1", id, returned)
		}
	}
}

// A deployment of one function is not taken back for what the service as a whole
// does.
func TestThrottlesOfEachFunctionAndTableAlarm(t *testing.T) {
	root := rawTemplate(t)
	watched := func(alarm string) string {
		return fmt.Sprint(at(root, "Resources", alarm, "Properties", "Metrics"))
	}
	for id := range functions(root) {
		if !strings.Contains(watched("FunctionThrottlesAlarm"), "Value:"+id+"]") {
			t.Errorf("throttles of %s alarm nobody", id)
		}
	}
	for _, table := range []string{"ProjectsTable", "TenantsTable", "SessionsTable"} {
		if n := strings.Count(watched("TableThrottlesAlarm"), "Value:"+table+"]"); n < 2 {
			t.Errorf("throttles of %s are watched %d times, want reads and writes", table, n)
		}
	}
}

func TestSilenceOfTheSweepAlarms(t *testing.T) {
	p := at(rawTemplate(t), "Resources", "SweepMissingAlarm", "Properties")
	for name, want := range map[string]any{
		"TreatMissingData": "breaching", "MetricName": string(telemetry.SweepEnded), "Statistic": "Sum", "Period": 3600,
		"EvaluationPeriods": 3, "Threshold": 1, "ComparisonOperator": "LessThanThreshold",
	} {
		if got := at(p, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// The alarm follows the limit, and bears with the largest extension and two
// sweeps.
func TestOldestExecutionMayBeAsOldAsTheLongestExtended(t *testing.T) {
	p := at(rawTemplate(t), "Resources", "OldestRunningAlarm", "Properties")
	queries, _ := at(p, "Metrics").([]any)
	if want := "age / 3600 - ${ProjectExecutionTimeoutHours}"; len(queries) != 2 || at(queries[0], "Expression") != want {
		t.Errorf("it watches %v, want %s", queries, want)
	}
	if want := int(project.MaxExtension.Hours()) + 2; at(p, "Threshold") != want {
		t.Errorf("it sounds %v hours over the limit, want %d", at(p, "Threshold"), want)
	}
}

var (
	substituted = regexp.MustCompile(`\$\{([^}!]+)\}`)
	searched    = regexp.MustCompile(`^SEARCH\('\{"?([^",]+)"?,([^}]+)\} MetricName="(\w+)"( \w+="[^"]+")?', '(Sum|Maximum|Average)', \d+\)$`)
)

// dashboard is as much of the body as is checked.
type dashboard struct {
	Widgets []struct {
		Type                string
		X, Y, Width, Height int
		Properties          struct {
			Title, Region string
			Metrics       [][]any
			Alarms        []string
		}
	}
}

func readDashboard(t *testing.T, root mapping) dashboard {
	t.Helper()
	body := fmt.Sprint(at(root, "Resources", "Dashboard", "Properties", "DashboardBody"))
	var d dashboard
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatalf("the dashboard's body is no JSON: %v", err)
	}
	all := resources(root, "")
	for id := range at(root, "Resources").(mapping) {
		all[id] = nil
	}
	for _, found := range substituted.FindAllStringSubmatch(body, -1) {
		id, _, _ := strings.Cut(found[1], ".")
		if _, there := all[id]; !there && !strings.HasPrefix(id, "AWS::") {
			t.Errorf("the dashboard speaks of %s, which is not there", id)
		}
	}
	return d
}

func TestDashboardShowsWhatIsMeasured(t *testing.T) {
	root := rawTemplate(t)
	d := readDashboard(t, root)
	shown := map[string]bool{}
	var alarms []string
	for _, w := range d.Widgets {
		title := w.Properties.Title
		if w.X < 0 || w.X+w.Width > 24 || w.Height < 1 || title == "" {
			t.Errorf("%q is at %d with a width of %d and a height of %d", title, w.X, w.Width, w.Height)
		}
		alarms = append(alarms, w.Properties.Alarms...)
		if w.Type == "metric" && (w.Properties.Region != "${AWS::Region}" || len(w.Properties.Metrics) == 0) {
			t.Errorf("%q shows %d metrics of %s", title, len(w.Properties.Metrics), w.Properties.Region)
		}
		for _, m := range w.Properties.Metrics {
			var namespace, name string
			var dimensions []string
			if options, is := m[0].(map[string]any); is {
				found := searched.FindStringSubmatch(fmt.Sprint(options["expression"]))
				if len(m) != 1 || found == nil {
					t.Errorf("%q has the expression %v", title, m)
					continue
				}
				namespace, name, dimensions = found[1], found[3], strings.Split(found[2], ",")
				if namespace == ownNamespace {
					i := slices.IndexFunc(telemetry.Definitions, func(d telemetry.Definition) bool { return string(d.Name) == name })
					if i < 0 || len(dimensions) != 1 || string(telemetry.Definitions[i].Dimension) != dimensions[0] {
						t.Errorf("%q searches %s by %v", title, name, dimensions)
					}
					dimensions = nil
				}
			} else {
				for i, part := range m {
					text, is := part.(string)
					switch {
					case !is && i == len(m)-1: // options
					case !is:
						t.Errorf("%q has %v in the metric %v", title, part, m)
					case i == 0:
						namespace = text
					case i == 1:
						name = text
					default:
						dimensions = append(dimensions, text)
					}
				}
				if len(dimensions)%2 != 0 {
					t.Errorf("%q has a dimension without a value: %v", title, m)
				}
			}
			if problem := unknown(root, namespace, name, dimensions); problem != "" {
				t.Errorf("%q: %s", title, problem)
			}
			if namespace == ownNamespace {
				shown[name] = true
			}
		}
	}
	for _, d := range telemetry.Definitions {
		if !shown[string(d.Name)] {
			t.Errorf("%s is not on the dashboard", d.Name)
		}
	}
	for _, name := range filtered(root) {
		if !shown[name] {
			t.Errorf("%s is not on the dashboard", name)
		}
	}
	for id := range resources(root, "AWS::CloudWatch::Alarm") {
		if !slices.Contains(alarms, "${"+id+".Arn}") {
			t.Errorf("the alarm %s is not on the dashboard", id)
		}
	}
}

func TestWidgetsDoNotOverlap(t *testing.T) {
	d := readDashboard(t, rawTemplate(t))
	for i, a := range d.Widgets {
		for _, b := range d.Widgets[:i] {
			if a.X < b.X+b.Width && b.X < a.X+a.Width && a.Y < b.Y+b.Height && b.Y < a.Y+a.Height {
				t.Errorf("%q lies on %q", a.Properties.Title, b.Properties.Title)
			}
		}
	}
}

func TestTracingIsOneParameterAndOff(t *testing.T) {
	root := rawTemplate(t)
	if got := at(root, "Globals", "Function", "Tracing"); got != "Tracing" {
		t.Errorf("the functions trace by %v, want the parameter Tracing", got)
	}
	if got := at(root, "Parameters", "Tracing", "Default"); got != "Disabled" {
		t.Errorf("tracing is %v by default, want Disabled", got)
	}
	for id, f := range functions(root) {
		if own := at(f, "Properties", "Tracing"); own != nil {
			t.Errorf("%s traces by %v, whatever the parameter says", id, own)
		}
	}
}

func TestEveryLogGroupForgets(t *testing.T) {
	groups := resources(rawTemplate(t), "AWS::Logs::LogGroup")
	if len(groups) < 10 {
		t.Errorf("there are %d log groups, want those of the functions, the runner and the API", len(groups))
	}
	for id, g := range groups {
		if got := at(g, "Properties", "RetentionInDays"); got != "LogRetentionDays" {
			t.Errorf("%s keeps its lines for %v, want LogRetentionDays", id, got)
		}
	}
}

// What the API writes down of each call is nothing that a caller sent but the
// route.
func TestAccessLogTellsNoSecret(t *testing.T) {
	root := rawTemplate(t)
	settings := at(root, "Resources", "Api", "Properties", "AccessLogSettings")
	if got := at(settings, "DestinationArn"); got != "ApiLogs.Arn" {
		t.Errorf("the access log goes to %v", got)
	}
	format := fmt.Sprint(at(settings, "Format"))
	variable := regexp.MustCompile(`\$context\.[A-Za-z.]+`)
	allowed := []string{
		"$context.requestId", "$context.integration.requestId", "$context.requestTimeEpoch", "$context.routeKey", "$context.status",
		"$context.responseLatency", "$context.integration.latency", "$context.error.message", "$context.integration.error",
	}
	for _, v := range variable.FindAllString(format, -1) {
		if !slices.Contains(allowed, v) {
			t.Errorf("the access log has %s: say here why it may", v)
		}
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(variable.ReplaceAllString(format, "429")), &line); err != nil || strings.Contains(format, "\n") {
		t.Fatalf("a line of the access log is no JSON: %v: %s", err, format)
	}
	// ApiThrottledMetric compares it as a number.
	if _, is := line["status"].(float64); !is {
		t.Errorf("the status is %v, want a number", line["status"])
	}
	if line["request_id"] == nil || line["route"] == nil {
		t.Errorf("a line has %v, want the request's id and route", line)
	}
}

var runbook = regexp.MustCompile(`(?m)^#{3,4} (.*)$`)

// Each alarm has a heading in the page for operators, with its logical id, and no
// heading is about an alarm that is not there.
func TestEachAlarmHasItsPlaceInTheRunbook(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, alarms, there := strings.Cut(string(text), "\n## Alarms\n")
	if !there {
		t.Fatal("docs/operations.md has no section Alarms")
	}
	alarms, _, _ = strings.Cut(alarms, "\n## ")
	known := resources(rawTemplate(t), "AWS::CloudWatch::Alarm")
	places := map[string]int{}
	for _, heading := range runbook.FindAllStringSubmatch(alarms, -1) {
		for id := range strings.SplitSeq(heading[1], ", ") {
			places[id]++
			if known[id] == nil {
				t.Errorf("the runbook has a heading for %s, which is no alarm", id)
			}
		}
	}
	for id := range known {
		if places[id] != 1 {
			t.Errorf("%s has %d headings in the runbook, want 1", id, places[id])
		}
	}
}

func TestEachMetricIsExplained(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, metrics, _ := strings.Cut(string(text), "\n### Metrics\n")
	metrics, _, _ = strings.Cut(metrics, "\n### ")
	for _, d := range telemetry.Definitions {
		if !regexp.MustCompile(`(?m)^\| [^|]*\b` + string(d.Name) + `\b[^|]*\|`).MatchString(metrics) {
			t.Errorf("docs/operations.md does not say what %s counts", d.Name)
		}
	}
	for _, reason := range telemetry.Reasons {
		if !strings.Contains(metrics, "`"+reason+"`") {
			t.Errorf("docs/operations.md does not say what the reason %s is", reason)
		}
	}
}
