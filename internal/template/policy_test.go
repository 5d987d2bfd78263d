package template

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// What AWS is told, which the local stack does not read: these tests look at
// the YAML itself. It is decoded without its tags, so that !GetAtt T.Arn reads
// "T.Arn".

type mapping = map[string]any

func rawTemplate(t *testing.T) mapping {
	t.Helper()
	text, err := os.ReadFile(deployed)
	if err != nil {
		t.Fatal(err)
	}
	var root mapping
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	return root
}

// at walks into mappings; nil where there is nothing.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(mapping)
		v = m[name]
	}
	return v
}

// texts returns a text or a list of them as a list.
func texts(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		var all []string
		for _, item := range v {
			all = append(all, fmt.Sprint(item))
		}
		return all
	}
	return []string{fmt.Sprint(v)}
}

// resources returns the properties' owners of one type, by logical id.
func resources(root mapping, kind string) map[string]mapping {
	all := map[string]mapping{}
	for id, r := range at(root, "Resources").(mapping) {
		if r := r.(mapping); r["Type"] == kind {
			all[id] = r
		}
	}
	return all
}

func functions(root mapping) map[string]mapping { return resources(root, "AWS::Serverless::Function") }

func TestPoliciesAllowWhatTheCodeCallsAndNoMore(t *testing.T) {
	const projects, tenants, sessions = "ProjectsTable.Arn", "TenantsTable.Arn", "SessionsTable.Arn"
	const batch = "arn:${AWS::Partition}:batch:${AWS::Region}:${AWS::AccountId}:"
	starts := map[string][]string{
		"dynamodb:BatchGetItem": {projects, tenants, sessions},
		"dynamodb:GetItem":      {projects, tenants},
		"dynamodb:UpdateItem":   {projects, tenants, sessions},
		"batch:SubmitJob": {
			"JobQueue.JobQueueArn", batch + "job-definition/${AWS::StackName}-runner", batch + "job-definition/${AWS::StackName}-runner:*",
		},
		"batch:ListJobs": {"*"},
	}
	want := map[string]map[string][]string{
		"RunFunction":     starts,
		"RestartFunction": starts,
		"StatusFunction": {
			"dynamodb:BatchGetItem": {projects, tenants, sessions},
			"dynamodb:UpdateItem":   {sessions},
		},
		"ProjectsFunction": {
			"dynamodb:BatchGetItem": {projects, tenants, sessions},
			"dynamodb:GetItem":      {projects, tenants},
			"dynamodb:UpdateItem":   {projects, tenants, sessions},
			"dynamodb:PutItem":      {projects},
			"dynamodb:DeleteItem":   {projects},
			"dynamodb:Query":        {projects, "${ProjectsTable.Arn}/index/created-at"},
			"batch:TerminateJob":    {batch + "job/*"},
			"batch:ListJobs":        {"*"},
			"s3:GetObject":          {"${OutputBucket.Arn}/*"},
			"s3:DeleteObject":       {"${OutputBucket.Arn}/*"},
			"s3:ListBucket":         {"OutputBucket.Arn"},
		},
		"AuthFunction": {
			"dynamodb:BatchGetItem": {tenants, sessions},
			"dynamodb:GetItem":      {tenants, sessions},
			"dynamodb:UpdateItem":   {sessions},
			"dynamodb:PutItem":      {sessions},
			"dynamodb:DeleteItem":   {sessions},
			"ses:SendEmail":         {"arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:identity/*"},
		},
		"WorkerFunction": {
			"dynamodb:GetItem":            {projects},
			"dynamodb:UpdateItem":         {projects},
			"s3:PutObject":                {"${OutputBucket.Arn}/*"},
			"s3:ListMultipartUploadParts": {"${OutputBucket.Arn}/*"},
			"s3:GetObject":                {"${OutputBucket.Arn}/*"},
		},
		"CleanupFunction": {
			"dynamodb:Query":      {"${ProjectsTable.Arn}/index/status-started-at"},
			"dynamodb:GetItem":    {projects},
			"dynamodb:UpdateItem": {projects},
			"dynamodb:PutItem":    {"SweepsTable.Arn"},
			"batch:TerminateJob":  {batch + "job/*"},
			"batch:ListJobs":      {"*"},
		},
		"SettleFunction": {
			"dynamodb:GetItem":    {projects},
			"dynamodb:UpdateItem": {projects},
			"batch:ListJobs":      {"*"},
		},
	}
	for id, f := range functions(rawTemplate(t)) {
		w, ours := want[id]
		if !ours {
			continue
		}
		delete(want, id)
		got := map[string][]string{}
		for _, s := range statements(t, id, f) {
			for _, action := range texts(s["Action"]) {
				got[action] = append(got[action], texts(s["Resource"])...)
			}
		}
		for _, action := range slices.Sorted(maps.Keys(got)) {
			if !slices.Equal(got[action], w[action]) {
				t.Errorf("%s: %s is allowed on %v, want %v", id, action, got[action], w[action])
			}
		}
		for action := range w {
			if got[action] == nil {
				t.Errorf("%s: %s is not allowed", id, action)
			}
		}
	}
	for id := range want {
		t.Errorf("there is no %s", id)
	}
}

