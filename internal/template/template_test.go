package template

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const deployed = "../../template.yaml"

func open(t *testing.T, params map[string]string) *Template {
	t.Helper()
	tmpl, err := Open(deployed, params)
	if err != nil {
		t.Fatalf("opening the deployed template: %v", err)
	}
	return tmpl
}

// openText opens a template that is given as text, under the name t.yaml.
func openText(t *testing.T, text string, params map[string]string) (*Template, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("t.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Open("t.yaml", params)
}

func TestRoutesOfTheDeployedTemplate(t *testing.T) {
	got := map[string]string{}
	for _, r := range open(t, nil).Routes {
		got[strings.TrimSpace(r.Method+" "+r.Path)] = r.Function
	}
	want := map[string]string{
		"POST /api/tenant/projects/{project_id}/run":             "RunFunction",
		"POST /api/tenant/projects/{project_id}/restart":         "RestartFunction",
		"GET /api/tenant/projects/{project_id}/status":           "StatusFunction",
		"GET /api/tenant/projects":                               "ProjectsFunction",
		"POST /api/tenant/projects":                              "ProjectsFunction",
		"GET /api/tenant/projects/{project_id}":                  "ProjectsFunction",
		"PUT /api/tenant/projects/{project_id}":                  "ProjectsFunction",
		"DELETE /api/tenant/projects/{project_id}":               "ProjectsFunction",
		"POST /api/tenant/projects/{project_id}/activation-code": "ProjectsFunction",
		"POST /api/tenant/projects/{project_id}/cancel":          "ProjectsFunction",
		"GET /api/tenant/projects/{project_id}/log":              "ProjectsFunction",
		"GET /api/tenant/projects/{project_id}/download":         "ProjectsFunction",
		"POST /api/worker/executions/{execution_id}/claim":       "WorkerFunction",
		"POST /api/worker/executions/{execution_id}/heartbeat":   "WorkerFunction",
		"POST /api/worker/executions/{execution_id}/result":      "WorkerFunction",
		DefaultPath: "StatusFunction",
	}
	for route, function := range want {
		if got[route] != function {
			t.Errorf("%s goes to %q, want %q", route, got[route], function)
		}
	}
}

func TestEnvironmentOfTheDeployedFunctions(t *testing.T) {
	const (
		projects, tenants, sessions = "PROJECTS_TABLE", "TENANTS_TABLE", "SESSIONS_TABLE"
		sweeps                      = "SWEEPS_TABLE"
		timeout, secret             = "PROJECT_EXECUTION_TIMEOUT_HOURS", "EXECUTION_TOKEN_SECRET"
		output, queue, definition   = "OUTPUT_BASE", "JOB_QUEUE", "JOB_DEFINITION"
		hashing, sender, size       = "HASHING_SECRET", "OTP_SENDER", "OUTPUT_LIMIT_MEGABYTES"
		command, beat, silence      = "PROJECT_COMMAND", "PROJECT_HEARTBEAT_SECONDS", "PROJECT_HEARTBEAT_TIMEOUT_MINUTES"
	)
	starts := []string{projects, tenants, sessions, timeout, secret, output, queue, definition, command}
	// Exactly these, and where its metrics go: a function gets what it needs and
	// nothing more.
	const metrics = "METRICS_NAMESPACE"
	want := map[string]struct {
		dir  string
		vars []string
	}{
		"RunFunction":      {"functions/run", starts},
		"RestartFunction":  {"functions/restart", starts},
		"StatusFunction":   {"functions/status", []string{projects, tenants, sessions, timeout}},
		"ProjectsFunction": {"functions/projects", []string{projects, tenants, sessions, timeout, hashing, output, queue}},
		"AuthFunction":     {"functions/auth", []string{projects, tenants, sessions, timeout, hashing, sender}},
		"WorkerFunction":   {"functions/worker", []string{projects, timeout, secret, beat, output, size}},
		"CleanupFunction":  {"functions/cleanup", []string{projects, sweeps, timeout, queue, silence}},
		"SettleFunction":   {"functions/settle", []string{projects, timeout, secret, queue}},
	}
	values := map[string]string{
		projects: "ProjectsTable", tenants: "TenantsTable", sessions: "SessionsTable", sweeps: "SweepsTable",
		metrics: "Rekindle/rekindle-local", timeout: "24", beat: "30", size: "5120", silence: "", sender: "", output: "s3://outputbucket",
		secret:  "{{resolve:secretsmanager:ExecutionTokenSecret:SecretString}}",
		hashing: "{{resolve:secretsmanager:HashingSecret:SecretString}}",
		queue:   "JobQueue", definition: "rekindle-local-runner", command: `["rekindle-sample"]`,
	}
	for _, f := range open(t, nil).Functions {
		w, ours := want[f.LogicalID]
		if !ours {
			continue
		}
		delete(want, f.LogicalID)
		if f.CodeURI != w.dir {
			t.Errorf("%s: CodeURI is %q, want %q", f.LogicalID, f.CodeURI, w.dir)
		}
		got := slices.Sorted(maps.Keys(f.Environment))
		w.vars = append(w.vars, metrics)
		slices.Sort(w.vars)
		if !slices.Equal(got, slices.Compact(slices.Clone(w.vars))) {
			t.Errorf("%s: variables are %v, want %v", f.LogicalID, got, w.vars)
		}
		for name, value := range f.Environment {
			if value != values[name] {
				t.Errorf("%s: %s is %q, want %q", f.LogicalID, name, value, values[name])
			}
		}
	}
	for id := range want {
		t.Errorf("there is no %s", id)
	}
}

func TestParametersOverrideTheirDefaults(t *testing.T) {
	tmpl := open(t, map[string]string{
		"ProjectExecutionTimeoutHours": "48", "DynamoDBEndpoint": "http://127.0.0.1:4567",
	})
	for _, f := range tmpl.Functions {
		if got := f.Environment["PROJECT_EXECUTION_TIMEOUT_HOURS"]; got != "48" {
			t.Errorf("%s: PROJECT_EXECUTION_TIMEOUT_HOURS is %q, want 48", f.LogicalID, got)
		}
		if got := f.Environment["AWS_ENDPOINT_URL_DYNAMODB"]; got != "http://127.0.0.1:4567" {
			t.Errorf("%s: AWS_ENDPOINT_URL_DYNAMODB is %q, want the endpoint", f.LogicalID, got)
		}
	}
}

func TestTablesOfTheDeployedTemplate(t *testing.T) {
	want := []Table{
		{
			LogicalID: "ProjectsTable", Name: "ProjectsTable", HashKey: "tenant_id", RangeKey: "project_id",
			Attributes: map[string]string{
				"tenant_id": "S", "project_id": "S", "created_at": "S", "status_shard": "S", "execution_started_at": "S",
			},
			Indexes: []Index{
				{
					Name: "created-at", HashKey: "tenant_id", RangeKey: "created_at", Projection: "INCLUDE",
					Include: []string{
						"project_uid", "version", "name", "description", "activation_code_hash", "activation_code_revoked_at", "execution_status",
						"execution_id", "attempt", "execution_started_at", "execution_completed_at", "execution_error", "progress",
					},
				},
				{
					Name: "status-started-at", Global: true, HashKey: "status_shard", RangeKey: "execution_started_at",
					Projection: "INCLUDE", Include: []string{"execution_id"},
				},
			},
		},
		{
			LogicalID: "SessionsTable", Name: "SessionsTable", HashKey: "token_hash",
			Attributes: map[string]string{"token_hash": "S"}, TTLAttribute: "ttl",
		},
		{
			LogicalID: "SweepsTable", Name: "SweepsTable", HashKey: "record", RangeKey: "sweep_id",
			Attributes: map[string]string{"record": "S", "sweep_id": "S"}, TTLAttribute: "ttl",
		},
		{
			LogicalID: "TenantsTable", Name: "TenantsTable", HashKey: "tenant_id", RangeKey: "record",
			Attributes: map[string]string{"tenant_id": "S", "record": "S"},
		},
	}
	if got := open(t, nil).Tables; !reflect.DeepEqual(got, want) {
		t.Errorf("tables are\n%+v, want\n%+v", got, want)
	}
}

func TestCleanupRunsHourly(t *testing.T) {
	want := []Schedule{{Function: "CleanupFunction", Every: time.Hour}}
	if got := open(t, nil).Schedules; !reflect.DeepEqual(got, want) {
		t.Errorf("schedules are %+v, want %+v", got, want)
	}
}

func TestCORSOfTheDeployedTemplate(t *testing.T) {
	want := CORS{
		AllowOrigins:  []string{"https://portal.example.com"},
		AllowHeaders:  []string{"X-Session-Token", "Idempotency-Key", "If-Match", "Content-Type"},
		AllowMethods:  []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"},
		ExposeHeaders: []string{"ETag", "Retry-After"},
		MaxAge:        7200,
	}
	if got := open(t, map[string]string{"AllowOrigin": want.AllowOrigins[0]}).CORS; !reflect.DeepEqual(got, want) {
		t.Errorf("CORS is %+v, want %+v", got, want)
	}
	if got := open(t, nil).CORS.AllowOrigins; !slices.Equal(got, []string{"*"}) {
		t.Errorf("origins are %v by default, want *", got)
	}
}

func TestTimeoutAndMemoryComeFromGlobalsUnlessOverridden(t *testing.T) {
	for _, f := range open(t, nil).Functions {
		timeout, memory := 20*time.Second, 256
		if f.LogicalID == "CleanupFunction" {
			timeout, memory = 15*time.Minute, 512
		}
		if f.Timeout != timeout || f.MemoryMB != memory {
			t.Errorf("%s has %s and %d MB, want %s and %d MB", f.LogicalID, f.Timeout, f.MemoryMB, timeout, memory)
		}
	}
}

func TestOpenIsSafeForConcurrentUse(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := Open(deployed, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// environment opens a template with one function that has one variable V, and
// returns the variable's value.
func environment(t *testing.T, value string, params map[string]string) (string, bool) {
	t.Helper()
	tmpl, err := openText(t, `
Parameters:
  Hours: { Type: Number, Default: 24 }
  Stage: { Type: String, Default: dev }
  Origins: { Type: CommaDelimitedList, Default: "a, b" }
Mappings:
  Sizes: { dev: { Memory: small }, prod: { Memory: large } }
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  NotProd: !Not [!Condition IsProd]
  Either: !Or [{ Condition: IsProd }, !Condition NotProd]
  Both: !And [!Condition IsProd, !Condition NotProd]
Resources:
  Work: { Type: AWS::DynamoDB::Table, Properties: { TableName: !Sub "work-${Stage}", AttributeDefinitions: [{ AttributeName: k, AttributeType: S }], KeySchema: [{ AttributeName: k, KeyType: HASH }] } }
  Output: { Type: AWS::S3::Bucket }
  Queue: { Type: AWS::SQS::Queue }
  ProdOnly: { Type: AWS::SQS::Queue, Condition: IsProd }
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: f
      Environment: { Variables: { V: `+value+` } }
`, params)
	if err != nil {
		t.Fatalf("V: %s: %v", value, err)
	}
	got, set := tmpl.Functions[0].Environment["V"]
	return got, set
}

func TestIntrinsicFunctions(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"number", `7`, "7"},
		{"boolean", `true`, "true"},
		{"unquoted default", `!Ref Hours`, "24"},
		{"table's name", `!Ref Work`, "work-dev"},
		{"bucket's name", `!Sub "s3://${Output}/x"`, "s3://output/x"},
		{"other resource", `!Ref Queue`, "Queue"},
		{"attribute", `!GetAtt Queue.Arn`, "Queue.Arn"},
		{"attribute in Sub", `!Sub "${Queue.Arn}!"`, "Queue.Arn!"},
		{"pseudo parameters", `!Sub "${AWS::Partition}.${AWS::URLSuffix}"`, "aws.amazonaws.com"},
		{"literal in Sub", `!Sub "${!Stage} ${Stage}"`, "${Stage} dev"},
		{"Sub with its own variables", `!Sub ["${A}-${Stage}", { A: !Ref Work }]`, "work-dev-dev"},
		{"dynamic reference", `"{{resolve:secretsmanager:x}}"`, "{{resolve:secretsmanager:x}}"},
		{"Join", `!Join ["/", [!Ref Stage, 1]]`, "dev/1"},
		{"Select of Split", `!Select [1, !Split ["-", !Ref Work]]`, "dev"},
		{"Select of a list parameter", `!Select [1, !Ref Origins]`, "b"},
		{"FindInMap", `!FindInMap [Sizes, !Ref Stage, Memory]`, "small"},
		{"If", `!If [IsProd, yes, no]`, "no"},
		{"nested condition", `!If [NotProd, "1", "2"]`, "1"},
		{"Or", `!If [Either, "1", "2"]`, "1"},
		{"And", `!If [Both, "1", "2"]`, "2"},
		{"the branch not taken may be broken", `!If [IsProd, !Ref ProdOnly, x]`, "x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			if got, _ := environment(t, c.value, nil); got != want {
				t.Errorf("V: %s is %q, want %q", c.value, got, want)
			}
		})
	}
}

