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

// pageSize is how many index entries one query reads.
const pageSize = 250

// startedKey is the index's sort key.
var startedKey = expression.Key(string(project.FieldStartedAt))

// runningQuery queries one shard of the index of running projects for those that
// started in a range, oldest first, so many entries a page.
func (s *Store) runningQuery(shard int, started expression.KeyConditionBuilder, limit int32) (*dynamodb.QueryInput, error) {
	expr, err := expression.NewBuilder().WithKeyCondition(
		expression.Key(attrShard).Equal(expression.Value(shardName(shard))).And(started),
	).Build()
	if err != nil {
		return nil, fmt.Errorf("building the index query: %w", err)
	}
	return &dynamodb.QueryInput{
		TableName: &s.tables.Projects, IndexName: aws.String(indexByStarted), Limit: &limit,
		KeyConditionExpression:   expr.KeyCondition(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
	}, nil
}

// RunningSince queries one shard (0 to [project.Shards]-1) of the index of
// running projects and yields, page by page, those that started before the
// given time, oldest first. A page may be empty, and is not the last one for
// that. The index is eventually consistent: it nominates, and the base item
// decides. An entry that can't be read comes as an error beside the others of
// its page, and the pages go on; after a query that failed nothing more comes.
func (s *Store) RunningSince(ctx context.Context, shard int, before time.Time) iter.Seq2[[]project.Candidate, error] {
	return func(yield func([]project.Candidate, error) bool) {
		query, err := s.runningQuery(shard, startedKey.LessThan(expression.Value(stamp(before))), pageSize)
		if err != nil {
			yield(nil, err)
			return
		}
		for items, err := range s.queryPages(ctx, "querying the index of running projects", query) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(readCandidates(items)) {
				return
			}
		}
	}
}

// OldestRunning returns when the oldest of the running executions started that
// began at since or later, in one shard (0 to [project.Shards]-1) of the index;
// the zero time if there is none. It reads one entry. The index is eventually
// consistent.
func (s *Store) OldestRunning(ctx context.Context, shard int, since time.Time) (time.Time, error) {
	query, err := s.runningQuery(shard, startedKey.GreaterThanEqual(expression.Value(stamp(since))), 1)
	if err != nil {
		return time.Time{}, err
	}
	for items, err := range s.queryPages(ctx, "querying the oldest running execution", query) {
		if err != nil {
			return time.Time{}, err
		}
		found, err := readCandidates(items)
		if err != nil {
			return time.Time{}, err
		}
		if len(found) > 0 {
			return found[0].StartedAt, nil
		}
	}
	return time.Time{}, nil
}

// readCandidates reads the entries of a page. One that can't be read is in the
// error, and keeps none of the others from being read.
func readCandidates(items []attributes) ([]project.Candidate, error) {
	page := make([]project.Candidate, 0, len(items))
	var bad []error
	for _, av := range items {
		var (
			it projectItem
			s  stamps
		)
		if err := attributevalue.UnmarshalMap(av, &it); err != nil {
			bad = append(bad, fmt.Errorf("reading the index entry of project %s of tenant %s: %w", textOf(av[attrProjectID]), textOf(av[attrTenantID]), err))
			continue
		}
		c := project.Candidate{
			Key:         project.Key{TenantID: it.TenantID, ProjectID: it.ProjectID},
			ExecutionID: it.ExecutionID,
			StartedAt:   s.read("execution_started_at", it.StartedAt),
		}
		if s.err != nil {
			bad = append(bad, fmt.Errorf("reading the index entry of project %s of tenant %s: %w", it.ProjectID, it.TenantID, s.err))
			continue
		}
		page = append(page, c)
	}
	return page, errors.Join(bad...)
}
