package dynamo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/awsenv"
	"rekindle/internal/project"
)

// Tables are the tables' names. A function that does not use a table may leave
// its name empty.
type Tables struct {
	Projects string
	Tenants  string
	Sessions string
	Sweeps   string
}

// Store keeps projects, tenants, sessions and the receipts of sweeps. It is safe for concurrent use.
type Store struct {
	db     *dynamodb.Client
	tables Tables
}

// New makes a store over a client.
func New(db *dynamodb.Client, tables Tables) *Store {
	return &Store{db: db, tables: tables}
}

type attributes = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func projectKey(k project.Key) attributes {
	return attributes{attrTenantID: text(k.TenantID), attrProjectID: text(k.ProjectID)}
}

func tenantKey(tenantID string) attributes {
	return attributes{attrTenantID: text(tenantID), attrRecord: text(recordTenant)}
}

func sessionKey(tokenHash string) attributes { return attributes{attrTokenHash: text(tokenHash)} }

// fault wraps what the database answered with what was being done. What goes
// away by itself gets [project.CodeUnavailable].
func fault(doing string, err error) error {
	err = fmt.Errorf("%s: %w", doing, err)
	if awsenv.IsTransient(err) {
		return &project.Error{Code: project.CodeUnavailable, Err: err}
	}
	return err
}

// Load reads the session of a hashed token and, with the same request, the
// project and its tenant; any of them is nil where there is none. The reads are
// strongly consistent. An empty ProjectID reads no project.
func (s *Store) Load(ctx context.Context, tokenHash string, key project.Key) (*project.Session, *project.Project, *project.Tenant, error) {
	wanted := map[string]types.KeysAndAttributes{
		s.tables.Sessions: {Keys: []attributes{sessionKey(tokenHash)}, ConsistentRead: aws.Bool(true)},
		s.tables.Tenants:  {Keys: []attributes{tenantKey(key.TenantID)}, ConsistentRead: aws.Bool(true)},
	}
	if key.ProjectID != "" {
		wanted[s.tables.Projects] = types.KeysAndAttributes{Keys: []attributes{projectKey(key)}, ConsistentRead: aws.Bool(true)}
	}
	found, err := s.batchGet(ctx, wanted)
	if err != nil {
		return nil, nil, nil, fault("reading session, project and tenant", err)
	}
	var (
		session *project.Session
		p       *project.Project
		tenant  *project.Tenant
	)
	if items := found[s.tables.Sessions]; len(items) == 1 {
		if session, err = readSession(items[0]); err != nil {
			return nil, nil, nil, err
		}
	}
	if items := found[s.tables.Projects]; len(items) == 1 {
		if p, err = readProject(items[0]); err != nil {
			return nil, nil, nil, err
		}
	}
	if items := found[s.tables.Tenants]; len(items) == 1 {
		if tenant, err = readTenant(items[0]); err != nil {
			return nil, nil, nil, err
		}
	}
	return session, p, tenant, nil
}

// errUnprocessed is a batch of which DynamoDB left a part unread, again and
// again. An item that was left unread must never look like one that is not
// there.
var errUnprocessed = errors.New("keys were left unprocessed after every retry")

// batchGet reads until no key is left unprocessed.
func (s *Store) batchGet(ctx context.Context, wanted map[string]types.KeysAndAttributes) (map[string][]attributes, error) {
	found := make(map[string][]attributes, len(wanted))
	for try := range awsenv.MaxAttempts {
		if try > 0 {
			if err := pause(ctx, backoff(try)); err != nil {
				return nil, err
			}
		}
		out, err := s.db.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: wanted})
		if err != nil {
			return nil, err
		}
		for table, items := range out.Responses {
			found[table] = append(found[table], items...)
		}
		if len(out.UnprocessedKeys) == 0 {
			return found, nil
		}
		wanted = maps.Clone(out.UnprocessedKeys)
	}
	return nil, &project.Error{Code: project.CodeUnavailable, Err: errUnprocessed}
}

