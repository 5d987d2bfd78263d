package dynamo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"rekindle/internal/project"
)

// recordSweep is the partition of all receipts: 24 a day, and those of sweeps
// by hand, are far from what a partition holds.
const (
	recordSweep = "sweep"
	attrSweepID = string(project.FieldSweepID)
)

type receiptItem struct {
	Record  string `dynamodbav:"record"`
	SweepID string `dynamodbav:"sweep_id"`
	TTL     int64  `dynamodbav:"ttl"` // when DynamoDB may delete the item, in seconds since 1970

	BeganAt    string               `dynamodbav:"began_at"`
	EndedAt    string               `dynamodbav:"ended_at,omitempty"`
	Cutoff     string               `dynamodbav:"cutoff"`
	DryRun     bool                 `dynamodbav:"dry_run"`
	Shards     int                  `dynamodbav:"shards"`
	Pages      int                  `dynamodbav:"pages"`
	Nominated  int                  `dynamodbav:"nominated"`
	Failed     int                  `dynamodbav:"failed"`
	Skipped    map[string]int       `dynamodbav:"skipped"`
	Complete   bool                 `dynamodbav:"complete"`
	Executions []sweptExecutionItem `dynamodbav:"executions,omitempty"`
}

type sweptExecutionItem struct {
	TenantID    string `dynamodbav:"tenant_id"`
	ProjectID   string `dynamodbav:"project_id"`
	ExecutionID int64  `dynamodbav:"execution_id"`
	StartedAt   string `dynamodbav:"started_at"`
	HeartbeatAt string `dynamodbav:"heartbeat_at,omitempty"`
	Reason      string `dynamodbav:"reason"`
}

func receiptItemOf(r project.SweepReceipt) receiptItem {
	it := receiptItem{
		Record: recordSweep, SweepID: r.SweepID, TTL: r.BeganAt.Add(project.SweepRetention).Unix(),
		BeganAt: stamp(r.BeganAt), EndedAt: stamp(r.EndedAt), Cutoff: stamp(r.Cutoff), DryRun: r.DryRun,
		Shards: r.Shards, Pages: r.Pages, Nominated: r.Nominated, Failed: r.Failed, Skipped: r.Skipped, Complete: r.Complete,
	}
	for _, e := range r.Executions {
		it.Executions = append(it.Executions, sweptExecutionItem{
			e.TenantID, e.ProjectID, e.ExecutionID, stamp(e.StartedAt), stamp(e.HeartbeatAt), e.Reason,
		})
	}
	return it
}

func readReceipt(av attributes) (*project.SweepReceipt, error) {
	var it receiptItem
	if err := attributevalue.UnmarshalMap(av, &it); err != nil {
		return nil, fmt.Errorf("reading the receipt of a sweep: %w", err)
	}
	var s stamps
	r := &project.SweepReceipt{
		SweepID: it.SweepID, BeganAt: s.read("began_at", it.BeganAt), EndedAt: s.read("ended_at", it.EndedAt),
		Cutoff: s.read("cutoff", it.Cutoff), DryRun: it.DryRun,
		Shards: it.Shards, Pages: it.Pages, Nominated: it.Nominated, Failed: it.Failed, Skipped: it.Skipped, Complete: it.Complete,
	}
	for _, e := range it.Executions {
		r.Executions = append(r.Executions, project.SweptExecution{
			TenantID: e.TenantID, ProjectID: e.ProjectID, ExecutionID: e.ExecutionID, Reason: e.Reason,
			StartedAt: s.read("executions.started_at", e.StartedAt), HeartbeatAt: s.read("executions.heartbeat_at", e.HeartbeatAt),
		})
	}
	if s.err != nil {
		return nil, fmt.Errorf("reading the receipt of sweep %s: %w", it.SweepID, s.err)
	}
	return r, nil
}

// KeepReceipt writes the receipt of a sweep, over the one that it had. It goes
// [project.SweepRetention] after the sweep began.
func (s *Store) KeepReceipt(ctx context.Context, r project.SweepReceipt) error {
	const doing = "keeping the receipt of a sweep"
	av, err := attributevalue.MarshalMap(receiptItemOf(r))
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if _, err = s.db.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.tables.Sweeps, Item: av}); err != nil {
		return fault(doing, err)
	}
	return nil
}

// ErrNoReceipt says that no sweep of that id has a receipt: there was none, or
// its time is over.
var ErrNoReceipt = errors.New("no sweep has this id")

// GetReceipt returns the receipt of a sweep, or [ErrNoReceipt].
func (s *Store) GetReceipt(ctx context.Context, sweepID string) (*project.SweepReceipt, error) {
	av, err := s.item(ctx, "reading the receipt of a sweep", s.tables.Sweeps, attributes{attrRecord: text(recordSweep), attrSweepID: text(sweepID)})
	if err != nil {
		return nil, err
	}
	if av == nil {
		return nil, ErrNoReceipt
	}
	return readReceipt(av)
}

// Receipts yields the receipts of the sweeps that began after a time, newest
// first. After an error nothing more is yielded.
func (s *Store) Receipts(ctx context.Context, after time.Time) iter.Seq2[*project.SweepReceipt, error] {
	expr, err := expression.NewBuilder().WithKeyCondition(
		expression.Key(attrRecord).Equal(expression.Value(recordSweep)).
			And(expression.Key(attrSweepID).GreaterThan(expression.Value(project.SweepIDsAfter(after)))),
	).Build()
	if err != nil {
		return yieldError[*project.SweepReceipt](fmt.Errorf("building the list of sweeps: %w", err))
	}
	return each(s.queryPages(ctx, "listing sweeps", &dynamodb.QueryInput{
		TableName: &s.tables.Sweeps, ConsistentRead: aws.Bool(true), ScanIndexForward: aws.Bool(false),
		KeyConditionExpression:   expr.KeyCondition(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
	}), readReceipt)
}
