package dynamo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/project"
)

// What the operator asks of the store. Some of it reads whole tables: none of it
// is for a request of a tenant.

// ErrNoTenant is a tenant that is not there.
var ErrNoTenant = errors.New("there is no such tenant")

// ClientFromConfig makes a DynamoDB client from the SDK's own configuration: a
// person's profile or single sign-on, which [ClientFromEnv] does not know.
func ClientFromConfig(cfg aws.Config) *dynamodb.Client { return dynamodb.NewFromConfig(cfg) }

// GetTenant reads a tenant, strongly consistent. It returns [ErrNoTenant] if
// there is none.
func (s *Store) GetTenant(ctx context.Context, tenantID string) (*project.Tenant, error) {
	av, err := s.item(ctx, "reading a tenant", s.tables.Tenants, tenantKey(tenantID))
	if err != nil {
		return nil, err
	}
	if av == nil {
		return nil, ErrNoTenant
	}
	return readTenant(av)
}

// ListTenants yields every tenant, in no order. It scans the tenants' table,
// codes and claims included: half a read unit for each 4 KB that the table
// holds. After an error nothing more is yielded.
func (s *Store) ListTenants(ctx context.Context) iter.Seq2[*project.Tenant, error] {
	in, err := filteredScan(s.tables.Tenants, expression.Name(attrRecord).Equal(expression.Value(recordTenant)))
	if err != nil {
		return yieldError[*project.Tenant](fmt.Errorf("building the scan of tenants: %w", err))
	}
	return each(s.scanPages(ctx, "listing tenants", in), readTenant)
}

// SetSubscription sets the state of a tenant's subscription, or takes it away
// with [project.NoSubscription], and returns the tenant as written. What runs
// goes on running. It returns [ErrNoTenant] if there is no such tenant.
func (s *Store) SetSubscription(ctx context.Context, tenantID string, state project.Subscription) (*project.Tenant, error) {
	attr := expression.Name("subscription_state")
	update := expression.Remove(attr)
	if state != project.NoSubscription {
		update = expression.Set(attr, expression.Value(string(state)))
	}
	av, refused, err := s.change(ctx, "setting a subscription", s.tables.Tenants, tenantKey(tenantID),
		update, expression.AttributeExists(expression.Name(attrTenantID)))
	switch {
	case err != nil:
		return nil, err
	case refused:
		return nil, ErrNoTenant
	}
	return readTenant(av)
}

// Selection says which projects [Store.ListProjects] yields. Only the status
// must be set.
type Selection struct {
	Status   project.Status
	TenantID string    // this tenant's alone
	Before   time.Time // those that have had the status since before then
}

// Since returns when a project came to be in its status: when it was created,
// started or ended. The zero time is one that nobody recorded.
func Since(p *project.Project) time.Time {
	switch p.Status {
	case project.Running:
		return p.StartedAt
	case project.Completed, project.Failed:
		return p.CompletedAt
	}
	return p.CreatedAt
}

func (sel Selection) has(p *project.Project) bool {
	since := Since(p)
	return p.Status == sel.Status && (sel.TenantID == "" || p.TenantID == sel.TenantID) &&
		(sel.Before.IsZero() || !since.IsZero() && since.Before(sel.Before))
}

// ListProjects yields the projects of a selection, in no order. After an error
// nothing more is yielded.
//
// With a tenant it queries that tenant's projects. Without, the running ones
// are found by the index of running projects and read from the base table,
// where the index is late; any other status scans the projects' table: half a
// read unit for each 4 KB of it, however few are found.
func (s *Store) ListProjects(ctx context.Context, sel Selection) iter.Seq2[*project.Project, error] {
	const doing = "listing projects"
	var pages pages
	status := expression.Name(attrStatus).Equal(expression.Value(string(sel.Status)))
	switch {
	case sel.TenantID != "":
		expr, err := expression.NewBuilder().WithFilter(status).
			WithKeyCondition(expression.Key(attrTenantID).Equal(expression.Value(sel.TenantID))).Build()
		if err != nil {
			return yieldError[*project.Project](fmt.Errorf("building the query of a tenant's projects: %w", err))
		}
		pages = s.queryPages(ctx, doing, &dynamodb.QueryInput{
			TableName: &s.tables.Projects, KeyConditionExpression: expr.KeyCondition(), FilterExpression: expr.Filter(),
			ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
		})
	case sel.Status == project.Running:
		pages = s.runningPages(ctx, sel.Before)
	default:
		in, err := filteredScan(s.tables.Projects, status)
		if err != nil {
			return yieldError[*project.Project](fmt.Errorf("building the scan of projects: %w", err))
		}
		pages = s.scanPages(ctx, doing, in)
	}
	return func(yield func(*project.Project, error) bool) {
		for p, err := range each(pages, readProject) {
			if err != nil {
				yield(nil, err)
				return
			}
			if sel.has(p) && !yield(p, nil) {
				return
			}
		}
	}
}

