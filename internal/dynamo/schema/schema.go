// Package schema makes the tables of a template in a DynamoDB, as
// CloudFormation would.
package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/template"
)

// activeWithin is how long a new table may take to become active.
const activeWithin = 30 * time.Second

// Create makes a table under a name and waits until it is active. One that is
// there already is left as it is.
func Create(ctx context.Context, db *dynamodb.Client, t template.Table, name string) error {
	in := &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest, KeySchema: keys(t.HashKey, t.RangeKey),
	}
	for attribute, kind := range t.Attributes {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: aws.String(attribute), AttributeType: types.ScalarAttributeType(kind),
		})
	}
	for _, ix := range t.Indexes {
		projection := &types.Projection{ProjectionType: types.ProjectionType(ix.Projection), NonKeyAttributes: slices.Clone(ix.Include)}
		if ix.Global {
			in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
				IndexName: aws.String(ix.Name), KeySchema: keys(ix.HashKey, ix.RangeKey), Projection: projection,
			})
		} else {
			in.LocalSecondaryIndexes = append(in.LocalSecondaryIndexes, types.LocalSecondaryIndex{
				IndexName: aws.String(ix.Name), KeySchema: keys(ix.HashKey, ix.RangeKey), Projection: projection,
			})
		}
	}
	_, err := db.CreateTable(ctx, in)
	var there *types.ResourceInUseException
	if err != nil && !errors.As(err, &there) {
		return fmt.Errorf("making table %s: %w", name, err)
	}
	waiter := dynamodb.NewTableExistsWaiter(db, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, 200*time.Millisecond
	})
	if err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name}, activeWithin); err != nil {
		return fmt.Errorf("waiting for table %s: %w", name, err)
	}
	return nil
}

func keys(hash, rng string) []types.KeySchemaElement {
	k := []types.KeySchemaElement{{AttributeName: aws.String(hash), KeyType: types.KeyTypeHash}}
	if rng != "" {
		k = append(k, types.KeySchemaElement{AttributeName: aws.String(rng), KeyType: types.KeyTypeRange})
	}
	return k
}
