package dynamo

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/project"
)

const (
	indexByCreated = "created-at"
	attrCreatedAt  = "created_at"
	attrWrittenBy  = "written_by"
	attrObjectives = "objectives"
)

// listed is what a list shows of a project. Its attempts can be large.
var listed = []string{
	attrTenantID, attrProjectID, string(project.FieldUID), string(project.FieldVersion), "name", "description", attrCreatedAt,
	attrCodeHash, attrCodeRevoke, attrStatus, string(project.FieldExecutionID), string(project.FieldAttempt),
	string(project.FieldStartedAt), string(project.FieldCompletedAt), string(project.FieldError), string(project.FieldProgress),
}

// Projects yields a tenant's projects, newest first, without their attempts. It
// is strongly consistent, and queries page by page only as far as it is asked.
// After an error nothing more is yielded.
func (s *Store) Projects(ctx context.Context, l project.Listing) iter.Seq2[*project.Project, error] {
	return func(yield func(*project.Project, error) bool) {
		in, err := s.listQuery(l)
		if err != nil {
			yield(nil, err)
			return
		}
		for {
			out, err := s.db.Query(ctx, in)
			if err != nil {
				yield(nil, fault("listing projects", err))
				return
			}
			if l.Texts {
				if err := s.addObjectives(ctx, out.Items); err != nil {
					yield(nil, err)
					return
				}
			}
			for _, item := range out.Items {
				p, err := readProject(item)
				if !yield(p, err) || err != nil {
					return
				}
			}
			if len(out.LastEvaluatedKey) == 0 {
				return
			}
			in.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
}

// addObjectives reads the objectives of listed projects, which the index does not
// hold. DynamoDB would fetch them if the query named them; the databases that
// tests and developers use would leave them out without a word. A project that
// has gone since has none.
func (s *Store) addObjectives(ctx context.Context, listed []attributes) error {
	for some := range slices.Chunk(listed, maxBatch) {
		wanted := types.KeysAndAttributes{
			ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String(attrTenantID + ", " + attrProjectID + ", " + attrObjectives),
		}
		byID := make(map[string]attributes, len(some))
		for _, item := range some {
			wanted.Keys = append(wanted.Keys, attributes{attrTenantID: item[attrTenantID], attrProjectID: item[attrProjectID]})
			byID[textOf(item[attrProjectID])] = item
		}
		found, err := s.batchGet(ctx, map[string]types.KeysAndAttributes{s.tables.Projects: wanted})
		if err != nil {
			return fault("reading objectives", err)
		}
		for _, item := range found[s.tables.Projects] {
			if objectives, ok := item[attrObjectives]; ok {
				byID[textOf(item[attrProjectID])][attrObjectives] = objectives
			}
		}
	}
	return nil
}

func (s *Store) listQuery(l project.Listing) (*dynamodb.QueryInput, error) {
	var fields expression.ProjectionBuilder
	for _, f := range listed {
		fields = fields.AddNames(expression.Name(f))
	}
	b := expression.NewBuilder().WithProjection(fields).
		WithKeyCondition(expression.Key(attrTenantID).Equal(expression.Value(l.TenantID)))
	if l.Status != project.None {
		b = b.WithFilter(name(attrStatus).Equal(expression.Value(l.Status)))
	}
	expr, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("building the list of projects: %w", err)
	}
	in := &dynamodb.QueryInput{
		TableName: &s.tables.Projects, IndexName: aws.String(indexByCreated),
		ScanIndexForward: aws.Bool(false), ConsistentRead: aws.Bool(true),
		KeyConditionExpression: expr.KeyCondition(), FilterExpression: expr.Filter(), ProjectionExpression: expr.Projection(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
	}
	if l.PageSize > 0 {
		in.Limit = aws.Int32(int32(l.PageSize))
	}
	if l.After != (project.Position{}) {
		in.ExclusiveStartKey = projectKey(project.Key{TenantID: l.TenantID, ProjectID: l.After.ProjectID})
		in.ExclusiveStartKey[attrCreatedAt] = text(stamp(l.After.CreatedAt))
	}
	return in, nil
}

// CreateProject inserts a project under its id, or where that is taken under the
// first of id-2, id-3 … that is free, and returns it as it stands. Beyond the
// tenant's quota it refuses, and with [project.CodeProjectIDsTaken] where
// [project.MaxNamesakes] ids are taken. See [Store.reserve] for how the quota is
// kept.
func (s *Store) CreateProject(ctx context.Context, p *project.Project, q project.Quota) (*project.Project, error) {
	t, err := s.reserve(ctx, p.TenantID, q, p.CreatedAt)
	if err != nil {
		return nil, err
	}
	created, err := s.insertNumbered(ctx, *p)
	if project.CodeOf(err) == project.CodeProjectIDsTaken {
		// Only here is it certain that nothing was inserted. After another
		// error the count may be one too high, which heals.
		s.unreserve(ctx, t)
	}
	return created, err
}

// insertNumbered finds an id by inserting: an id that a look has found free may
// be taken by then. One look, after the first failure, skips those that are
// taken for long.
func (s *Store) insertNumbered(ctx context.Context, p project.Project) (*project.Project, error) {
	slug := p.ProjectID
	var taken map[string]bool
	for n := 1; n <= project.MaxNamesakes; n++ {
		p.ProjectID = project.NumberedID(slug, n)
		if taken[p.ProjectID] {
			continue
		}
		inserted, err := s.insert(ctx, &p)
		if err != nil {
			return nil, err
		}
		if inserted {
			return &p, nil
		}
		if taken == nil {
			if taken, err = s.namesakes(ctx, p.TenantID, slug); err != nil {
				return nil, err
			}
		}
	}
	return nil, project.Refuse(project.CodeProjectIDsTaken, nil)
}

// insert puts a project that is not there yet. Our own write, met by the
// client's retry, has our uid.
func (s *Store) insert(ctx context.Context, p *project.Project) (bool, error) {
	inserted, err := s.PutProject(ctx, p)
	if err != nil || inserted {
		return inserted, err
	}
	there, err := s.Get(ctx, p.Key)
	if project.CodeOf(err) == project.CodeProjectNotFound {
		return false, nil
	}
	return err == nil && there.UID == p.UID, err
}

// namesakes returns the ids that begin with slug and a hyphen.
func (s *Store) namesakes(ctx context.Context, tenantID, slug string) (map[string]bool, error) {
	expr, err := expression.NewBuilder().WithKeyCondition(
		expression.Key(attrTenantID).Equal(expression.Value(tenantID)).
			And(expression.Key(attrProjectID).BeginsWith(slug + "-")),
	).WithProjection(expression.NamesList(expression.Name(attrProjectID))).Build()
	if err != nil {
		return nil, fmt.Errorf("building the search for namesakes: %w", err)
	}
	ids := map[string]bool{}
	pages := dynamodb.NewQueryPaginator(s.db, &dynamodb.QueryInput{
		TableName: &s.tables.Projects, ConsistentRead: aws.Bool(true),
		KeyConditionExpression: expr.KeyCondition(), ProjectionExpression: expr.Projection(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
	})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fault("looking for namesakes", err)
		}
		for _, item := range out.Items {
			var it projectItem
			if err := attributevalue.UnmarshalMap(item, &it); err != nil {
				return nil, fmt.Errorf("reading a project's id: %w", err)
			}
			ids[it.ProjectID] = true
		}
	}
	return ids, nil
}

// idle are the conditions that hold while no execution of the project is
// running.
func idle(p *project.Project) []expression.ConditionBuilder {
	return []expression.ConditionBuilder{
		expression.AttributeExists(name(attrTenantID)),
		equalOrAbsent(project.FieldUID, p.UID),
		name(attrStatus).NotEqual(expression.Value(project.Running)),
	}
}

// EditProject writes a draft over a project as it was read. With anyVersion it
// stands whatever was written in between. It refuses with
// [project.CodeVersionStale], with [project.CodeProjectRunning] while the
// project runs, and with [project.CodeProjectNotFound]. Token is the request's.
func (s *Store) EditProject(ctx context.Context, p *project.Project, d project.Draft, anyVersion bool, token string) (*project.Project, error) {
	u := raiseVersion().Set(name(attrWrittenBy), expression.Value(token))
	for _, f := range []struct{ attribute, value string }{
		{"name", d.Name}, {"description", d.Description}, {attrObjectives, d.Objectives},
	} {
		if f.value == "" {
			u = u.Remove(name(f.attribute)) // as in an item that never had it
			continue
		}
		u = u.Set(name(f.attribute), expression.Value(f.value))
	}
	when := idle(p)
	if !anyVersion {
		when = append(when, name(project.FieldVersion).Equal(expression.Value(p.Version)))
	}
	now, refused, err := s.update(ctx, "editing a project", p.Key, u, all(when...))
	switch {
	case err != nil:
		return nil, err
	case !refused:
		return now, nil
	case now == nil || now.UID != p.UID:
		return nil, project.Refuse(project.CodeProjectNotFound, nil)
	case now.WrittenBy == token:
		return now, nil // our own write, met by the client's retry
	case now.Status == project.Running:
		return nil, project.Refuse(project.CodeProjectRunning, project.Fields{"action": "editing"})
	}
	return nil, project.Refuse(project.CodeVersionStale, project.Fields{"version": now.Version})
}

// DeleteProject deletes a project, unless it is running: then it refuses with
// [project.CodeProjectRunning]. A project that has gone since it was read is a
// success. The tenant is as it was read before.
func (s *Store) DeleteProject(ctx context.Context, p *project.Project, t *project.Tenant) error {
	expr, err := expression.NewBuilder().WithCondition(all(idle(p)...)).Build()
	if err != nil {
		return fmt.Errorf("building the deletion of a project: %w", err)
	}
	_, err = s.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &s.tables.Projects, Key: projectKey(p.Key), ConditionExpression: expr.Condition(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
	})
	if _, refused := failedCondition(err); refused {
		now, err := s.Get(ctx, p.Key)
		switch {
		case project.CodeOf(err) == project.CodeProjectNotFound || err == nil && now.UID != p.UID:
			// By another's deletion, or by our own, met by the client's retry:
			// then the count stays one too high, which heals.
			return nil
		case err != nil:
			return err
		case now.Status == project.Running:
			return project.Refuse(project.CodeProjectRunning, project.Fields{"action": "deleting"})
		}
		return ErrLostRace
	}
	if err != nil {
		return fault("deleting a project", err)
	}
	if t != nil {
		s.unreserve(ctx, t)
	}
	return nil
}
