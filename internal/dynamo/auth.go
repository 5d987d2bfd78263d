package dynamo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/project"
)

// A tenant's slug is claimed by an item of its own in the tenants table, and a
// slug's login code is an item of the sessions table. The latter has a TTL:
// anybody can make a login record, by asking for a slug that is nobody's, and
// none must stay.
const (
	recordSlug     = "slug"
	slugKeyPrefix  = "slug#"
	loginKeyPrefix = "login#"

	attrOwner      = "owner"
	attrReplacedBy = "replaced_by"

	attrLoginHash   = "login_code_hash"
	attrLoginTenant = "login_tenant"
	attrTries       = "tries"
	attrTriedBy     = "tried_by"
	attrUsedByReq   = "used_by_request"
	attrTTL         = "ttl"
)

// issuedAttrs hold the last [project.MaxLoginCodes] issues, oldest first: the
// stamp and the request token of each.
var issuedAttrs = [project.MaxLoginCodes]string{"issued_1", "issued_2", "issued_3"}

type slugItem struct {
	TenantID string `dynamodbav:"tenant_id"` // slugKeyPrefix and the slug
	Record   string `dynamodbav:"record"`
	Owner    string `dynamodbav:"owner"` // the tenant's id
}

func slugKey(slug string) attributes {
	return attributes{attrTenantID: text(slugKeyPrefix + slug), attrRecord: text(recordSlug)}
}

// loginKey can't be that of a session: a token's hash is hexadecimal.
func loginKey(slug string) attributes { return sessionKey(loginKeyPrefix + slug) }

// PutTenant inserts a tenant that is not there yet, and says whether it did. It
// does not where another tenant has the slug.
//
// The slug is claimed first, and the claim stays if what follows is cut off:
// putting the same tenant again heals that. So does putting one that is there
// but has no claim, as those from before there were claims. A tenant without a
// slug can't sign in.
func (s *Store) PutTenant(ctx context.Context, t *project.Tenant) (bool, error) {
	there, err := s.GetTenant(ctx, t.ID)
	if err != nil && !errors.Is(err, ErrNoTenant) {
		return false, err
	}
	if there != nil && there.Slug != t.Slug {
		return false, s.dropClaim(ctx, t.Slug, t.ID)
	}
	if t.Slug != "" {
		if ours, err := s.claimSlug(ctx, t.Slug, t.ID); err != nil || !ours {
			return false, err
		}
	}
	if there != nil {
		return false, nil
	}
	item := tenantItem{
		TenantID: t.ID, Record: recordTenant, Name: t.Name, Slug: t.Slug, Email: t.Email, Subscription: t.Subscription,
		CreatedBy: project.NewToken(),
	}
	inserted, err := s.put(ctx, s.tables.Tenants, tenantKey(t.ID), item, expression.AttributeNotExists(expression.Name(attrTenantID)))
	if err != nil || inserted {
		return inserted, err
	}
	now, err := s.item(ctx, "reading a tenant", s.tables.Tenants, tenantKey(t.ID))
	if err != nil {
		return false, err
	}
	if textOf(now["slug"]) != t.Slug {
		// One of the same id and another slug came first: it needs no second
		// name. The claim may go, for no tenant of that id will have this slug.
		return false, s.dropClaim(ctx, t.Slug, t.ID)
	}
	return false, nil
}

// claimSlug makes a slug a tenant's, and says whether it is.
func (s *Store) claimSlug(ctx context.Context, slug, tenantID string) (bool, error) {
	owner := expression.Name(attrOwner)
	return s.put(ctx, s.tables.Tenants, slugKey(slug), slugItem{slugKeyPrefix + slug, recordSlug, tenantID},
		expression.Or(expression.AttributeNotExists(expression.Name(attrTenantID)), owner.Equal(expression.Value(tenantID))))
}

// dropClaim gives up a slug of a tenant that has another.
func (s *Store) dropClaim(ctx context.Context, slug, tenantID string) error {
	if slug == "" {
		return nil
	}
	expr, err := expression.NewBuilder().
		WithCondition(expression.Name(attrOwner).Equal(expression.Value(tenantID))).Build()
	if err != nil {
		return fmt.Errorf("building the condition of a slug's release: %w", err)
	}
	_, err = s.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &s.tables.Tenants, Key: slugKey(slug), ConditionExpression: expr.Condition(),
		ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
	})
	if _, refused := failedCondition(err); err != nil && !refused {
		return fault("releasing a slug", err)
	}
	return nil
}

