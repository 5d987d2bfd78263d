package main

import (
	"encoding/json"
	"fmt"
	"slices"
)

// The rehearsal checks that it can fail, on the template and the calls of the day.

// breakage is one thing that is broken on purpose, of the first resource that has
// it.
type breakage struct {
	what, kind string
	do         func(resource mapping) bool // false: this one has not got it
}

// without removes a member of a resource.
func without(path ...string) func(mapping) bool {
	return func(resource mapping) bool {
		parent, ok := at(resource, path[:len(path)-1]...).(mapping)
		if _, there := parent[path[len(path)-1]]; !ok || !there {
			return false
		}
		delete(parent, path[len(path)-1])
		return true
	}
}

var breakages = []breakage{
	{"point-in-time recovery is off", "AWS::DynamoDB::Table", without("Properties", "PointInTimeRecoverySpecification")},
	{"a table is not encrypted", "AWS::DynamoDB::Table", without("Properties", "SSESpecification")},
	{"sessions have no TTL", "AWS::DynamoDB::Table", without("Properties", "TimeToLiveSpecification")},
	{"the bucket is not encrypted", "AWS::S3::Bucket", without("Properties", "BucketEncryption")},
	{"a queue is not encrypted", "AWS::SQS::Queue", without("Properties", "SqsManagedSseEnabled")},
	{"a route may not call its function", "AWS::Lambda::Permission", without("Properties", "SourceArn")},
	{"the API lost its CORS headers", "AWS::ApiGatewayV2::Api", without("Properties", "Body", "x-amazon-apigateway-cors", "allowHeaders")},
	{"routes have no limits", "AWS::ApiGatewayV2::Stage", without("Properties", "DefaultRouteSettings")},
	{"an alias moves at once", "AWS::Lambda::Alias", without("UpdatePolicy")},
	{"a deployment watches nothing", "AWS::CodeDeploy::DeploymentGroup", without("Properties", "AlarmConfiguration")},
	{"a log keeps its lines for ever", "AWS::Logs::LogGroup", without("Properties", "RetentionInDays")},
	{"the API writes down no calls", "AWS::ApiGatewayV2::Stage", without("Properties", "AccessLogSettings")},
	{"the alarms are on no dashboard", "AWS::CloudWatch::Dashboard", without("Properties", "DashboardBody")},
	{"an alarm tells nobody", "AWS::CloudWatch::Alarm", without("Properties", "AlarmActions")},
	{"a failure goes nowhere", "AWS::Lambda::EventInvokeConfig", without("Properties", "DestinationConfig")},
	{"a rule has no retry policy", "AWS::Events::Rule", onTarget("RetryPolicy")},
	{"a rule has no dead-letter queue", "AWS::Events::Rule", onTarget("DeadLetterConfig")},
	{"a rule may not publish to its topic", "AWS::SNS::TopicPolicy", func(policy mapping) bool {
		return refers(policy, "FailureTopic") && without("Properties", "PolicyDocument")(policy)
	}},
	{"the queue shares nothing", "AWS::Batch::JobQueue", without("Properties", "SchedulingPolicyArn")},
	{"the runner does not know the API", "AWS::Batch::JobDefinition", without("Properties", "ContainerProperties", "Environment")},
	{"a route passes by the alias", "AWS::ApiGatewayV2::Api", func(api mapping) bool {
		paths, _ := at(api, "Properties", "Body", "paths").(mapping)
		for _, methods := range paths {
			for _, m := range methods.(mapping) {
				if i, ok := at(m, "x-amazon-apigateway-integration").(mapping); ok {
					i["uri"] = mapping{"Fn::Sub": "${StatusFunction.Arn}"}
					return true
				}
			}
		}
		return false
	}},
}

// onTarget removes a member of a rule's target.
func onTarget(name string) func(mapping) bool {
	return func(rule mapping) bool {
		targets, _ := at(rule, "Properties", "Targets").([]any)
		for _, t := range targets {
			delete(t.(mapping), name)
		}
		return len(targets) > 0
	}
}

// checkChecks breaks copies of the transformed template, each in one way, and
// returns those that the checks do not see.
func checkChecks(t mapping, sound *checks) []string {
	raw := []byte(text(t))
	var unseen []string
	for _, b := range breakages {
		var broken mapping
		if err := json.Unmarshal(raw, &broken); err != nil {
			panic(err) // it was just written
		}
		done := slices.ContainsFunc(ofType(broken, b.kind), func(id string) bool { return b.do(resourcesOf(broken)[id].(mapping)) })
		if !done {
			unseen = append(unseen, fmt.Sprintf("the template has nothing to break so that %s: mend template.yaml, or the list in infra/rehearse/self.go", b.what))
			continue
		}
		news := slices.ContainsFunc(checkTransformed(broken).problems, func(p string) bool { return !slices.Contains(sound.problems, p) })
		if !news {
			unseen = append(unseen, fmt.Sprintf("the rehearsal does not see when %s: mend infra/rehearse/check.go", b.what))
		}
	}
	return unseen
}

// checkJudgement takes one permission from a function's policy, and the calls that
// used it from what was recorded, each by itself, and says which is not reported.
func checkJudgement(function string, policies []statement, calls []call) []string {
	var unseen []string
	for i, s := range policies {
		if exempt(s, s.Actions[0]) != "" {
			continue
		}
		one := s
		one.Actions, one.Resources = s.Actions[:1], s.Resources[:1]
		left := slices.DeleteFunc(slices.Clone(calls), one.allows)
		if len(left) == len(calls) {
			continue // it is unused, which is reported as it is
		}
		if !reports(compare(function, slices.Delete(slices.Clone(policies), i, i+1), calls)) {
			unseen = append(unseen, fmt.Sprintf("the rehearsal does not see when %s lacks its statement %s: mend infra/rehearse/iam.go", function, s.Sid))
		}
		if !reports(compare(function, policies, left)) {
			unseen = append(unseen, fmt.Sprintf("the rehearsal does not see when nothing uses %s of %s: mend infra/rehearse/iam.go", s.Actions[0], function))
		}
	}
	return unseen
}

func reports(rows []row) bool {
	return slices.ContainsFunc(rows, func(r row) bool { return r.Problem != "" })
}
