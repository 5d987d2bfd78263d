package launch

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/batch/types"

	"rekindle/internal/awsenv"
	"rekindle/internal/project"
	"rekindle/internal/token"
)

const (
	// engineSlack is how much longer than the limit a job may live: the runner
	// itself keeps the limit, and may be granted an extension of a day.
	engineSlack = project.MaxExtension + 15*time.Minute
	// shareBuckets is how many fair-share identifiers the tenants are spread
	// over. A queue takes at most 500 active ones (AWS Batch service quotas).
	shareBuckets = 400
)

// BatchConfig says where and how jobs are submitted.
type BatchConfig struct {
	Queue      string         // name of the job queue, which has a fair-share policy
	Definition string         // name of the job definition; its newest revision is used
	Command    string         // what a job runs: PROJECT_COMMAND
	Timeout    time.Duration  // the limit of an execution
	Keys       *token.Keyring // makes the execution tokens; not needed to look up and stop
}

// Batch launches executions as AWS Batch jobs, one attempt each. A job is named
// by [JobName], so that one whose submission's answer was lost can be found.
type Batch struct {
	client *batch.Client
	cfg    BatchConfig
}

// NewBatch makes a launcher over the environment; see [awsenv.Read]. Options
// change the client's.
func NewBatch(lookup func(string) (string, bool), cfg BatchConfig, options ...func(*batch.Options)) (*Batch, error) {
	env, err := awsenv.Read(lookup, "BATCH")
	if err != nil {
		return nil, err
	}
	return &Batch{cfg: cfg, client: batch.New(batch.Options{
		Region: env.Region, Credentials: env.Credentials, HTTPClient: env.HTTP,
		Retryer: env.Retryer, BaseEndpoint: env.Endpoint,
	}, options...)}, nil
}

// JobName returns the name of an execution's jobs: rk-<execution_id>-<project_uid>.
// An execution's id is unique in its project alone, and two projects that start
// in one millisecond may draw the same: by the id only, a tenant's cancel could
// find another's job. Batch takes 128 letters, digits, hyphens and underscores.
func JobName(ref project.Ref) string {
	return "rk-" + strconv.FormatInt(ref.ExecutionID, 10) + "-" + ref.ProjectUID
}

// share is the tenant's fair-share identifier: alphanumeric, as Batch wants it.
func share(tenantID string) string {
	h := fnv.New32a()
	h.Write([]byte(tenantID))
	return fmt.Sprintf("t%03d", h.Sum32()%shareBuckets)
}

// Launch submits the execution's job. SubmitJob has no idempotency token, so a
// retry can submit a second one, which can't claim. When the answer is lost for
// good the job is looked for by name.
func (b *Batch) Launch(ctx context.Context, ref project.Ref) (string, error) {
	env := func(name, value string) types.KeyValuePair { return types.KeyValuePair{Name: &name, Value: &value} }
	out, err := b.client.SubmitJob(ctx, &batch.SubmitJobInput{
		JobName: aws.String(JobName(ref)), JobQueue: &b.cfg.Queue, JobDefinition: &b.cfg.Definition,
		ShareIdentifier:            aws.String(share(ref.TenantID)),
		SchedulingPriorityOverride: aws.Int32(0),
		RetryStrategy:              &types.RetryStrategy{Attempts: aws.Int32(1)},
		Timeout:                    &types.JobTimeout{AttemptDurationSeconds: aws.Int32(int32((b.cfg.Timeout + engineSlack) / time.Second))},
		ContainerOverrides: &types.ContainerOverrides{Environment: []types.KeyValuePair{
			env("REKINDLE_EXECUTION_TOKEN", b.cfg.Keys.Mint(token.Execution, ref, "")),
			env("PROJECT_COMMAND", b.cfg.Command),
		}},
	})
	if err == nil {
		return aws.ToString(out.JobId), nil
	}
	if awsenv.IsTransient(err) {
		jobs, lookupErr := b.Lookup(ctx, ref)
		if lookupErr == nil && len(jobs) > 0 {
			return jobs[0], nil
		}
		err = errors.Join(err, lookupErr)
	}
	return "", fmt.Errorf("submitting a job: %w", err)
}

// Lookup returns the ids of the execution's jobs that have not ended.
func (b *Batch) Lookup(ctx context.Context, ref project.Ref) ([]string, error) {
	var alive []string
	pages := batch.NewListJobsPaginator(b.client, &batch.ListJobsInput{
		JobQueue: &b.cfg.Queue,
		Filters:  []types.KeyValuesPair{{Name: aws.String("JOB_NAME"), Values: []string{JobName(ref)}}},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("looking for the jobs of an execution: %w", err)
		}
		for _, j := range page.JobSummaryList {
			if j.Status != types.JobStatusSucceeded && j.Status != types.JobStatusFailed {
				alive = append(alive, aws.ToString(j.JobId))
			}
		}
	}
	return alive, nil
}

// Stop terminates a job, or every job of the execution if jobID is empty. A job
// that has ended already is left alone.
func (b *Batch) Stop(ctx context.Context, ref project.Ref, jobID, reason string) error {
	jobs := []string{jobID}
	if jobID == "" {
		var err error
		if jobs, err = b.Lookup(ctx, ref); err != nil {
			return err
		}
	}
	var failures []error
	for _, id := range jobs {
		if _, err := b.client.TerminateJob(ctx, &batch.TerminateJobInput{JobId: &id, Reason: &reason}); err != nil {
			failures = append(failures, fmt.Errorf("terminating job %s: %w", id, err))
		}
	}
	return errors.Join(failures...)
}