// backoff is 25 ms, doubled a try, with full jitter.
func backoff(try int) time.Duration {
	return rand.N(25 * time.Millisecond << min(try, 6))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Get reads a project, strongly consistent. It refuses with
// [project.CodeProjectNotFound] if there is none.
func (s *Store) Get(ctx context.Context, key project.Key) (*project.Project, error) {
	av, err := s.item(ctx, "reading a project", s.tables.Projects, projectKey(key))
	if err != nil {
		return nil, err
	}
	if av == nil {
		return nil, project.Refuse(project.CodeProjectNotFound, nil)
	}
	return readProject(av)
}

// item reads one item, strongly consistent; nil if it is not there.
func (s *Store) item(ctx context.Context, doing, table string, key attributes) (attributes, error) {
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{TableName: &table, Key: key, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fault(doing, err)
	}
	if len(out.Item) == 0 {
		return nil, nil
	}
	return out.Item, nil
}

// TouchSession records that a session was used at now. A session that has gone
// since stays gone; it is not read again, for nobody asks what became of it.
func (s *Store) TouchSession(ctx context.Context, tokenHash string, now time.Time) error {
	expr, err := expression.NewBuilder().
		WithUpdate(expression.Set(name(attrLastSeen), expression.Value(stamp(now)))).
		WithCondition(expression.AttributeExists(name(attrTokenHash))).Build()
	if err != nil {
		return fmt.Errorf("building the touch of a session: %w", err)
	}
	_, err = s.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Sessions, Key: sessionKey(tokenHash),
		UpdateExpression: expr.Update(), ConditionExpression: expr.Condition(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
	})
	if _, refused := failedCondition(err); err != nil && !refused {
		return fault("touching a session", err)
	}
	return nil
}

// failedCondition says whether err is a condition that did not hold, and the
// item as it was then, where the database sends it.
func failedCondition(err error) (attributes, bool) {
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return failed.Item, true
	}
	return nil, false
}

// change updates an item conditionally and returns it as written. Where the
// condition does not hold it returns refused, and the item as it is then: as the
// database sends it, or read again; nil if there is none.
func (s *Store) change(ctx context.Context, doing, table string, key attributes, u expression.UpdateBuilder, when expression.ConditionBuilder, opts ...func(*dynamodb.Options)) (av attributes, refused bool, err error) {
	expr, err := expression.NewBuilder().WithUpdate(u).WithCondition(when).Build()
	if err != nil {
		return nil, false, fmt.Errorf("%s: building the expression: %w", doing, err)
	}
	out, err := s.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &table, Key: key,
		UpdateExpression: expr.Update(), ConditionExpression: expr.Condition(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, opts...)
	if err == nil {
		return out.Attributes, false, nil
	}
	image, failed := failedCondition(err)
	if !failed {
		return nil, false, fault(doing, err)
	}
	if len(image) > 0 {
		return image, true, nil
	}
	image, err = s.item(ctx, doing, table, key)
	return image, true, err
}

// update is change for a project.
func (s *Store) update(ctx context.Context, doing string, key project.Key, u expression.UpdateBuilder, when expression.ConditionBuilder) (p *project.Project, refused bool, err error) {
	av, refused, err := s.change(ctx, doing, s.tables.Projects, projectKey(key), u, when)
	if err != nil || av == nil {
		return nil, refused, err
	}
	p, err = readProject(av)
	return p, refused, err
}

// put writes an item that is not there yet, and says whether it did. It did, too,
// where the item is there to the letter: our own write, met by the client's
// retry.
func (s *Store) put(ctx context.Context, table string, key attributes, item any, absent expression.ConditionBuilder) (bool, error) {
	doing := "writing an item of " + table
	av, err := attributevalue.MarshalMap(item)
	if err != nil {
		return false, fmt.Errorf("%s: %w", doing, err)
	}
	expr, err := expression.NewBuilder().WithCondition(absent).Build()
	if err != nil {
		return false, fmt.Errorf("%s: building the condition: %w", doing, err)
	}
	_, err = s.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &table, Item: av, ConditionExpression: expr.Condition(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
	})
	if err == nil {
		return true, nil
	}
	if _, refused := failedCondition(err); !refused {
		return false, fault(doing, err)
	}
	there, err := s.item(ctx, doing, table, key)
	return reflect.DeepEqual(there, av), err
}

// PutProject inserts a project that is not there yet, and says whether it did.
func (s *Store) PutProject(ctx context.Context, p *project.Project) (bool, error) {
	return s.put(ctx, s.tables.Projects, projectKey(p.Key), itemOf(p), expression.AttributeNotExists(expression.Name(attrTenantID)))
}

// PutSession inserts a session that is not there yet, or that had ended by now,
// and says whether it did.
func (s *Store) PutSession(ctx context.Context, sess *project.Session, now time.Time) (bool, error) {
	return s.put(ctx, s.tables.Sessions, sessionKey(sess.TokenHash), sessionItemOf(sess), expression.Or(
		expression.AttributeNotExists(expression.Name(attrTokenHash)),
		expression.Name("expires_at").LessThanEqual(expression.Value(stamp(now))),
		expression.Name(attrLastSeen).LessThanEqual(expression.Value(stamp(now.Add(-project.SessionIdle)))),
	))
}