func TestNoPolicyIsWide(t *testing.T) {
	root := rawTemplate(t)
	owners := map[string][]mapping{}
	for id, f := range functions(root) {
		owners[id] = statements(t, id, f)
	}
	for id, r := range resources(root, "AWS::IAM::Role") {
		if managed := at(r, "Properties", "ManagedPolicyArns"); managed != nil {
			t.Errorf("%s has policies that others write: %v", id, managed)
		}
		policies, _ := at(r, "Properties", "Policies").([]any)
		for _, p := range policies {
			list, _ := at(p, "PolicyDocument", "Statement").([]any)
			for _, s := range list {
				owners[id] = append(owners[id], s.(mapping))
			}
		}
		if len(owners[id]) == 0 {
			t.Errorf("%s has no policy", id)
		}
	}
	// What AWS can't, or does not let a service, limit to a resource (service
	// authorization reference; AWSCodeDeployRoleForLambdaLimited).
	unlimited := []string{"batch:ListJobs", "ecr:GetAuthorizationToken", "cloudwatch:DescribeAlarms"}
	for id, all := range owners {
		for _, s := range all {
			for name := range s {
				if !slices.Contains([]string{"Sid", "Effect", "Action", "Resource", "Condition"}, name) {
					t.Errorf("%s: a statement has %s", id, name)
				}
			}
			actions := texts(s["Action"])
			for _, a := range actions {
				if strings.Contains(a, "*") {
					t.Errorf("%s allows %s: a wildcard action", id, a)
				}
			}
			for _, r := range texts(s["Resource"]) {
				if r == "*" && (len(actions) != 1 || !slices.Contains(unlimited, actions[0])) {
					t.Errorf("%s allows %v on every resource", id, actions)
				}
			}
		}
	}
}

func TestRolesAllowTheirServiceAlone(t *testing.T) {
	root := rawTemplate(t)
	for id, want := range map[string]struct {
		service string
		actions []string
	}{
		"RunnerExecutionRole": {"ecs-tasks.amazonaws.com", []string{
			"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetAuthorizationToken", "ecr:GetDownloadUrlForLayer",
			"logs:CreateLogStream", "logs:PutLogEvents",
		}},
		"DeploymentRole": {"codedeploy.amazonaws.com", []string{
			"cloudwatch:DescribeAlarms", "lambda:GetAlias", "lambda:GetProvisionedConcurrencyConfig", "lambda:UpdateAlias",
		}},
		"EventsPipeRole": {"pipes.amazonaws.com", []string{
			"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
			"events:PutEvents", "logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage",
		}},
	} {
		p := at(root, "Resources", id, "Properties")
		trust, _ := at(p, "AssumeRolePolicyDocument", "Statement").([]any)
		if len(trust) != 1 || at(trust[0], "Principal", "Service") != want.service || at(trust[0], "Action") != "sts:AssumeRole" {
			t.Errorf("%s may be assumed by %v, want %s alone", id, trust, want.service)
		}
		var got []string
		policies, _ := at(p, "Policies").([]any)
		for _, policy := range policies {
			list, _ := at(policy, "PolicyDocument", "Statement").([]any)
			for _, s := range list {
				got = append(got, texts(at(s, "Action"))...)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want.actions) {
			t.Errorf("%s allows %v, want %v", id, got, want.actions)
		}
	}
	if roles := resources(root, "AWS::IAM::Role"); len(roles) != 3 {
		t.Errorf("there are %d roles, want the 3 that this test knows", len(roles))
	}
}

// statements returns those of a function's one policy.
func statements(t *testing.T, id string, f mapping) []mapping {
	t.Helper()
	policies, _ := at(f, "Properties", "Policies").([]any)
	if len(policies) != 1 {
		t.Errorf("%s has %d policies, want 1 of its own", id, len(policies))
		return nil
	}
	list, _ := at(policies[0], "Statement").([]any)
	if len(list) == 0 {
		t.Errorf("%s: the policy has no statements: %v", id, policies[0])
	}
	var all []mapping
	for _, s := range list {
		all = append(all, s.(mapping))
	}
	return all
}

func TestFunctionsAreStaticBinariesThatTheMakefileBuilds(t *testing.T) {
	root := rawTemplate(t)
	globals := at(root, "Globals", "Function").(mapping)
	for id, f := range functions(root) {
		p := merge(globals, f["Properties"])
		for name, want := range map[string]string{"Handler": "bootstrap", "Runtime": "provided.al2023", "Architectures": "Architecture"} {
			if got := texts(at(p, name)); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %s is %v, want %s", id, name, got, want)
			}
		}
		for name, want := range map[string]string{
			"BuildMethod": "makefile", "ContextPath": "infra/sam/${Architecture}", "WorkingDirectory": ".",
		} {
			if got := at(f, "Metadata", name); got != want {
				t.Errorf("%s: Metadata.%s is %v, want %s", id, name, got, want)
			}
		}
		// The Makefile's rule makes the folder of the logical id.
		want := "functions/" + strings.ToLower(strings.TrimSuffix(id, "Function"))
		if got := at(p, "CodeUri"); got != want {
			t.Errorf("%s: CodeUri is %v, want %s", id, got, want)
		}
	}
	for _, architecture := range texts(at(root, "Parameters", "Architecture", "AllowedValues")) {
		if _, err := os.Stat(filepath.Join("../../infra/sam", architecture, "Makefile")); err != nil {
			t.Errorf("sam build has no Makefile for %s: %v", architecture, err)
		}
	}
}

