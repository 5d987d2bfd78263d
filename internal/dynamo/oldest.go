package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"rekindle/internal/project"
)

// OldestRunning returns when the oldest of the running executions started that
// began at since or later, in one shard (0 to [project.Shards]-1) of the index;
// the zero time if there is none. It reads one entry. The index is eventually
// consistent.
func (s *Store) OldestRunning(ctx context.Context, shard int, since time.Time) (time.Time, error) {
	expr, err := expression.NewBuilder().WithKeyCondition(
		expression.Key(attrShard).Equal(expression.Value(shardName(shard))).
			And(expression.Key(string(project.FieldStartedAt)).GreaterThanEqual(expression.Value(stamp(since)))),
	).Build()
	if err != nil {
		return time.Time{}, fmt.Errorf("building the query of the oldest: %w", err)
	}
	index, limit := indexByStarted, int32(1)
	for items, err := range s.queryPages(ctx, "querying the oldest running execution", &dynamodb.QueryInput{
		TableName: &s.tables.Projects, IndexName: &index, Limit: &limit,
		KeyConditionExpression:   expr.KeyCondition(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
	}) {
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