// endOfTime comes after every start that is written.
var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// maxBatch is how many items one BatchGetItem reads (DynamoDB's limit).
const maxBatch = 100

// runningPages reads what the index nominates from the base table, shard after
// shard.
func (s *Store) runningPages(ctx context.Context, before time.Time) pages {
	if before.IsZero() {
		before = endOfTime
	}
	return func(yield func([]attributes, error) bool) {
		for shard := range project.Shards {
			for nominated, err := range s.RunningSince(ctx, shard, before) {
				if err != nil {
					yield(nil, err)
					return
				}
				for len(nominated) > 0 {
					n := min(len(nominated), maxBatch)
					items, err := s.readProjects(ctx, nominated[:n])
					if !yield(items, err) || err != nil {
						return
					}
					nominated = nominated[n:]
				}
			}
		}
	}
}

func (s *Store) readProjects(ctx context.Context, nominated []project.Candidate) ([]attributes, error) {
	keys := make([]attributes, len(nominated))
	for i, c := range nominated {
		keys[i] = projectKey(c.Key)
	}
	found, err := s.batchGet(ctx, map[string]types.KeysAndAttributes{
		s.tables.Projects: {Keys: keys, ConsistentRead: aws.Bool(true)},
	})
	if err != nil {
		return nil, fault("reading running projects", err)
	}
	return found[s.tables.Projects], nil
}

// RevokeSessions ends every session of a tenant and returns how many there
// were, those that had expired but were not cleared away included. It scans the
// sessions' table, and again until a scan finds none: a session that was being
// refreshed while the first one passed has a successor.
func (s *Store) RevokeSessions(ctx context.Context, tenantID string) (int, error) {
	in, err := filteredScan(s.tables.Sessions, expression.Name(attrTenantID).Equal(expression.Value(tenantID)))
	if err != nil {
		return 0, fmt.Errorf("building the scan of sessions: %w", err)
	}
	in.ConsistentRead = aws.Bool(true)
	revoked := 0
	for {
		found := 0
		for av, err := range each(s.scanPages(ctx, "looking for a tenant's sessions", in), readSession) {
			if err != nil {
				return revoked, err
			}
			found++
			if _, err := s.RevokeSession(ctx, av.TokenHash); err != nil {
				return revoked, err
			}
			revoked++
		}
		if found == 0 {
			return revoked, nil
		}
	}
}

// RevokeSession ends the session whose token has this hash, and says whether
// there was one.
func (s *Store) RevokeSession(ctx context.Context, tokenHash string) (bool, error) {
	expr, err := expression.NewBuilder().WithCondition(expression.AttributeExists(expression.Name(attrTokenHash))).Build()
	if err != nil {
		return false, fmt.Errorf("building the condition of a session's end: %w", err)
	}
	_, err = s.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &s.tables.Sessions, Key: sessionKey(tokenHash), ConditionExpression: expr.Condition(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
	})
	if _, refused := failedCondition(err); refused {
		return false, nil
	}
	if err != nil {
		return false, fault("revoking a session", err)
	}
	return true, nil
}

// pages are raw items as the database hands them out. A page may be empty, and
// is not the last one for that.
type pages = iter.Seq2[[]attributes, error]

func filteredScan(table string, filter expression.ConditionBuilder) (*dynamodb.ScanInput, error) {
	expr, err := expression.NewBuilder().WithFilter(filter).Build()
	if err != nil {
		return nil, err
	}
	return &dynamodb.ScanInput{
		TableName: &table, FilterExpression: expr.Filter(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
	}, nil
}

// scanPages scans to the end. It leaves in as it is.
func (s *Store) scanPages(ctx context.Context, doing string, in *dynamodb.ScanInput) pages {
	return func(yield func([]attributes, error) bool) {
		next := *in
		for {
			out, err := s.db.Scan(ctx, &next)
			if err != nil {
				yield(nil, fault(doing, err))
				return
			}
			if !yield(out.Items, nil) || len(out.LastEvaluatedKey) == 0 {
				return
			}
			next.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
}

// queryPages queries to the end. It leaves in as it is.
func (s *Store) queryPages(ctx context.Context, doing string, in *dynamodb.QueryInput) pages {
	return func(yield func([]attributes, error) bool) {
		next := *in
		for {
			out, err := s.db.Query(ctx, &next)
			if err != nil {
				yield(nil, fault(doing, err))
				return
			}
			if !yield(out.Items, nil) || len(out.LastEvaluatedKey) == 0 {
				return
			}
			next.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
}

// each reads every item of pages, up to the first error.
func each[T any](from pages, read func(attributes) (*T, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for page, err := range from {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, av := range page {
				if v, err := read(av); !yield(v, err) || err != nil {
					return
				}
			}
		}
	}
}

// yieldError yields an error and nothing else.
func yieldError[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		yield(none, err)
	}
}