func TestHTTPFunctionsEndBeforeAPIGatewayGivesUp(t *testing.T) {
	tmpl := open(t, nil)
	for _, r := range tmpl.Routes {
		i := slices.IndexFunc(tmpl.Functions, func(f Function) bool { return f.LogicalID == r.Function })
		if f := tmpl.Functions[i]; f.Timeout >= 30*time.Second {
			t.Errorf("%s answers %s %s and has %s, want less than 30s", f.LogicalID, r.Method, r.Path, f.Timeout)
		}
	}
}

func TestTablesKeepTheirData(t *testing.T) {
	tables := resources(rawTemplate(t), "AWS::DynamoDB::Table")
	if len(tables) < 3 {
		t.Errorf("there are %d tables, want 3 at least", len(tables))
	}
	for id, table := range tables {
		retained(t, id, table)
		for path, want := range map[string]any{
			"BillingMode": "PAY_PER_REQUEST",
			"PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled": true,
			"SSESpecification.SSEEnabled":                                 true,
		} {
			if got := at(table["Properties"], strings.Split(path, ".")...); got != want {
				t.Errorf("%s: %s is %v, want %v", id, path, got, want)
			}
		}
	}
}

func retained(t *testing.T, id string, resource mapping) {
	t.Helper()
	for _, policy := range []string{"DeletionPolicy", "UpdateReplacePolicy"} {
		if got := resource[policy]; got != "Retain" {
			t.Errorf("%s: %s is %v, want Retain", id, policy, got)
		}
	}
}

func TestBucketIsPrivate(t *testing.T) {
	root := rawTemplate(t)
	for id, bucket := range resources(root, "AWS::S3::Bucket") {
		retained(t, id, bucket)
		p := bucket["Properties"]
		for _, block := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
			if at(p, "PublicAccessBlockConfiguration", block) != true {
				t.Errorf("%s: %s is not set", id, block)
			}
		}
		if at(p, "BucketEncryption", "ServerSideEncryptionConfiguration") == nil {
			t.Errorf("%s is not encrypted", id)
		}
		var tlsOnly bool
		for _, policy := range resources(root, "AWS::S3::BucketPolicy") {
			list, _ := at(policy, "Properties", "PolicyDocument", "Statement").([]any)
			for _, s := range list {
				tlsOnly = tlsOnly || at(policy, "Properties", "Bucket") == id && at(s, "Effect") == "Deny" &&
					at(s, "Condition", "Bool", "aws:SecureTransport") == "false"
			}
		}
		if !tlsOnly {
			t.Errorf("%s can be read without TLS", id)
		}
	}
}

func TestMailComesFromTheSenderAlone(t *testing.T) {
	for id, f := range functions(rawTemplate(t)) {
		for _, s := range statements(t, id, f) {
			if !slices.Contains(texts(s["Action"]), "ses:SendEmail") {
				continue
			}
			if got := at(s["Condition"], "StringEquals", "ses:FromAddress"); got != "OtpSender" {
				t.Errorf("%s may send from %v, want OtpSender alone", id, got)
			}
		}
	}
}

