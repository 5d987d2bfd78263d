package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rekindle/internal/awsenv"
)

func resource(t *testing.T, root mapping, id string) mapping {
	t.Helper()
	r, there := at(root, "Resources", id).(mapping)
	if !there {
		t.Fatalf("there is no %s", id)
	}
	return r
}

func TestJobsRunWithoutPermissionsAndOnce(t *testing.T) {
	root := rawTemplate(t)
	d := at(resource(t, root, "JobDefinition"), "Properties")
	for path, want := range map[string]any{
		"JobDefinitionName":                              "${AWS::StackName}-runner",
		"RetryStrategy.Attempts":                         1,
		"SchedulingPriority":                             0,
		"ResourceRetentionPolicy.SkipDeregisterOnUpdate": true,
		"ContainerProperties.JobRoleArn":                 nil,
		"ContainerProperties.User":                       nil, // the image's
		"ContainerProperties.Command":                    nil, // the image's
		"ContainerProperties.LinuxParameters":            nil, // an init process would reap the runner's children
		"ContainerProperties.LogConfiguration.LogDriver": "awslogs",
		"ContainerProperties.EphemeralStorage.SizeInGiB": "RunnerStorage",
	} {
		if got := at(d, strings.Split(path, ".")...); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	env, _ := at(d, "ContainerProperties", "Environment").([]any)
	if len(env) != 1 || at(env[0], "Name") != "REKINDLE_API_URL" || at(env[0], "Value") != at(root, "Outputs", "ApiUrl", "Value") {
		t.Errorf("the environment is %v, want the API's address alone", env)
	}
	// The functions know the definition by the name that it has.
	for _, id := range []string{"RunFunction", "RestartFunction"} {
		if got := at(resource(t, root, id), "Properties", "Environment", "Variables", "JOB_DEFINITION"); got != at(d, "JobDefinitionName") {
			t.Errorf("%s submits %v, want %v", id, got, at(d, "JobDefinitionName"))
		}
	}
}

func TestJobsThatCanNotStartAreGivenUp(t *testing.T) {
	root := rawTemplate(t)
	queue := at(resource(t, root, "JobQueue"), "Properties")
	if got := at(queue, "SchedulingPolicyArn"); got != "FairShare" {
		t.Errorf("the queue's policy is %v, want FairShare: submissions name a share", got)
	}
	reasons := map[string]bool{}
	actions, _ := at(queue, "JobStateTimeLimitActions").([]any)
	for _, a := range actions {
		reasons[fmt.Sprint(at(a, "Reason"))] = true
		if at(a, "State") != "RUNNABLE" || at(a, "Action") != "CANCEL" || at(a, "MaxTimeSeconds") != "RunnableSeconds" {
			t.Errorf("the action is %v, want RUNNABLE, CANCEL, RunnableSeconds", a)
		}
	}
	// AWS Batch user guide, "Automatic remediation with jobStateTimeLimitActions";
	// the fourth there is EC2's.
	want := []string{
		"CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
		"MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
		"MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
	}
	if got := slices.Sorted(maps.Keys(reasons)); !slices.Equal(got, want) {
		t.Errorf("jobs are given up for %v, want %v", got, want)
	}
	p := at(root, "Parameters", "RunnableSeconds")
	if at(p, "MinValue") != 600 || at(p, "MaxValue") != 86400 {
		t.Errorf("RunnableSeconds is %v, want Batch's 600 to 86400", p)
	}
}

// One that has a service role, or that may be replaced, can't be changed while
// jobs run in it.
func TestComputeEnvironmentsAreChangedInPlace(t *testing.T) {
	kinds := map[any]bool{}
	for id, r := range resources(rawTemplate(t), "AWS::Batch::ComputeEnvironment") {
		p := r["Properties"]
		kinds[at(p, "ComputeResources", "Type")] = true
		if at(p, "ReplaceComputeEnvironment") != false || at(p, "ServiceRole") != nil || at(p, "ComputeEnvironmentName") != nil {
			t.Errorf("%s is %v, want ReplaceComputeEnvironment false, no ServiceRole and no name", id, p)
		}
	}
	if want := map[any]bool{"FARGATE": true, "FARGATE_SPOT": true}; !maps.Equal(kinds, want) {
		t.Errorf("the compute environments are %v, want one of each of %v", kinds, want)
	}
}

func TestMemoryIsWhatFargateHasForTheVCPUs(t *testing.T) {
	root := rawTemplate(t)
	// AWS Batch API reference, ResourceRequirement: from, to and step in MiB.
	fargate := map[string][3]int{
		"0.25": {512, 2048, 0}, "0.5": {1024, 4096, 1024}, "1": {2048, 8192, 1024}, "2": {4096, 16384, 1024},
		"4": {8192, 30720, 1024}, "8": {16384, 61440, 4096}, "16": {32768, 122880, 8192},
	}
	if got := texts(at(root, "Parameters", "RunnerVcpu", "AllowedValues")); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(maps.Keys(fargate))) {
		t.Errorf("RunnerVcpu may be %v, want %v", got, slices.Sorted(maps.Keys(fargate)))
	}
	got := memoryOf(root)
	for vcpu, m := range fargate {
		want := []string{"512", "1024", "2048"}
		if m[2] > 0 {
			want = nil
			for mib := m[0]; mib <= m[1]; mib += m[2] {
				want = append(want, strconv.Itoa(mib))
			}
		}
		if !slices.Equal(got[vcpu], want) {
			t.Errorf("with %s vCPU the memory may be %v, want %v", vcpu, got[vcpu], want)
		}
	}
}

