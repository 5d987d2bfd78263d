package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/project"
)

// The counter of a tenant's projects, on its item.
const (
	attrCount      = "project_count"
	attrCountedAt  = "counted_at"  // the last reservation
	attrCountedBy  = "counted_by"  // and its token
	attrCountEpoch = "count_epoch" // how often the count was corrected
)

// settled is how old a counter's last reservation must be before the counter can
// be corrected. It is more than a function may run for.
const settled = time.Minute

// counter is what a tenant's item says of its projects' number.
type counter struct {
	Count     *int   `dynamodbav:"project_count"` // nil: never counted
	CountedAt string `dynamodbav:"counted_at"`
	CountedBy string `dynamodbav:"counted_by"`
}

// maxCountRaces is how often a reservation begins again. Each race that it loses
// is another's reservation or correction.
const maxCountRaces = 20

// reserve counts one more project of a tenant, and returns the tenant as it is
// then. It refuses a project beyond the quota.
//
// The counter stands on the tenant's item, so that the quota needs no
// transaction: it grows before the project is inserted, on the condition that it
// is below the quota, and shrinks after a project was deleted. So it is never too
// low. A request that ends in between, or an increment that the client repeated
// because a reply was lost, leaves it too high. That is corrected when the quota
// seems to be reached, or the tenant was never counted: if the last reservation
// is older than any function lives, then no counted project is still to be
// inserted, and what a query counts is the truth. It is written on the condition
// that neither the count nor the last reservation has changed meanwhile. A
// deletion may be between its two steps then, and its decrement would make the
// corrected count too low; so a correction raises the epoch, and a decrement
// stands only in the epoch that its request began in.
func (s *Store) reserve(ctx context.Context, tenantID string, q project.Quota, now time.Time) (*project.Tenant, error) {
	token, corrected := project.NewToken(), false
	u := expression.Add(name(attrCount), expression.Value(1)).
		Set(name(attrCountedAt), expression.Value(stamp(now))).
		Set(name(attrCountedBy), expression.Value(token))
	when := []expression.ConditionBuilder{
		name(attrCount).LessThan(expression.Value(q.Limit)),
		expression.Or(expression.AttributeNotExists(name(attrCountedBy)), name(attrCountedBy).NotEqual(expression.Value(token))),
	}
	for race := range maxCountRaces {
		if race > 0 {
			if err := pause(ctx, backoff(min(race, 3))); err != nil {
				return nil, err
			}
		}
		item, refused, err := s.updateTenant(ctx, "counting a project", tenantID, u, when)
		if err != nil {
			return nil, err
		}
		if len(item) == 0 {
			return nil, project.Refuse(project.CodeSubscriptionMissing, nil)
		}
		var c counter
		if err := attributevalue.UnmarshalMap(item, &c); err != nil {
			return nil, fmt.Errorf("reading a tenant's count: %w", err)
		}
		if !refused || c.CountedBy == token {
			return readTenant(item)
		}
		if c.Count != nil && *c.Count < q.Limit {
			continue
		}
		last, err := unstamp(c.CountedAt)
		if err != nil {
			return nil, fmt.Errorf("reading a tenant's count: %w", err)
		}
		if c.Count != nil && (corrected || now.Sub(last) < settled) {
			return nil, q.Reached()
		}
		same, err := s.correct(ctx, tenantID, c)
		if err != nil {
			return nil, err
		}
		if same {
			return nil, q.Reached()
		}
		corrected = true
	}
	return nil, project.Refuse(project.CodeContended, nil)
}

// correct counts a tenant's projects and writes their number, if it is another
// than c's; it says whether it is the same. If c is not the counter any more,
// nothing is written.
func (s *Store) correct(ctx context.Context, tenantID string, c counter) (same bool, err error) {
	n, err := s.count(ctx, tenantID)
	if err != nil {
		return false, err
	}
	when := []expression.ConditionBuilder{expression.AttributeNotExists(name(attrCount))}
	if c.Count != nil {
		if *c.Count == n {
			return true, nil
		}
		when = []expression.ConditionBuilder{name(attrCount).Equal(expression.Value(*c.Count))}
	}
	if c.CountedAt == "" {
		when = append(when, expression.AttributeNotExists(name(attrCountedAt)))
	} else {
		when = append(when, name(attrCountedAt).Equal(expression.Value(c.CountedAt)))
	}
	_, _, err = s.updateTenant(ctx, "correcting a tenant's count", tenantID,
		expression.Set(name(attrCount), expression.Value(n)).Add(name(attrCountEpoch), expression.Value(1)), when)
	return false, err
}

// count counts a tenant's projects, strongly consistent.
func (s *Store) count(ctx context.Context, tenantID string) (int, error) {
	expr, err := expression.NewBuilder().
		WithKeyCondition(expression.Key(attrTenantID).Equal(expression.Value(tenantID))).Build()
	if err != nil {
		return 0, fmt.Errorf("building the count of projects: %w", err)
	}
	pages := dynamodb.NewQueryPaginator(s.db, &dynamodb.QueryInput{
		TableName: &s.tables.Projects, ConsistentRead: aws.Bool(true), Select: types.SelectCount,
		KeyConditionExpression:   expr.KeyCondition(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
	})
	n := 0
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return 0, fault("counting projects", err)
		}
		n += int(out.Count)
	}
	return n, nil
}

// unreserve counts one project less, unless the count was corrected since t was
// read. It is sent once and never again, for a decrement that is applied twice
// would make the count too low. One that fails leaves it too high, which heals:
// so it is nobody's concern.
func (s *Store) unreserve(ctx context.Context, t *project.Tenant) {
	epoch := expression.AttributeNotExists(name(attrCountEpoch))
	if t.CountEpoch != 0 {
		epoch = name(attrCountEpoch).Equal(expression.Value(t.CountEpoch))
	}
	_, _, _ = s.updateTenant(ctx, "counting a project less", t.ID,
		expression.Add(name(attrCount), expression.Value(-1)),
		[]expression.ConditionBuilder{name(attrCount).GreaterThan(expression.Value(0)), epoch},
		func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} })
}

// updateTenant is change for a tenant that exists.
func (s *Store) updateTenant(ctx context.Context, doing, tenantID string, u expression.UpdateBuilder, when []expression.ConditionBuilder, opts ...func(*dynamodb.Options)) (item attributes, refused bool, err error) {
	return s.change(ctx, doing, s.tables.Tenants, tenantKey(tenantID), u,
		all(append(when, expression.AttributeExists(name(attrTenantID)))...), opts...)
}
