package main

import (
	"bufio"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/batch/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// region is where `sam local` lets the functions be unless it is told another.
const region = "us-east-1"

var credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
})

// moto is a server that checks calls against AWS's own models. Its jobs are not
// run, and have succeeded at once.
type moto struct {
	url   string
	stdin io.Closer
	done  chan struct{}
	err   error // why it ended; read after done is closed
}

// startMoto starts moto with what env names: queue, job definition and bucket.
func startMoto(ctx context.Context, env environment) (*moto, error) {
	const python = ".venv/moto/bin/python"
	if _, err := os.Stat(python); err != nil {
		return nil, fmt.Errorf("moto is not installed: run make .venv/moto/installed")
	}
	cmd := exec.Command(python, "infra/moto/serve.py")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start moto: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start moto: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start moto: %w", err)
	}
	m := &moto{stdin: stdin, done: make(chan struct{})}
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() {
		m.err = cmd.Wait()
		close(m.done)
	}()
	if err == nil {
		m.url = strings.TrimSpace(line)
		err = m.furnish(ctx, env)
	}
	if err != nil {
		_ = m.Close()
		return nil, fmt.Errorf("moto did not start: %w", err)
	}
	return m, nil
}

// Close ends moto, and waits for its end.
func (m *moto) Close() error {
	_ = m.stdin.Close()
	<-m.done
	return m.err
}

func (m *moto) batch() *batch.Client {
	return batch.New(batch.Options{Region: region, Credentials: credentials, BaseEndpoint: &m.url})
}

// furnish makes what the functions expect to be there.
func (m *moto) furnish(ctx context.Context, env environment) error {
	if err := m.call(ctx, "batch", "/moto-api/config", "application/json", `{"batch":{"use_docker":false}}`, nil); err != nil {
		return err
	}
	// moto, unlike Batch, wants a role even for an environment that it does not
	// manage.
	var role struct {
		ARN string `xml:"CreateRoleResult>Role>Arn"`
	}
	form := url.Values{"Action": {"CreateRole"}, "Version": {"2010-05-08"}, "RoleName": {"batch"}, "AssumeRolePolicyDocument": {"{}"}}
	if err := m.call(ctx, "iam", "/", "application/x-www-form-urlencoded", form.Encode(), &role); err != nil {
		return err
	}
	client := m.batch()
	machines, err := client.CreateComputeEnvironment(ctx, &batch.CreateComputeEnvironmentInput{
		ComputeEnvironmentName: aws.String("projects"), Type: types.CETypeUnmanaged, State: types.CEStateEnabled, ServiceRole: &role.ARN,
	})
	if err != nil {
		return fmt.Errorf("a compute environment: %w", err)
	}
	queue, definition, bucket := env["JOB_QUEUE"], env["JOB_DEFINITION"], strings.TrimPrefix(env["OUTPUT_BASE"], "s3://")
	if _, err := client.CreateJobQueue(ctx, &batch.CreateJobQueueInput{
		JobQueueName: &queue, State: types.JQStateEnabled, Priority: aws.Int32(1),
		ComputeEnvironmentOrder: []types.ComputeEnvironmentOrder{{ComputeEnvironment: machines.ComputeEnvironmentArn, Order: aws.Int32(1)}},
	}); err != nil {
		return fmt.Errorf("the queue %s: %w", queue, err)
	}
	if _, err := client.RegisterJobDefinition(ctx, &batch.RegisterJobDefinitionInput{
		JobDefinitionName: &definition, Type: types.JobDefinitionTypeContainer,
		ContainerProperties: &types.ContainerProperties{
			Image: aws.String("rekindle-runner:1"),
			ResourceRequirements: []types.ResourceRequirement{
				{Type: types.ResourceTypeVcpu, Value: aws.String("1")}, {Type: types.ResourceTypeMemory, Value: aws.String("2048")},
			},
		},
	}); err != nil {
		return fmt.Errorf("the job definition %s: %w", definition, err)
	}
	files := s3.New(s3.Options{Region: region, Credentials: credentials, BaseEndpoint: &m.url, UsePathStyle: true})
	if _, err := files.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		return fmt.Errorf("the bucket %s: %w", bucket, err)
	}
	return nil
}

// call makes a call by hand, to a service by what it is signed for, and reads
// an answer in XML.
func (m *moto) call(ctx context.Context, service, path, kind, body string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+path, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("calling %s: %w", service, err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=local/20250101/"+region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("calling %s: %w", service, err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return fmt.Errorf("calling %s: it answers %s", service, res.Status)
	}
	if answer == nil {
		return nil
	}
	if err := xml.NewDecoder(res.Body).Decode(answer); err != nil {
		return fmt.Errorf("calling %s: %w", service, err)
	}
	return nil
}