// memoryOf returns the amounts that the rules allow, by vCPUs.
func memoryOf(root mapping) map[string][]string {
	allowed := map[string][]string{}
	for _, rule := range at(root, "Rules").(mapping) {
		// !Equals is a list here, its tag gone.
		condition, _ := at(rule, "RuleCondition").([]any)
		assertions, _ := at(rule, "Assertions").([]any)
		if len(condition) != 2 || condition[0] != "RunnerVcpu" || len(assertions) != 1 {
			continue
		}
		contains, _ := at(assertions[0], "Assert", "Fn::Contains").([]any)
		if len(contains) == 2 && contains[1] == "RunnerMemory" {
			allowed[fmt.Sprint(condition[1])] = texts(contains[0])
		}
	}
	return allowed
}

func TestProjectsReachHTTPSAloneAndNothingReachesThem(t *testing.T) {
	root := rawTemplate(t)
	groups := resources(root, "AWS::EC2::SecurityGroup")
	for id, g := range groups {
		if in := at(g, "Properties", "SecurityGroupIngress"); in != nil {
			t.Errorf("%s lets in %v", id, in)
		}
		out, _ := at(g, "Properties", "SecurityGroupEgress").([]any)
		if len(out) == 0 {
			t.Errorf("%s has no rules for what goes out, so everything does", id)
		}
		for _, rule := range out {
			if at(rule, "IpProtocol") != "tcp" || at(rule, "FromPort") != 443 || at(rule, "ToPort") != 443 {
				t.Errorf("%s lets out %v", id, rule)
			}
		}
	}
	if len(groups) != 1 {
		t.Errorf("there are %d security groups, want 1", len(groups))
	}
	if nat := resources(root, "AWS::EC2::NatGateway"); len(nat) != 0 {
		t.Errorf("there are NAT gateways, which cost while nothing runs: %v", nat)
	}
	// The whole network is made where no subnets are given, or not at all.
	for id, r := range at(root, "Resources").(mapping) {
		kind := fmt.Sprint(at(r, "Type"))
		if strings.HasPrefix(kind, "AWS::EC2::") && kind != "AWS::EC2::SecurityGroup" && at(r, "Condition") != "OwnVpc" {
			t.Errorf("%s has the condition %v, want OwnVpc", id, at(r, "Condition"))
		}
	}
}

func TestImagesAreKeptAsTheyWerePushed(t *testing.T) {
	p := at(resource(t, rawTemplate(t), "RunnerRepository"), "Properties")
	if at(p, "ImageTagMutability") != "IMMUTABLE" || at(p, "ImageScanningConfiguration", "ScanOnPush") != true || at(p, "EncryptionConfiguration", "EncryptionType") == nil {
		t.Errorf("the repository is %v, want tags that stay, scanned and encrypted", p)
	}
	var policy struct {
		Rules []struct{ Selection, Action mapping }
	}
	if err := json.Unmarshal([]byte(fmt.Sprint(at(p, "LifecyclePolicy", "LifecyclePolicyText"))), &policy); err != nil || len(policy.Rules) == 0 {
		t.Errorf("its lifecycle policy has %d rules: %v", len(policy.Rules), err)
	}
}