func textOf(av types.AttributeValue) string {
	s, _ := av.(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

// TenantBySlug reads the tenant that has a slug, strongly consistent; nil if
// none has. Both take two reads, so that neither can be told by the time.
func (s *Store) TenantBySlug(ctx context.Context, slug string) (*project.Tenant, error) {
	claim, err := s.item(ctx, "reading a slug", s.tables.Tenants, slugKey(slug))
	if err != nil {
		return nil, err
	}
	owner := textOf(claim[attrOwner])
	if owner == "" {
		owner = slugKeyPrefix + slug // which has no record "tenant"
	}
	av, err := s.item(ctx, "reading a tenant", s.tables.Tenants, tenantKey(owner))
	if err != nil || len(av) == 0 {
		return nil, err
	}
	t, err := readTenant(av)
	if err != nil || t.Slug != slug {
		return nil, err
	}
	return t, nil
}

// noTenant is the tenant of a login record whose slug nobody has. No tenant's id
// begins with a hyphen.
const noTenant = "-"

type loginItem struct {
	TokenHash string `dynamodbav:"token_hash"` // loginKeyPrefix and the slug
	Tenant    string `dynamodbav:"login_tenant,omitempty"`
	CodeHash  string `dynamodbav:"login_code_hash,omitempty"`
	ExpiresAt string `dynamodbav:"expires_at,omitempty"`
	Tries     int    `dynamodbav:"tries"`
	TriedBy   string `dynamodbav:"tried_by,omitempty"`
}

func readLogin(slug string, av attributes) (*project.Login, loginItem, error) {
	var it loginItem
	if err := attributevalue.UnmarshalMap(av, &it); err != nil {
		return nil, it, fmt.Errorf("reading a login record: %w", err)
	}
	expires, err := unstamp(it.ExpiresAt)
	if err != nil {
		return nil, it, fmt.Errorf("reading a login record: attribute expires_at: %w", err)
	}
	if it.Tenant == noTenant {
		it.Tenant = ""
	}
	return &project.Login{Slug: slug, TenantID: it.Tenant, CodeHash: it.CodeHash, ExpiresAt: expires, Tries: it.Tries}, it, nil
}

// IssueLogin puts a new code in the place of a slug's last one. It refuses with
// [project.CodeLoginRateLimited] where [project.MaxLoginCodes] have been issued
// in the last [project.LoginCodeWindow]. One conditional update does both, so
// that no number of requests at once gets more. A slug that is no tenant's is
// counted alike: l has no TenantID then.
func (s *Store) IssueLogin(ctx context.Context, l project.Login, now time.Time, token string) error {
	const doing = "issuing a login code"
	oldest, newest := issuedAttrs[0], issuedAttrs[len(issuedAttrs)-1]
	entry := stamp(now) + " " + token
	u := expression.
		Set(name(attrLoginHash), expression.Value(l.CodeHash)).
		Set(name(attrLoginTenant), expression.Value(cmp.Or(l.TenantID, noTenant))).
		Set(name(attrExpiresAt), expression.Value(stamp(l.ExpiresAt))).
		Set(name(attrTries), expression.Value(0)).
		Set(name(attrTTL), expression.Value(now.Add(2*project.LoginCodeWindow).Unix())).
		Remove(name(attrUsedByReq)).Remove(name(attrTriedBy))
	// Each moves up one place; the oldest, which has left the window, goes.
	for i := range issuedAttrs[1:] {
		u = u.Set(name(issuedAttrs[i]), expression.IfNotExists(name(issuedAttrs[i+1]), expression.Value("0")))
	}
	u = u.Set(name(newest), expression.Value(entry))
	// An entry begins with its stamp, and so sorts after it.
	left := expression.Value(stamp(now.Add(-project.LoginCodeWindow + time.Millisecond)))
	when := []expression.ConditionBuilder{expression.AttributeNotExists(name(oldest)).Or(name(oldest).LessThan(left))}
	for _, a := range issuedAttrs {
		when = append(when, name(a).Equal(expression.Value(entry)).Not())
	}
	av, refused, err := s.change(ctx, doing, s.tables.Sessions, loginKey(l.Slug), u, all(when...))
	if err != nil || !refused {
		return err
	}
	if slices.ContainsFunc(issuedAttrs[:], func(a string) bool { return textOf(av[a]) == entry }) {
		return nil // our own write, met by the client's retry
	}
	first := textOf(av[oldest])
	began, err := unstamp(first[:min(len(first), len(stampFormat))])
	if err != nil {
		return fmt.Errorf("reading a login record: attribute %s: %w", oldest, err)
	}
	// At least a second, rounded up: whoever waits that long is not refused.
	wait := began.Add(project.LoginCodeWindow).Sub(now)
	seconds := max(1, int64((wait+time.Second-1)/time.Second))
	return project.Refuse(project.CodeLoginRateLimited, project.Fields{"retry_after_seconds": seconds})
}

// TryLogin counts a try of a slug's code, and returns the record for the code to
// be compared with. Since it counts first, no number of guesses at once gets
// more than [project.MaxLoginTries]. It refuses with [project.CodeLoginCodeSpent]
// where they are used up, and with [project.CodeLoginCodeWrong] where there is
// no code that could be tried.
func (s *Store) TryLogin(ctx context.Context, slug string, now time.Time, token string) (*project.Login, error) {
	u := expression.Add(name(attrTries), expression.Value(1)).Set(name(attrTriedBy), expression.Value(token))
	when := all(
		expression.AttributeExists(name(attrLoginHash)),
		name(attrExpiresAt).GreaterThan(expression.Value(stamp(now))),
		name(attrTries).LessThan(expression.Value(project.MaxLoginTries)),
		name(attrTriedBy).Equal(expression.Value(token)).Not(),
	)
	av, refused, err := s.change(ctx, "counting a login", s.tables.Sessions, loginKey(slug), u, when)
	if err != nil {
		return nil, err
	}
	l, it, err := readLogin(slug, av)
	switch {
	case err != nil:
		return nil, err
	case !refused || it.TriedBy == token: // the latter is our own write, met by the client's retry
		return l, nil
	case l.CodeHash != "" && now.Before(l.ExpiresAt) && l.Tries >= project.MaxLoginTries:
		return nil, project.Refuse(project.CodeLoginCodeSpent, nil)
	}
	return nil, project.Refuse(project.CodeLoginCodeWrong, nil)
}

// UseLogin uses up the code that l holds. It refuses with
// [project.CodeLoginCodeWrong] where another request has, or another code was
// issued since.
func (s *Store) UseLogin(ctx context.Context, l *project.Login, token string) error {
	u := expression.Remove(name(attrLoginHash)).Set(name(attrUsedByReq), expression.Value(token))
	av, refused, err := s.change(ctx, "using a login code", s.tables.Sessions, loginKey(l.Slug), u,
		name(attrLoginHash).Equal(expression.Value(l.CodeHash)))
	if err != nil || !refused || textOf(av[attrUsedByReq]) == token {
		return err
	}
	return project.Refuse(project.CodeLoginCodeWrong, nil)
}

// CreateSession writes a new session. Its token is random, so that it can meet
// only itself.
func (s *Store) CreateSession(ctx context.Context, sess *project.Session) error {
	av, err := attributevalue.MarshalMap(sessionItemOf(sess))
	if err != nil {
		return fmt.Errorf("writing a session: %w", err)
	}
	if _, err := s.db.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.tables.Sessions, Item: av}); err != nil {
		return fault("writing a session", err)
	}
	return nil
}