func TestVariableThatIsNoValueIsNotSet(t *testing.T) {
	if got, set := environment(t, `!If [IsProd, x, !Ref AWS::NoValue]`, nil); set {
		t.Errorf("V is set, to %q", got)
	}
	if got, _ := environment(t, `!If [IsProd, x, !Ref AWS::NoValue]`, map[string]string{"Stage": "prod"}); got != "x" {
		t.Errorf("V is %q in prod, want x", got)
	}
}

func TestResourceExistsWhereItsConditionHolds(t *testing.T) {
	if got, _ := environment(t, `!Ref ProdOnly`, map[string]string{"Stage": "prod"}); got != "ProdOnly" {
		t.Errorf("V is %q, want ProdOnly", got)
	}
}

func TestDisabledScheduleIsLeftOut(t *testing.T) {
	tmpl, err := openText(t, `
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: f
      Events:
        Off: { Type: Schedule, Properties: { Schedule: rate(2 days), Enabled: false } }
        On: { Type: Schedule, Properties: { Schedule: rate(2 days), Input: '{"dry_run": true}' } }
        Elsewhere: { Type: EventBridgeRule, Properties: { Pattern: { source: [aws.batch] } } }
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Schedule{{Function: "F", Every: 48 * time.Hour, Input: `{"dry_run": true}`}}
	if !reflect.DeepEqual(tmpl.Schedules, want) {
		t.Errorf("schedules are %+v, want %+v", tmpl.Schedules, want)
	}
}

func TestBrokenTemplateIsRefusedInOneLine(t *testing.T) {
	const fn = "Resources: { F: { Type: AWS::Serverless::Function, Properties: "
	const api = "Resources: { Api: { Type: AWS::Serverless::HttpApi }, F: { Type: AWS::Serverless::Function, Properties: { CodeUri: f, Events: { E: "
	const schedule = fn + "{ CodeUri: f, Events: { E: { Type: Schedule, Properties: { "
	const table = "Resources: { T: { Type: AWS::DynamoDB::Table, Properties: "
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "t.yaml: Resources: it is missing"},
		{"not YAML", "Resources: [", "t.yaml: invalid YAML template: yaml: line 1: did not find expected node content"},
		{"a tab", "Resources:\n\tF: 1", "t.yaml: invalid YAML template: yaml: line 2: found character that cannot start any token"},
		{"a key twice", "A: 1\nA: 2", `t.yaml: invalid YAML template: yaml: unmarshal errors: line 2: mapping key "A" already defined at line 1`},
		{"a text", "hello", "t.yaml: the template: it must be a mapping; it is a text"},
		{"a list", "[1]", "t.yaml: the template: it must be a mapping; it is a list"},
		{"no resources", "Parameters: {}", "t.yaml: Resources: it is missing"},
		{"resources are a list", "Resources: [x]", "t.yaml: Resources: it must be a mapping; it is a list"},
		{"a resource without type", "Resources: { F: {} }", "t.yaml: Resources.F.Type: it is missing"},

		{"no CodeUri", fn + "{} } }", "t.yaml: Resources.F.Properties.CodeUri: it is missing"},
		{"CodeUri in S3", fn + "{ CodeUri: { Bucket: b, Key: k } } } }", "t.yaml: Resources.F.Properties.CodeUri: it must be a text; it is a mapping"},
		{"timeout in words", fn + "{ CodeUri: f, Timeout: long } } }", `t.yaml: Resources.F.Properties.Timeout: it must be a whole number above 0; it is "long"`},
		{"half a second", fn + "{ CodeUri: f, Timeout: 0.5 } } }", `t.yaml: Resources.F.Properties.Timeout: it must be a whole number above 0; it is "0.5"`},
		{"memory of nothing", fn + "{ CodeUri: f, MemorySize: 0 } } }", `t.yaml: Resources.F.Properties.MemorySize: it must be a whole number above 0; it is "0"`},
		{"variables in a list", fn + "{ CodeUri: f, Environment: { Variables: [X] } } } }", "t.yaml: Resources.F.Properties.Environment.Variables: it must be a mapping; it is a list"},
		{"a variable is a list", fn + "{ CodeUri: f, Environment: { Variables: { X: [1] } } } } }", "t.yaml: Resources.F.Properties.Environment.Variables.X: it must be a text; it is a list"},
		{"Ref to nothing", fn + "{ CodeUri: f, Environment: { Variables: { X: !Ref Tabel } } } } }", "t.yaml: Resources.F.Properties.Environment.Variables.X: Ref Tabel: the template has no such parameter or resource"},
		{"Sub of nothing", fn + "{ CodeUri: f, Environment: { Variables: { X: !Sub 's3://${Bukket}' } } } } }", "t.yaml: Resources.F.Properties.Environment.Variables.X: Ref Bukket: the template has no such parameter or resource"},
		{"GetAtt of nothing", fn + "{ CodeUri: f, Environment: { Variables: { X: !GetAtt Q.Arn } } } } }", "t.yaml: Resources.F.Properties.Environment.Variables.X: Fn::GetAtt Q.Arn: the template has no such resource"},
		{"an import", fn + "{ CodeUri: f, Environment: { Variables: { X: !ImportValue Y } } } } }", "t.yaml: Resources.F.Properties.Environment.Variables.X: Fn::ImportValue has no value on this machine"},
		{"Split of a list", fn + "{ CodeUri: f, Environment: { Variables: { X: !Split [a] } } } } }", "t.yaml: Resources.F.Properties.Environment.Variables.X: Fn::Split takes a delimiter and a text"},
		{"Select of nothing", fn + "{ CodeUri: f, Environment: { Variables: { X: !Select [0] } } } } }", "t.yaml: an intrinsic function has arguments that it does not take: runtime error: index out of range [1] with length 1"},
		{"Select past the end", fn + "{ CodeUri: f, Environment: { Variables: { X: !Select [1, [a]] } } } } }", "t.yaml: Resources.F.Properties.Environment.Variables.X: Fn::Select finds nothing"},
		{"FindInMap of nothing", fn + "{ CodeUri: f, Environment: { Variables: { X: !FindInMap [A, B, C] } } } } }", "t.yaml: Resources.F.Properties.Environment.Variables.X: Fn::FindInMap finds nothing"},
		{"Join of a mapping", fn + "{ CodeUri: f, Environment: { Variables: { X: !Join ['', [{}]] } } } } }", "t.yaml: Resources.F.Properties.Environment.Variables.X: Fn::Join takes a delimiter and a list of texts"},
		{"If of nothing", fn + "{ CodeUri: f, Environment: { Variables: { X: !If [Prod, a, b] } } } } }", "t.yaml: Conditions.Prod: there is no condition Prod"},
		{"If of two", fn + "{ CodeUri: f, Environment: { Variables: { X: !If [Prod, a] } } } } }", "t.yaml: Resources.F.Properties.Environment.Variables.X: Fn::If takes a condition and two values"},
		{"conditions in a circle", "Conditions: { A: !Not [!Condition B], B: !Not [!Condition A] }\nResources: { Q: { Type: X, Condition: A } }", "t.yaml: Conditions.A: it refers to itself"},
		{"a condition of nothing", "Conditions: { A: !Ref AWS::Region }\nResources: { Q: { Type: X, Condition: A } }", "t.yaml: Conditions.A: Ref does not make a condition of this"},
		{"a parameter without value", "Parameters: { P: { Type: String } }\n" + fn + "{ CodeUri: !Ref P } } }", "t.yaml: Resources.F.Properties.CodeUri: parameter P has no default and was not given a value"},
		{"a resource that is not there by its condition", "Conditions: { No: !Equals [a, b] }\nResources: { Q: { Type: X, Condition: No }, F: { Type: AWS::Serverless::Function, Properties: { CodeUri: !Ref Q } } }", "t.yaml: Resources.F.Properties.CodeUri: Ref Q: the template has no such parameter or resource"},

		{"a route of no API", fn + "{ CodeUri: f, Events: { E: { Type: HttpApi, Properties: { Method: GET, Path: /x } } } } } }", "t.yaml: Resources.F.Properties.Events.E.Properties.ApiId: it is missing"},
		{"a route to nothing", api + "{ Type: HttpApi, Properties: { ApiId: !Ref Apu, Method: GET, Path: /x } } } } } }", "t.yaml: Resources.F.Properties.Events.E.Properties.ApiId: Ref Apu: the template has no such parameter or resource"},
		{"a route to a function", api + "{ Type: HttpApi, Properties: { ApiId: !Ref F, Method: GET, Path: /x } } } } } }", `t.yaml: Resources.F.Properties.Events.E.Properties.ApiId: "F" is no AWS::Serverless::HttpApi of this template`},
		{"a method without path", api + "{ Type: HttpApi, Properties: { ApiId: !Ref Api, Method: GET } } } } } }", `t.yaml: Resources.F.Properties.Events.E.Properties.Path: it must begin with / and may have whole segments as {parameters}; it is ""`},
		{"a path without /", api + "{ Type: HttpApi, Properties: { ApiId: !Ref Api, Method: GET, Path: x } } } } } }", `t.yaml: Resources.F.Properties.Events.E.Properties.Path: it must begin with / and may have whole segments as {parameters}; it is "x"`},
		{"half a parameter", api + "{ Type: HttpApi, Properties: { ApiId: !Ref Api, Method: GET, Path: '/{x' } } } } } }", `t.yaml: Resources.F.Properties.Events.E.Properties.Path: it must begin with / and may have whole segments as {parameters}; it is "/{x"`},
		{"a path without method", api + "{ Type: HttpApi, Properties: { ApiId: !Ref Api, Path: /x } } } } } }", `t.yaml: Resources.F.Properties.Events.E.Properties.Method: it must be one of ANY, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT; it is ""`},
		{"one route twice", api + "{ Type: HttpApi, Properties: { ApiId: !Ref Api, Method: GET, Path: /x } }, E2: { Type: HttpApi, Properties: { ApiId: !Ref Api, Method: get, Path: /x } } } } } }", "t.yaml: Resources.F.Properties.Events.E2.Properties.Path: F has this route already"},
		{"a REST route", api + "{ Type: Api, Properties: { Method: GET, Path: /x } } } } } }", "t.yaml: Resources.F.Properties.Events.E.Type: only HttpApi and Schedule events are served here"},
		{"two APIs", "Resources: { A: { Type: AWS::Serverless::HttpApi }, B: { Type: AWS::Serverless::HttpApi } }", "t.yaml: Resources.B: a template has one AWS::Serverless::HttpApi"},
		{"a misspelt CORS member", "Resources: { A: { Type: AWS::Serverless::HttpApi, Properties: { CorsConfiguration: { AllowOrigin: [x] } } } }", "t.yaml: Resources.A.Properties.CorsConfiguration.AllowOrigin: only AllowOrigins, AllowHeaders, AllowMethods, ExposeHeaders, MaxAge are known here"},
		{"origins as a text", "Resources: { A: { Type: AWS::Serverless::HttpApi, Properties: { CorsConfiguration: { AllowOrigins: x } } } }", "t.yaml: Resources.A.Properties.CorsConfiguration.AllowOrigins: it must be a list; it is a text"},

		{"no schedule", schedule + "} } } } } }", "t.yaml: Resources.F.Properties.Events.E.Properties.Schedule: it is missing"},
		{"cron", schedule + "Schedule: 'cron(0 * * * ? *)' } } } } } }", `t.yaml: Resources.F.Properties.Events.E.Properties.Schedule: only rate(1 minute), rate(2 minutes) and the like, in minutes, hours or days, are supported; it is "cron(0 * * * ? *)"`},
		{"1 hours", schedule + "Schedule: rate(1 hours) } } } } } }", `t.yaml: Resources.F.Properties.Events.E.Properties.Schedule: only rate(1 minute), rate(2 minutes) and the like, in minutes, hours or days, are supported; it is "rate(1 hours)"`},
		{"never", schedule + "Schedule: rate(0 hours) } } } } } }", `t.yaml: Resources.F.Properties.Events.E.Properties.Schedule: only rate(1 minute), rate(2 minutes) and the like, in minutes, hours or days, are supported; it is "rate(0 hours)"`},
		{"a century", schedule + "Schedule: rate(36501 days) } } } } } }", "t.yaml: Resources.F.Properties.Events.E.Properties.Schedule: it is too long"},
		{"input that is not JSON", schedule + "Schedule: rate(1 hour), Input: '{' } } } } } }", "t.yaml: Resources.F.Properties.Events.E.Properties.Input: it is not JSON"},

		{"a table without key", table + "{} } }", "t.yaml: Resources.T.Properties.KeySchema: it has no HASH key"},
		{"a key that is no attribute", table + "{ KeySchema: [{ AttributeName: k, KeyType: HASH }] } } }", `t.yaml: Resources.T.Properties.KeySchema[0].AttributeName: "k" is not among the AttributeDefinitions`},
		{"a key of no kind", table + "{ AttributeDefinitions: [{ AttributeName: k, AttributeType: S }], KeySchema: [{ AttributeName: k, KeyType: SORT }] } } }", `t.yaml: Resources.T.Properties.KeySchema[0].KeyType: it must be HASH or RANGE; it is "SORT"`},
		{"an attribute of no type", table + "{ AttributeDefinitions: [{ AttributeName: k, AttributeType: string }] } } }", `t.yaml: Resources.T.Properties.AttributeDefinitions[0].AttributeType: it must be S, N or B; it is "string"`},
		{"an index without name", table + "{ AttributeDefinitions: [{ AttributeName: k, AttributeType: S }], KeySchema: [{ AttributeName: k, KeyType: HASH }], GlobalSecondaryIndexes: [{}] } } }", "t.yaml: Resources.T.Properties.GlobalSecondaryIndexes[0].IndexName: it is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := openText(t, c.text, nil)
			if err == nil {
				t.Fatalf("it was accepted: %+v", got)
			}
			if err.Error() != c.want {
				t.Errorf("the error is\n%s, want\n%s", err, c.want)
			}
		})
	}
}

func TestUnknownParameterIsRefused(t *testing.T) {
	_, err := Open(deployed, map[string]string{"Timeout": "1"})
	if want := deployed + ": Parameters.Timeout: there is no such parameter to override"; err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

func TestMissingFileIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v, want it to name %s", err, path)
	}
}