// Who gives up first must be the one who can still say so.
func TestTimeoutsNest(t *testing.T) {
	const handler = 15 * time.Second // internal/api's budget
	const gateway = 30 * time.Second // API Gateway's, and fixed
	call := awsenv.MaxAttempts*awsenv.CallTimeout + (awsenv.MaxAttempts-1)*time.Second
	if call >= handler {
		t.Errorf("a call to AWS takes up to %s, want less than a handler's %s", call, handler)
	}
	tmpl := open(t, nil)
	for _, f := range tmpl.Functions {
		routed := slices.ContainsFunc(tmpl.Routes, func(r Route) bool { return r.Function == f.LogicalID })
		if routed && (f.Timeout <= handler || f.Timeout >= gateway) {
			t.Errorf("%s has %s, want more than a handler's %s and less than API Gateway's %s", f.LogicalID, f.Timeout, handler, gateway)
		}
	}
}

func TestEveryFunctionIsReachedByItsAlias(t *testing.T) {
	root := rawTemplate(t)
	globals := at(root, "Globals", "Function").(mapping)
	alarms := resources(root, "AWS::CloudWatch::Alarm")
	routes := open(t, nil).Routes
	for id, f := range functions(root) {
		p := merge(globals, f["Properties"])
		if at(p, "AutoPublishAlias") != "live" || at(p, "AutoPublishCodeSha256") != "Revision" {
			t.Errorf("%s has the alias %v of the versions of %v, want live, Revision", id, at(p, "AutoPublishAlias"), at(p, "AutoPublishCodeSha256"))
		}
		if at(p, "DeploymentPreference", "Type") != "DeploymentPreference" || at(p, "DeploymentPreference", "Role") != "DeploymentRole.Arn" {
			t.Errorf("%s is deployed by %v", id, at(p, "DeploymentPreference"))
		}
		if at(p, "ReservedConcurrentExecutions") != nil {
			t.Errorf("%s reserves concurrency, which is taken from all other functions of the account", id)
		}
		// !If [Gradual, [alarms], [none]]
		choice, _ := at(p, "DeploymentPreference", "Alarms").([]any)
		if len(choice) != 3 || choice[0] != "Gradual" {
			t.Errorf("%s's deployments watch %v", id, choice)
			continue
		}
		name := strings.TrimSuffix(id, "Function")
		want := []string{name + "Errors"}
		if slices.ContainsFunc(routes, func(r Route) bool { return r.Function == id }) {
			want = append(want, name+"Faults") // Lambda takes an answer of 500 for success
		}
		if got := texts(choice[1]); !slices.Equal(got, want) {
			t.Errorf("%s's deployments watch %v, want %v", id, got, want)
		}
		errors := at(alarms[name+"Errors"], "Properties")
		dimensions := map[any]any{}
		list, _ := at(errors, "Dimensions").([]any)
		for _, d := range list {
			dimensions[at(d, "Name")] = at(d, "Value")
		}
		if dimensions["FunctionName"] != id || dimensions["Resource"] != "${"+id+"}:live" || at(errors, "MetricName") != "Errors" {
			t.Errorf("%sErrors watches %v of %v, want Errors of the alias", name, at(errors, "MetricName"), dimensions)
		}
		// The role moves exactly these aliases.
		moves := fmt.Sprint(at(resource(t, root, "DeploymentRole"), "Properties", "Policies"))
		if !strings.Contains(moves, id+".Arn ") || !strings.Contains(moves, "${"+id+".Arn}:live") {
			t.Errorf("DeploymentRole may not move the alias of %s", id)
		}
	}
}

func TestFaultsAreCountedWhereTheFunctionLogs(t *testing.T) {
	root := rawTemplate(t)
	filters := resources(root, "AWS::Logs::MetricFilter")
	for id, a := range resources(root, "AWS::CloudWatch::Alarm") {
		name, faults := strings.CutSuffix(id, "Faults")
		if !faults {
			continue
		}
		p := at(filters[id+"Metric"], "Properties")
		metrics, _ := at(p, "MetricTransformations").([]any)
		if at(p, "LogGroupName") != name+"Logs" || len(metrics) != 1 || at(metrics[0], "MetricName") != at(a, "Properties", "MetricName") ||
			at(metrics[0], "MetricNamespace") != at(a, "Properties", "Namespace") {
			t.Errorf("%s watches %v, which nothing counts: %v", id, at(a, "Properties", "MetricName"), p)
		}
		if want := `{ ($.msg = "request") && ($.status = 500) }`; at(p, "FilterPattern") != want {
			t.Errorf("%s counts %v, want %s", id, at(p, "FilterPattern"), want)
		}
	}
}