// RotateSession puts a new session in the place of one that is live at now. It
// refuses with [project.CodeSessionInvalid] where that one has ended: of two
// requests at once, one succeeds.
//
// The new one is written first, when nobody knows its token, and deleted again
// if the old one has gone. So whoever ends a tenant's sessions meanwhile finds
// one of the two; see [Store.RevokeSessions].
func (s *Store) RotateSession(ctx context.Context, oldHash string, next *project.Session, now time.Time, token string) error {
	if err := s.CreateSession(ctx, next); err != nil {
		return err
	}
	u := expression.Set(name(attrExpiresAt), expression.Value(stamp(now))).Set(name(attrReplacedBy), expression.Value(token))
	when := name(attrExpiresAt).GreaterThan(expression.Value(stamp(now))).And(expression.AttributeNotExists(name(attrReplacedBy)))
	av, refused, err := s.change(ctx, "replacing a session", s.tables.Sessions, sessionKey(oldHash), u, when)
	if err != nil {
		return err
	}
	if refused && textOf(av[attrReplacedBy]) != token {
		if _, err := s.RevokeSession(ctx, next.TokenHash); err != nil {
			return err
		}
		return project.Refuse(project.CodeSessionInvalid, nil)
	}
	// It is dead. Its item has only to be cleared away, and the TTL does that
	// where this does not.
	_, _ = s.RevokeSession(ctx, oldHash)
	return nil
}