func TestRoutesAreThrottled(t *testing.T) {
	api := at(rawTemplate(t), "Resources", "Api", "Properties")
	isLimit := func(v any) bool {
		burst, _ := at(v, "ThrottlingBurstLimit").(int)
		rate, _ := at(v, "ThrottlingRateLimit").(int)
		return burst > 0 && rate > 0
	}
	if limits := at(api, "DefaultRouteSettings"); !isLimit(limits) {
		t.Errorf("a route without limits of its own has %v, want a burst and a rate", limits)
	}
	limits, _ := at(api, "RouteSettings").(mapping)
	left := maps.Clone(limits)
	for _, r := range open(t, nil).Routes {
		key := r.Method + " " + r.Path
		delete(left, key)
		// These have limits of their own: each mails, guesses, or starts a job.
		strict := r.Function == "AuthFunction" || r.Function == "RunFunction" || r.Function == "RestartFunction"
		if own, has := limits[key]; (has || strict) && !isLimit(own) {
			t.Errorf("%s has the limits %v, want a burst and a rate", key, own)
		}
	}
	// API Gateway refuses to deploy settings of a route that is not there.
	for key := range left {
		t.Errorf("there are limits of %s, which is no route", key)
	}
}

func TestFailuresOfWhatNobodyWaitsForAreKept(t *testing.T) {
	root := rawTemplate(t)
	for _, c := range []struct{ function, event, queue string }{
		{"CleanupFunction", "Hourly", "CleanupFailures"},
		{"SettleFunction", "JobEnded", "SettleFailures"},
	} {
		f := at(root, "Resources", c.function, "Properties")
		rule := at(f, "Events", c.event, "Properties")
		if got := at(rule, "DeadLetterConfig", "Arn"); got != c.queue+".Arn" {
			t.Errorf("%s: what the rule can't deliver goes to %v, want %s", c.function, got, c.queue)
		}
		if at(rule, "RetryPolicy", "MaximumRetryAttempts") == nil {
			t.Errorf("%s: the rule has no retry policy", c.function)
		}
		failure := at(f, "EventInvokeConfig", "DestinationConfig", "OnFailure")
		if at(failure, "Type") != "SQS" || at(failure, "Destination") != c.queue+".Arn" {
			t.Errorf("%s: its own failures go to %v, want %s", c.function, failure, c.queue)
		}
		q := at(root, "Resources", c.queue, "Properties")
		if at(q, "SqsManagedSseEnabled") != true || at(q, "MessageRetentionPeriod") != 14*24*60*60 {
			t.Errorf("%s is %v, want it encrypted and kept for 14 days", c.queue, q)
		}
		// SAM names the rule's resource after function and event. The policy must
		// speak of that name; no linter knows it.
		policy := at(root, "Resources", c.queue+"Policy", "Properties", "PolicyDocument", "Statement").([]any)
		if got := at(policy[0], "Condition", "ArnEquals", "aws:SourceArn"); got != c.function+c.event+".Arn" {
			t.Errorf("%s takes messages from %v, want the rule alone", c.queue, got)
		}
	}
}

func TestEndsOfThisQueuesJobsAreHeardAlone(t *testing.T) {
	rule := at(rawTemplate(t), "Resources", "SettleFunction", "Properties", "Events", "JobEnded")
	if got := at(rule, "Type"); got != "EventBridgeRule" {
		t.Errorf("the event is a %v, want an EventBridgeRule", got)
	}
	pattern := at(rule, "Properties", "Pattern")
	for path, want := range map[string][]string{
		"source":        {"aws.batch"},
		"detail-type":   {"Batch Job State Change"},
		"detail.status": {"FAILED", "SUCCEEDED"},
		// Other queues' events repeat other people's environments.
		"detail.jobQueue": {"JobQueue.JobQueueArn"},
	} {
		if got := texts(at(pattern, strings.Split(path, ".")...)); !slices.Equal(got, want) {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

// An intrinsic function in place of the list of origins makes SAM write it over
// the whole configuration: headers, methods and all are gone without a word
// (samtranslator, OpenApiEditor.add_cors).
func TestOriginsAreAPlainList(t *testing.T) {
	text, err := os.ReadFile(deployed)
	if err != nil {
		t.Fatal(err)
	}
	// Nodes, for only they still have their tags.
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		t.Fatal(err)
	}
	at := node.Content[0]
	for _, name := range []string{"Resources", "Api", "Properties", "CorsConfiguration", "AllowOrigins"} {
		i := slices.IndexFunc(at.Content, func(n *yaml.Node) bool { return n.Value == name })
		if i < 0 {
			t.Fatalf("there is no %s", name)
		}
		at = at.Content[i+1]
	}
	if at.Tag != "!!seq" {
		t.Errorf("AllowOrigins has the tag %s, want a plain list", at.Tag)
	}
}

func TestEveryFunctionHasALogGroupThatForgets(t *testing.T) {
	root := rawTemplate(t)
	groups := resources(root, "AWS::Logs::LogGroup")
	for id, f := range functions(root) {
		group := fmt.Sprint(at(f, "Properties", "LoggingConfig", "LogGroup"))
		if at(groups[group], "Properties", "RetentionInDays") == nil {
			t.Errorf("%s logs to %s, which keeps all for ever or is not there", id, group)
		}
	}
}
