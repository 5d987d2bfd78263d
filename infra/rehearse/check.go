package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rekindle/internal/template"
)

type mapping = map[string]any

// at walks into mappings; nil where there is nothing.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(mapping)
		v = m[name]
	}
	return v
}

func resourcesOf(t mapping) mapping { m, _ := t["Resources"].(mapping); return m }

// ofType returns the logical ids of a type's resources, sorted.
func ofType(t mapping, kind string) []string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(resourcesOf(t))) {
		if at(resourcesOf(t)[id], "Type") == kind {
			ids = append(ids, id)
		}
	}
	return ids
}

// text writes a value as JSON, in which a reference to a resource can be looked
// for.
func text(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // it came from JSON
	}
	return string(raw)
}

// refers says whether a value speaks of a resource: by Ref, Fn::GetAtt or in an
// Fn::Sub.
func refers(v any, id string) bool {
	t := text(v)
	return strings.Contains(t, `{"Ref":"`+id+`"}`) || strings.Contains(t, `{"Fn::GetAtt":["`+id+`",`) ||
		strings.Contains(t, "${"+id+"}") || strings.Contains(t, "${"+id+".")
}

// checks counts assertions and keeps those that do not hold.
type checks struct {
	count    int
	problems []string
}

func (c *checks) that(ok bool, format string, args ...any) {
	c.count++
	if !ok {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

// checkTransformed asserts, on what SAM made of the template, all that an
// emulator stores and does not act on.
func checkTransformed(t mapping) *checks {
	c := &checks{}
	c.functions(t)
	c.routes(t)
	c.rules(t)
	c.data(t)
	c.engine(t)
	c.sight(t)
	return c
}

func properties(t mapping, id string) any { return at(resourcesOf(t)[id], "Properties") }

// aliasOf returns the logical id of a function's one alias, empty if there is
// none.
func aliasOf(t mapping, function string) string {
	for _, id := range ofType(t, "AWS::Lambda::Alias") {
		if at(properties(t, id), "FunctionName", "Ref") == function {
			return id
		}
	}
	return ""
}

func (c *checks) functions(t mapping) {
	for _, f := range ofType(t, "AWS::Lambda::Function") {
		p := properties(t, f)
		c.that(at(p, "Runtime") == "provided.al2023" && at(p, "Handler") == "bootstrap", "%s runs %v by %v: want provided.al2023 by bootstrap", f, at(p, "Runtime"), at(p, "Handler"))
		c.that(at(p, "LoggingConfig", "LogGroup") != nil, "%s has no log group of its own: give it a LoggingConfig", f)
		alias := aliasOf(t, f)
		c.that(alias != "", "%s has no alias: callers would get a new version at once; set AutoPublishAlias", f)
		if alias == "" {
			continue
		}
		version, _ := at(properties(t, alias), "FunctionVersion", "Fn::GetAtt").([]any)
		published := len(version) == 2 && at(resourcesOf(t)[fmt.Sprint(version[0])], "Type") == "AWS::Lambda::Version"
		c.that(published, "the alias of %s names no published version: got %s", f, text(at(properties(t, alias), "FunctionVersion")))
		group, _ := at(resourcesOf(t)[alias], "UpdatePolicy", "CodeDeployLambdaAliasUpdate", "DeploymentGroupName", "Ref").(string)
		c.that(group != "", "the alias of %s moves at once: give the function a DeploymentPreference", f)
		if group == "" {
			continue
		}
		g := properties(t, group)
		c.that(at(g, "AutoRollbackConfiguration", "Enabled") == true, "a deployment of %s does not go back by itself", f)
		alarms := 0
		for _, a := range ofType(t, "AWS::CloudWatch::Alarm") {
			if refers(at(g, "AlarmConfiguration"), a) {
				alarms++
				c.that(about(t, a, f), "the deployment of %s watches the alarm %s, which is about another function", f, a)
			}
		}
		c.that(alarms > 0, "a deployment of %s watches no alarm: a broken version would stay", f)
	}
	for _, a := range ofType(t, "AWS::CloudWatch::Alarm") {
		c.that(at(properties(t, a), "AlarmActions") != nil, "the alarm %s tells nobody: give it AlarmActions", a)
	}
	for _, e := range ofType(t, "AWS::Lambda::EventInvokeConfig") {
		p := properties(t, e)
		f, _ := at(p, "FunctionName", "Ref").(string)
		c.that(at(p, "Qualifier") == at(properties(t, aliasOf(t, f)), "Name"), "%s is for %s of %s: want its alias, by which the rule calls it", e, text(at(p, "Qualifier")), f)
		c.that(at(p, "DestinationConfig", "OnFailure", "Destination") != nil, "what %s fails at goes nowhere: set OnFailure", f)
		c.that(at(p, "MaximumRetryAttempts") != nil, "%s does not say how often %s is tried again", e, f)
	}
}

// about says whether an alarm watches a function: its own metrics, or one that is
// made of its log.
func about(t mapping, alarm, function string) bool {
	if refers(at(properties(t, alarm), "Dimensions"), function) {
		return true
	}
	group, _ := at(properties(t, function), "LoggingConfig", "LogGroup", "Ref").(string)
	metric := text(at(properties(t, alarm), "MetricName"))
	return slices.ContainsFunc(ofType(t, "AWS::Logs::MetricFilter"), func(filter string) bool {
		p := properties(t, filter)
		return refers(at(p, "LogGroupName"), group) && strings.Contains(text(at(p, "MetricTransformations")), `"MetricName":`+metric)
	})
}

// routes checks the HTTP API: each route of template.yaml reaches its function's
// alias, which lets it.
func (c *checks) routes(t mapping) {
	apis := ofType(t, "AWS::ApiGatewayV2::Api")
	c.that(len(apis) == 1, "there are %d HTTP APIs, want 1", len(apis))
	source, err := template.Open("template.yaml", nil)
	c.that(err == nil, "template.yaml can't be read: %v", err)
	if len(apis) != 1 || err != nil {
		return
	}
	body := at(properties(t, apis[0]), "Body")
	paths, _ := at(body, "paths").(mapping)
	keys := map[string]bool{}
	for _, r := range source.Routes {
		path, method, key := r.Path, strings.ToLower(r.Method), r.Method+" "+r.Path
		if path == template.DefaultPath {
			method, key = "x-amazon-apigateway-any-method", path
		}
		keys[key] = true
		alias := aliasOf(t, r.Function)
		integration := at(paths[path], method, "x-amazon-apigateway-integration")
		c.that(integration != nil, "%s is no route of the transformed API", key)
		c.that(alias != "" && refers(at(integration, "uri"), alias), "%s calls %s: want the alias of %s", key, text(at(integration, "uri")), r.Function)
		c.that(at(integration, "payloadFormatVersion") == "2.0", "%s has the payload format %v: want 2.0", key, at(integration, "payloadFormatVersion"))
		c.that(c.permitted(t, alias, "apigateway.amazonaws.com", func(arn string) bool {
			// SAM writes parameters as *.
			want := "/" + r.Method + path
			if path == template.DefaultPath {
				want = "/*"
			}
			for name := range strings.SplitSeq(want, "/") {
				if strings.HasPrefix(name, "{") {
					want = strings.Replace(want, name, "*", 1)
				}
			}
			return strings.Contains(arn, want+`"`)
		}), "API Gateway may not call the alias of %s for %s: there is no permission", r.Function, key)
	}
	n := 0
	for _, methods := range paths {
		for _, m := range methods.(mapping) {
			if at(m, "x-amazon-apigateway-integration") != nil {
				n++
			}
		}
	}
	c.that(n == len(source.Routes), "the transformed API has %d routes, want the %d of template.yaml", n, len(source.Routes))

	cors := at(body, "x-amazon-apigateway-cors")
	for name, want := range map[string][]string{
		"allowHeaders": source.CORS.AllowHeaders, "allowMethods": source.CORS.AllowMethods, "exposeHeaders": source.CORS.ExposeHeaders,
	} {
		got := texts{}
		if err := json.Unmarshal([]byte(text(at(cors, name))), &got); err != nil || !slices.Equal(got, want) {
			got = texts{fmt.Sprint(at(cors, name))}
		}
		c.that(len(want) > 0 && slices.Equal(got, want), "CORS lost its %s in the transform: got %v, want %v", name, got, want)
	}
	for _, id := range ofType(t, "AWS::ApiGatewayV2::Stage") {
		stage := properties(t, id)
		limits, _ := at(stage, "RouteSettings").(mapping)
		c.that(len(limits) > 0, "no route has limits of its own")
		for key, l := range limits {
			c.that(keys[key], "there are limits of %q, which is no route: API Gateway refuses to deploy them", key)
			c.that(at(l, "ThrottlingBurstLimit") != nil && at(l, "ThrottlingRateLimit") != nil, "the limits of %q are %s: want a burst and a rate", key, text(l))
		}
		c.that(slices.ContainsFunc(ofType(t, "AWS::Logs::LogGroup"), func(group string) bool { return refers(at(stage, "AccessLogSettings", "DestinationArn"), group) }),
			"the API writes down no calls: what a function never saw would leave no trace; set AccessLogSettings")
		c.that(at(stage, "DefaultRouteSettings", "ThrottlingRateLimit") != nil, "routes without limits of their own have none: set DefaultRouteSettings")
	}
}

// permitted says whether a service may invoke an alias, with a source that fits.
func (c *checks) permitted(t mapping, alias, service string, fits func(sourceARN string) bool) bool {
	return slices.ContainsFunc(ofType(t, "AWS::Lambda::Permission"), func(id string) bool {
		p := properties(t, id)
		return at(p, "Principal") == service && at(p, "FunctionName", "Ref") == alias && fits(text(at(p, "SourceArn")))
	})
}

// rules checks what EventBridge does.
func (c *checks) rules(t mapping) {
	rules := ofType(t, "AWS::Events::Rule")
	c.that(len(rules) == 3, "there are %d rules, want the schedule's, the one for jobs' ends and the one for failed projects", len(rules))
	schedules := slices.DeleteFunc(slices.Clone(rules), func(id string) bool { return at(properties(t, id), "ScheduleExpression") != "rate(1 hour)" })
	c.that(len(schedules) == 1, "%d rules fire each hour, want the sweep's alone", len(schedules))
	for _, id := range rules {
		targets, _ := at(properties(t, id), "Targets").([]any)
		c.that(len(targets) == 1, "%s has %d targets, want 1", id, len(targets))
		if len(targets) != 1 {
			continue
		}
		called, _ := at(targets[0], "Arn", "Ref").(string)
		c.that(at(targets[0], "RetryPolicy", "MaximumRetryAttempts") != nil, "%s has no retry policy", id)
		queue := ""
		for _, q := range ofType(t, "AWS::SQS::Queue") {
			if refers(at(targets[0], "DeadLetterConfig", "Arn"), q) {
				queue = q
			}
		}
		c.that(queue != "", "%s has no dead-letter queue", id)
		c.that(slices.ContainsFunc(ofType(t, "AWS::SQS::QueuePolicy"), func(p string) bool {
			return refers(at(properties(t, p), "Queues"), queue) && refers(at(properties(t, p), "PolicyDocument"), id)
		}), "%s may not send to its dead-letter queue %s: its policy does not name the rule", id, queue)
		switch kind := at(resourcesOf(t)[called], "Type"); kind {
		case "AWS::Lambda::Alias":
			c.that(c.permitted(t, called, "events.amazonaws.com", func(arn string) bool { return strings.Contains(arn, `"`+id+`"`) }),
				"EventBridge may not call %s for %s: there is no permission", called, id)
		case "AWS::SNS::Topic":
			c.that(slices.ContainsFunc(ofType(t, "AWS::SNS::TopicPolicy"), func(p string) bool {
				return refers(at(properties(t, p), "Topics"), called) && refers(at(properties(t, p), "PolicyDocument"), id)
			}), "EventBridge may not publish to %s for %s: its policy does not name the rule", called, id)
		default:
			c.that(false, "%s calls %s: want a function's alias or a topic", id, text(at(targets[0], "Arn")))
		}
	}
}

// data checks what keeps data safe.
func (c *checks) data(t mapping) {
	for _, id := range ofType(t, "AWS::DynamoDB::Table") {
		p := properties(t, id)
		c.that(at(p, "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled") == true, "%s has no point-in-time recovery", id)
		c.that(at(p, "SSESpecification", "SSEEnabled") == true, "%s is not encrypted by a KMS key", id)
		c.that(at(resourcesOf(t)[id], "DeletionPolicy") == "Retain" && at(resourcesOf(t)[id], "UpdateReplacePolicy") == "Retain", "%s goes with the stack", id)
	}
	c.that(at(properties(t, "SessionsTable"), "TimeToLiveSpecification", "Enabled") == true, "SessionsTable keeps ended sessions for ever: it has no TTL")
	c.that(at(properties(t, "SweepsTable"), "TimeToLiveSpecification", "Enabled") == true, "SweepsTable keeps receipts for ever: it has no TTL")
	for _, id := range ofType(t, "AWS::S3::Bucket") {
		p := properties(t, id)
		c.that(at(p, "BucketEncryption") != nil, "%s is not encrypted", id)
		for _, block := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
			c.that(at(p, "PublicAccessBlockConfiguration", block) == true, "%s may become public: set %s", id, block)
		}
	}
	for _, id := range ofType(t, "AWS::SQS::Queue") {
		c.that(at(properties(t, id), "SqsManagedSseEnabled") == true, "%s is not encrypted", id)
	}
}

// engine checks AWS Batch, which is not deployed.
func (c *checks) engine(t mapping) {
	queues, definitions := ofType(t, "AWS::Batch::JobQueue"), ofType(t, "AWS::Batch::JobDefinition")
	c.that(len(queues) == 1 && len(definitions) == 1, "there are %d job queues and %d job definitions, want 1 of each", len(queues), len(definitions))
	for _, id := range queues {
		p := properties(t, id)
		c.that(slices.ContainsFunc(ofType(t, "AWS::Batch::SchedulingPolicy"), func(policy string) bool { return refers(at(p, "SchedulingPolicyArn"), policy) }),
			"%s has no scheduling policy of the stack: it would refuse the functions' share identifiers", id)
		c.that(slices.ContainsFunc(ofType(t, "AWS::Batch::ComputeEnvironment"), func(e string) bool { return refers(at(p, "ComputeEnvironmentOrder"), e) }),
			"%s names no compute environment of the stack", id)
		c.that(slices.ContainsFunc(ofType(t, "AWS::Events::Rule"), func(rule string) bool { return refers(at(properties(t, rule), "EventPattern"), id) }),
			"no rule hears of the ends of the jobs in %s", id)
	}
	for _, id := range definitions {
		p := at(properties(t, id), "ContainerProperties")
		c.that(at(p, "JobRoleArn") == nil, "%s has a job role: tenants' code would have its permissions", id)
		c.that(at(p, "ExecutionRoleArn") != nil, "%s has no execution role: Fargate could not pull the image", id)
		c.that(refers(at(p, "Environment"), ofType(t, "AWS::ApiGatewayV2::Api")[0]) && strings.Contains(text(at(p, "Environment")), "REKINDLE_API_URL"),
			"%s does not tell the runner where the API is: give it REKINDLE_API_URL", id)
		c.that(fmt.Sprint(at(properties(t, id), "RetryStrategy", "Attempts")) == "1", "%s runs a job %v times, want once", id, at(properties(t, id), "RetryStrategy", "Attempts"))
	}
}

// sight checks what an operator sees.
func (c *checks) sight(t mapping) {
	for _, id := range ofType(t, "AWS::Logs::LogGroup") {
		c.that(at(properties(t, id), "RetentionInDays") != nil, "%s keeps its lines for ever: set RetentionInDays", id)
	}
	boards := ofType(t, "AWS::CloudWatch::Dashboard")
	c.that(len(boards) == 1, "there are %d dashboards, want 1", len(boards))
	for _, a := range ofType(t, "AWS::CloudWatch::Alarm") {
		c.that(slices.ContainsFunc(boards, func(id string) bool { return refers(at(properties(t, id), "DashboardBody"), a) }), "the alarm %s is on no dashboard", a)
	}
	for _, f := range ofType(t, "AWS::Lambda::Function") {
		c.that(at(properties(t, f), "TracingConfig") == nil, "%s is traced, which costs, and nobody has asked for it", f)
	}
}

// checkEnvironments asserts that what the functions' environments name is there.
func (r *rehearsal) checkEnvironments() {
	c := &checks{}
	ids := func(kind string) []string {
		var all []string
		for _, res := range r.stack.Resources {
			if res.Type == kind {
				all = append(all, res.ID)
			}
		}
		return all
	}
	for _, f := range slices.Sorted(maps.Keys(r.stack.Functions)) {
		environment := r.stack.Functions[f].Environment
		for _, name := range slices.Sorted(maps.Keys(environment)) {
			v := environment[name]
			switch {
			case strings.HasSuffix(name, "_TABLE"):
				c.that(slices.Contains(ids("AWS::DynamoDB::Table"), v), "%s: %s names %q, which is no table of the stack", f, name, v)
			case name == "JOB_QUEUE":
				c.that(matchesARN(r.cloud.engine.queue, v), "%s: JOB_QUEUE names %q, and the stack's queue is %s", f, v, r.cloud.engine.queue)
			case name == "JOB_DEFINITION":
				c.that(matchesARN(r.cloud.engine.definition, v), "%s: JOB_DEFINITION names %q, and the stack's definition is %s", f, v, r.cloud.engine.definition)
			case name == "OUTPUT_BASE":
				c.that(slices.Contains(ids("AWS::S3::Bucket"), strings.TrimPrefix(v, "s3://")), "%s: OUTPUT_BASE is %q, which is no bucket of the stack", f, v)
			case strings.HasSuffix(name, "_SECRET"):
				c.that(len(v) >= 32 && slices.Contains(slices.Collect(maps.Values(r.stack.Secrets)), v), "%s: %s is no secret of the stack: its dynamic reference resolves to nothing that is there", f, name)
			case strings.HasPrefix(name, "AWS_ENDPOINT_URL_"):
				c.that(v == r.recorders[f].url, "%s: %s is %q, not its recorder", f, name, v)
			case name == "METRICS_NAMESPACE":
				c.that(v == "Rekindle/"+stackName, "%s: METRICS_NAMESPACE is %q, and the alarms watch Rekindle/%s", f, v, stackName)
			case name == "OTP_SENDER":
				c.that(v == sender, "%s: OTP_SENDER is %q, and the parameter is %s", f, v, sender)
			case name == "PROJECT_HEARTBEAT_TIMEOUT_MINUTES": // empty is never
			case slices.Contains([]string{"PROJECT_EXECUTION_TIMEOUT_HOURS", "PROJECT_HEARTBEAT_SECONDS", "PROJECT_COMMAND", "OUTPUT_LIMIT_MEGABYTES"}, name):
				c.that(v != "", "%s: %s is empty", f, name)
			default:
				c.that(false, "%s: the rehearsal does not know the setting %s: say in infra/rehearse/check.go what it names", f, name)
			}
		}
		c.that(!strings.Contains(text(environment), "{{resolve"), "%s: a dynamic reference was not resolved", f)
	}
	r.problems = append(r.problems, c.problems...)
	r.say("what the functions' environments name is in the stack: %d assertions, %d failed", c.count, len(c.problems))
}