func TestAlarmsTellSomebodyWhatToDo(t *testing.T) {
	root := rawTemplate(t)
	for id, a := range resources(root, "AWS::CloudWatch::Alarm") {
		p := a["Properties"]
		if !slices.Equal(texts(at(p, "AlarmActions")), []string{"AlarmTopic"}) {
			t.Errorf("%s tells %v, want AlarmTopic", id, at(p, "AlarmActions"))
		}
		// Silence is good, but where it is what the alarm is about.
		if id != "SweepMissingAlarm" && at(p, "TreatMissingData") != "notBreaching" {
			t.Errorf("%s takes silence for %v, want notBreaching", id, at(p, "TreatMissingData"))
		}
		description := fmt.Sprint(at(p, "AlarmDescription"))
		if !regexp.MustCompile(`\. (Read|Look|Find|Sweep) `).MatchString(description) || len(description) > 1024 {
			t.Errorf("%s does not say what to do first: %q", id, description)
		}
		// Every function's alarm has its own text: a copied one misleads.
		functions := strings.HasSuffix(id, "Errors") || strings.HasSuffix(id, "Faults")
		if group := regexp.MustCompile(`/rekindle/\$\{AWS::StackName\}/(\w+)`).FindStringSubmatch(description); group != nil && functions &&
			!strings.HasPrefix(strings.ToLower(id), group[1]) {
			t.Errorf("%s sends its reader to the log of %s", id, group[1])
		}
	}
	for id := range resources(root, "AWS::SQS::Queue") {
		a := at(root, "Resources", id+"Alarm", "Properties")
		dimensions, _ := at(a, "Dimensions").([]any)
		if len(dimensions) != 1 || at(dimensions[0], "Value") != id+".QueueName" || at(a, "MetricName") != "ApproximateNumberOfMessagesVisible" || at(a, "Threshold") != 0 {
			t.Errorf("what lies in %s alarms nobody: %v", id, a)
		}
	}
	if got := at(root, "Resources", "AlarmSubscription", "Condition"); got != "HasAlarmEmail" {
		t.Errorf("the subscription's condition is %v, want HasAlarmEmail", got)
	}
}

// What is invoked without a caller keeps its failures.
func TestEveryEventHasAQueueForItsFailures(t *testing.T) {
	root := rawTemplate(t)
	for id, f := range functions(root) {
		events, _ := at(f, "Properties", "Events").(mapping)
		for name, e := range events {
			if at(e, "Type") == "HttpApi" {
				continue
			}
			if at(e, "Properties", "DeadLetterConfig", "Arn") == nil {
				t.Errorf("%s of %s has no queue for what it can't deliver", name, id)
			}
			if at(f, "Properties", "EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination") == nil {
				t.Errorf("%s is invoked by %s and has no queue for its failures", id, name)
			}
		}
	}
}

func TestOperatorsFindTheStacksParts(t *testing.T) {
	outputs, _ := at(rawTemplate(t), "Outputs").(mapping)
	for name, condition := range map[string]any{
		"ApiUrl": nil, "ProjectsTableName": nil, "TenantsTableName": nil, "SessionsTableName": nil, "SweepsTableName": nil, "OutputBucketName": nil, "JobQueueArn": nil,
		"JobDefinitionName": nil, "RunnerRepositoryUri": nil, "AlarmTopicArn": nil,
		"EventBusName": nil, "EventBusArn": nil, "FailureTopicArn": nil, "EventFailuresUrl": nil,
		"PortalUrl": "HasPortal", "PortalDomainTarget": "HasPortal", "PortalDistributionId": "HasPortal", "PortalBucketName": "HasPortal",
	} {
		o, there := outputs[name]
		if !there || at(o, "Value") == nil || at(o, "Condition") != condition {
			t.Errorf("%s is %v, want it with the condition %v", name, o, condition)
		}
	}
	// The pages for operators use these names.
	for _, page := range []string{"../../docs/deploy.md", "../../docs/operations.md", "../../docs/events.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`\boutput ([A-Z]\w+)`).FindAllStringSubmatch(string(text), -1) {
			if _, there := outputs[found[1]]; !there {
				t.Errorf("%s asks for the output %s, which is not there", page, found[1])
			}
		}
	}
}
