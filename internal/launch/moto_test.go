package launch_test

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/batch/types"

	"rekindle/internal/awsenv"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/launch"
	"rekindle/internal/project"
	"rekindle/internal/token"
)

// TestBatchOfMotoTakesTheLaunchersCalls asks a second, independent Batch whether
// it understands what the launcher sends: its parameters are checked there
// against the service's own model.
func TestBatchOfMotoTakesTheLaunchersCalls(t *testing.T) {
	if os.Getenv("REKINDLE_TEST_DATABASE") != "moto" {
		t.Skip("needs moto, which make moto installs and starts")
	}
	endpoint := dynamotest.Endpoint(t)
	// Its jobs are not run in containers, and have succeeded at once.
	motoCall(t, "batch", endpoint+"/moto-api/config", "application/json", `{"batch":{"use_docker":false}}`).Body.Close()
	env := map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL_BATCH": endpoint}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	definition := motoEngine(t, lookup, motoRole(t, endpoint))

	keys, err := token.NewKeyring(strings.Repeat("k", token.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	l, err := launch.NewBatch(lookup, launch.BatchConfig{
		Queue: "projects", Definition: "runner", Command: `["work"]`, Timeout: 24 * time.Hour, Keys: keys,
	})
	if err != nil {
		t.Fatal(err)
	}
	ref := project.Ref{Key: project.Key{TenantID: "acme", ProjectID: "site"}, ProjectUID: "uid", ExecutionID: 77}
	id, err := l.Launch(t.Context(), ref)
	if err != nil || id == "" {
		t.Fatalf("got job %q, %v", id, err)
	}
	job := motoJob(t, endpoint, id)
	if job.Name != "rk-77-uid" {
		t.Errorf("the job's name is %q, want rk-77-uid", job.Name)
	}
	if job.Definition != definition {
		t.Errorf("the job's definition is %q, want the newest revision, %q", job.Definition, definition)
	}
	given := map[string]string{}
	for _, v := range job.Container.Environment {
		given[v.Name] = v.Value
	}
	if given["PROJECT_COMMAND"] != `["work"]` || given["REKINDLE_EXECUTION_TOKEN"] != keys.Mint(token.Execution, ref, "") {
		t.Errorf("the container's environment is %v", given)
	}
	alive, err := l.Lookup(t.Context(), ref)
	if err != nil || len(alive) != 0 {
		t.Errorf("a job that has succeeded: alive are %v, %v", alive, err)
	}
	// A job that has ended is left alone, and so is an execution without one.
	for _, job := range []string{id, ""} {
		if err := l.Stop(t.Context(), ref, job, "cancelled"); err != nil {
			t.Errorf("stopping job %q: %v", job, err)
		}
	}
	gone, err := launch.NewBatch(lookup, launch.BatchConfig{
		Queue: "no-such-queue", Definition: "runner", Command: "work", Timeout: time.Hour, Keys: keys,
	})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := gone.Launch(t.Context(), ref); err == nil || awsenv.IsTransient(err) {
		t.Errorf("a queue that is not there: got job %q, %v", id, err)
	}
}

// motoClient has no timeout of its own, since moto's first answer is slow.
func motoClient(t *testing.T, lookup func(string) (string, bool)) *batch.Client {
	t.Helper()
	env, err := awsenv.Read(lookup, "BATCH")
	if err != nil {
		t.Fatal(err)
	}
	return batch.New(batch.Options{Region: env.Region, Credentials: env.Credentials, BaseEndpoint: env.Endpoint})
}

type describedJob struct {
	Name       string `json:"jobName"`
	Definition string `json:"jobDefinition"`
	Container  struct {
		Environment []struct{ Name, Value string }
	}
}

// motoJob describes a job. moto writes some of its times as the SDK can't read
// them, so the answer is read here.
func motoJob(t *testing.T, endpoint, id string) describedJob {
	t.Helper()
	res := motoCall(t, "batch", endpoint+"/v1/describejobs", "application/json", `{"jobs":["`+id+`"]}`)
	defer res.Body.Close()
	var out struct{ Jobs []describedJob }
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil || len(out.Jobs) != 1 {
		t.Fatalf("got %+v, %v", out, err)
	}
	return out.Jobs[0]
}

// motoCall makes a call by hand. Its service is told by what it is signed for.
func motoCall(t *testing.T, service, address, kind, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=k/20250101/eu-central-1/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// motoRole makes the role that moto, unlike Batch, asks a compute environment
// for, and returns its ARN.
func motoRole(t *testing.T, endpoint string) string {
	t.Helper()
	form := url.Values{"Action": {"CreateRole"}, "Version": {"2010-05-08"}, "RoleName": {"batch"}, "AssumeRolePolicyDocument": {"{}"}}
	res := motoCall(t, "iam", endpoint, "application/x-www-form-urlencoded", form.Encode())
	defer res.Body.Close()
	var out struct {
		Arn string `xml:"CreateRoleResult>Role>Arn"`
	}
	if err := xml.NewDecoder(res.Body).Decode(&out); err != nil || out.Arn == "" {
		t.Fatalf("the role was not made: %v, %+v", err, out)
	}
	return out.Arn
}

// motoEngine makes the queue and two revisions of the job definition, and
// returns the ARN of the newer one.
func motoEngine(t *testing.T, lookup func(string) (string, bool), role string) string {
	t.Helper()
	client := motoClient(t, lookup)
	environment, err := client.CreateComputeEnvironment(t.Context(), &batch.CreateComputeEnvironmentInput{
		ComputeEnvironmentName: aws.String("projects"), Type: types.CETypeUnmanaged, State: types.CEStateEnabled,
		ServiceRole: &role,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateJobQueue(t.Context(), &batch.CreateJobQueueInput{
		JobQueueName: aws.String("projects"), State: types.JQStateEnabled, Priority: aws.Int32(1),
		ComputeEnvironmentOrder: []types.ComputeEnvironmentOrder{{ComputeEnvironment: environment.ComputeEnvironmentArn, Order: aws.Int32(1)}},
	}); err != nil {
		t.Fatal(err)
	}
	var arn string
	for _, image := range []string{"runner:1", "runner:2"} {
		got, err := client.RegisterJobDefinition(t.Context(), &batch.RegisterJobDefinitionInput{
			JobDefinitionName: aws.String("runner"), Type: types.JobDefinitionTypeContainer,
			ContainerProperties: &types.ContainerProperties{
				Image: aws.String(image),
				ResourceRequirements: []types.ResourceRequirement{
					{Type: types.ResourceTypeVcpu, Value: aws.String("1")}, {Type: types.ResourceTypeMemory, Value: aws.String("2048")},
				},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		arn = aws.ToString(got.JobDefinitionArn)
	}
	return arn
}
