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

// An activation code is an item of its own in the tenants table, found by its
// hash alone.
const (
	recordCode     = "code"
	codeKeyPrefix  = "code#"
	attrExpiresAt  = "expires_at"
	attrRevokedAt  = "revoked_at"
	attrUsedBy     = "used_by"
	attrUsedAt     = "used_at"
	attrCodeHash   = "activation_code_hash"
	attrCodeHint   = "activation_code_hint"
	attrCodeRevoke = "activation_code_revoked_at"
)

type codeItem struct {
	TenantID  string      `dynamodbav:"tenant_id"` // codeKeyPrefix and the hash
	Record    string      `dynamodbav:"record"`
	Hash      string      `dynamodbav:"code_hash"`
	Hint      string      `dynamodbav:"hint,omitempty"`
	IssuedAt  string      `dynamodbav:"issued_at,omitempty"`
	ExpiresAt string      `dynamodbav:"expires_at,omitempty"`
	RevokedAt string      `dynamodbav:"revoked_at,omitempty"`
	UsedBy    *holderItem `dynamodbav:"used_by,omitempty"`
	UsedAt    string      `dynamodbav:"used_at,omitempty"`
}

// holderItem names the project that a code was assigned to. Token is of the
// request that last took the code for it.
type holderItem struct {
	TenantID   string `dynamodbav:"tenant_id"`
	ProjectID  string `dynamodbav:"project_id"`
	ProjectUID string `dynamodbav:"project_uid"`
	Token      string `dynamodbav:"token"`
}

func codeKey(hash string) attributes {
	return attributes{attrTenantID: text(codeKeyPrefix + hash), attrRecord: text(recordCode)}
}

// heldCode is a code as it is stored.
type heldCode struct {
	project.ActivationCode
	token string // of the holder's last request
}

// heldBy says whether a code was assigned to this incarnation of a project.
func (c *heldCode) heldBy(p *project.Project) bool {
	return c.UsedBy == p.Key && c.UsedByUID == p.UID
}

func readCode(av attributes) (*heldCode, error) {
	var it codeItem
	if err := attributevalue.UnmarshalMap(av, &it); err != nil {
		return nil, fmt.Errorf("reading an activation code: %w", err)
	}
	var s stamps
	c := &heldCode{ActivationCode: project.ActivationCode{
		Hash: it.Hash, Hint: it.Hint,
		IssuedAt: s.read("issued_at", it.IssuedAt), ExpiresAt: s.read(attrExpiresAt, it.ExpiresAt),
		RevokedAt: s.read(attrRevokedAt, it.RevokedAt), UsedAt: s.read(attrUsedAt, it.UsedAt),
	}}
	if it.UsedBy != nil {
		c.UsedBy = project.Key{TenantID: it.UsedBy.TenantID, ProjectID: it.UsedBy.ProjectID}
		c.UsedByUID, c.token = it.UsedBy.ProjectUID, it.UsedBy.Token
	}
	if s.err != nil {
		return nil, fmt.Errorf("reading an activation code: %w", s.err)
	}
	return c, nil
}

// IssueCode stores a new code: its Hash, Hint, IssuedAt and ExpiresAt. A code
// that is there already is an error.
func (s *Store) IssueCode(ctx context.Context, c project.ActivationCode) error {
	inserted, err := s.put(ctx, s.tables.Tenants, codeKey(c.Hash), codeItem{
		TenantID: codeKeyPrefix + c.Hash, Record: recordCode, Hash: c.Hash, Hint: c.Hint,
		IssuedAt: stamp(c.IssuedAt), ExpiresAt: stamp(c.ExpiresAt),
	}, expression.AttributeNotExists(expression.Name(attrTenantID)))
	if err != nil || inserted {
		return err
	}
	return errors.New("this activation code has been issued before")
}

// GetCode reads a code by its hash, strongly consistent. It refuses with
// [project.CodeActivationUnknown] if there is none.
func (s *Store) GetCode(ctx context.Context, hash string) (*project.ActivationCode, error) {
	c, err := s.heldCode(ctx, hash)
	if err != nil {
		return nil, err
	}
	return &c.ActivationCode, nil
}

func (s *Store) heldCode(ctx context.Context, hash string) (*heldCode, error) {
	av, err := s.item(ctx, "reading an activation code", s.tables.Tenants, codeKey(hash))
	if err != nil {
		return nil, err
	}
	if av == nil {
		return nil, project.Refuse(project.CodeActivationUnknown, nil)
	}
	return readCode(av)
}

// ListCodes yields every code, in no order. It reads the whole tenants table:
// it is for the operator. After an error nothing more is yielded.
func (s *Store) ListCodes(ctx context.Context) iter.Seq2[project.ActivationCode, error] {
	return func(yield func(project.ActivationCode, error) bool) {
		expr, err := expression.NewBuilder().
			WithFilter(expression.Name(attrRecord).Equal(expression.Value(recordCode))).Build()
		if err != nil {
			yield(project.ActivationCode{}, fmt.Errorf("building the scan of activation codes: %w", err))
			return
		}
		var from attributes
		for {
			out, err := s.db.Scan(ctx, &dynamodb.ScanInput{
				TableName: &s.tables.Tenants, ExclusiveStartKey: from, ConsistentRead: aws.Bool(true),
				FilterExpression: expr.Filter(), ExpressionAttributeNames: expr.Names(), ExpressionAttributeValues: expr.Values(),
			})
			if err != nil {
				yield(project.ActivationCode{}, fault("scanning for activation codes", err))
				return
			}
			for _, item := range out.Items {
				c, err := readCode(item)
				if err != nil {
					yield(project.ActivationCode{}, err)
					return
				}
				if !yield(c.ActivationCode, nil) {
					return
				}
			}
			if len(out.LastEvaluatedKey) == 0 {
				return
			}
			from = out.LastEvaluatedKey
		}
	}
}

// updateCode is change for a code.
func (s *Store) updateCode(ctx context.Context, doing, hash string, u expression.UpdateBuilder, when expression.ConditionBuilder) (c *heldCode, refused bool, err error) {
	av, refused, err := s.change(ctx, doing, s.tables.Tenants, codeKey(hash), u, when)
	if err != nil || av == nil {
		return nil, refused, err
	}
	c, err = readCode(av)
	return c, refused, err
}

// maxCodeRaces is how often a sequence that lost a race begins again.
const maxCodeRaces = 8

// AssignCode gives a code to a project as it was read, and returns the project
// with it. It refuses with [project.CodeActivationPresent] a project that holds
// another code which was not revoked, and with a code of its own each code that
// is unknown, used, expired or revoked. The code that the project holds already
// is a success.
//
// Two items change, without a transaction. First the code is taken for this
// incarnation of the project, then the project gets the code. After a crash
// between the two, the same project asking again passes the first step and does
// the second. The second step stands only at the version that was read before
// the first, so that whoever finds the project holding another code, or revokes
// the code, has nothing to fear from a sequence that stalled: it fails, and
// begins anew with the first step. A code that was taken in vain is released,
// on the condition that nobody, the same project included, has taken it since;
// where a crash came before that, the next who asks for the code releases it.
func (s *Store) AssignCode(ctx context.Context, p *project.Project, hash string, now time.Time) (*project.Project, error) {
	uid := p.UID
	for race := range maxCodeRaces {
		if race > 0 {
			if err := pause(ctx, backoff(race)); err != nil {
				return nil, err
			}
			var err error
			if p, err = s.Get(ctx, p.Key); err != nil {
				return nil, err
			}
			if p.UID != uid {
				return nil, project.Refuse(project.CodeProjectNotFound, nil)
			}
		}
		if p.Activated() {
			if p.ActivationCode == hash {
				return p, nil
			}
			if c, err := s.heldCode(ctx, hash); err == nil && c.heldBy(p) {
				if _, err := s.releaseStray(ctx, c); err != nil {
					return nil, err
				}
			}
			return nil, project.Refuse(project.CodeActivationPresent, nil)
		}
		c, err := s.takeCode(ctx, p, hash, now)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		given, err := s.giveCode(ctx, p, c)
		if project.CodeOf(err) == project.CodeContended {
			continue
		}
		return given, err
	}
	return nil, project.Refuse(project.CodeContended, nil)
}

// takeCode is the first step of [Store.AssignCode]. It returns nil where the code
// has changed hands since the refusal, or was taken in vain and has just been
// released: try again.
func (s *Store) takeCode(ctx context.Context, p *project.Project, hash string, now time.Time) (*heldCode, error) {
	holder := holderItem{p.TenantID, p.ProjectID, p.UID, project.NewToken()}
	ours := all(
		name(attrUsedBy+".tenant_id").Equal(expression.Value(p.TenantID)),
		name(attrUsedBy+".project_id").Equal(expression.Value(p.ProjectID)),
		name(attrUsedBy+".project_uid").Equal(expression.Value(p.UID)),
	)
	// Its expiry limits a code's redemption, so it does not matter any more to
	// the project that has redeemed it.
	unused := expression.AttributeNotExists(name(attrUsedBy))
	when := all(
		expression.AttributeExists(name(attrTenantID)),
		expression.AttributeNotExists(name(attrRevokedAt)),
		expression.Or(ours,
			all(unused, expression.AttributeNotExists(name(attrExpiresAt))),
			all(unused, name(attrExpiresAt).GreaterThan(expression.Value(stamp(now))))),
	)
	u := expression.Set(name(attrUsedBy), expression.Value(holder)).
		Set(name(attrUsedAt), expression.IfNotExists(name(attrUsedAt), expression.Value(stamp(now))))
	c, refused, err := s.updateCode(ctx, "taking an activation code", hash, u, when)
	switch {
	case err != nil:
		return nil, err
	case !refused:
		return c, nil
	case c == nil:
		return nil, project.Refuse(project.CodeActivationUnknown, nil)
	case !c.RevokedAt.IsZero():
		return nil, project.Refuse(project.CodeActivationCodeRevoked, nil)
	case c.UsedBy == project.Key{}:
		return nil, c.Check(now) // if it may be assigned, it has become free since
	case c.heldBy(p):
		return nil, nil // a twin has taken it since
	}
	released, err := s.releaseStray(ctx, c)
	if err != nil || released {
		return nil, err
	}
	return nil, project.Refuse(project.CodeActivationUsed, nil)
}

// giveCode is the second step of [Store.AssignCode]. It refuses with
// [project.CodeContended] where the project has changed in a way that does not
// settle the matter.
func (s *Store) giveCode(ctx context.Context, p *project.Project, c *heldCode) (*project.Project, error) {
	u := expression.Add(name(project.FieldVersion), expression.Value(1)).
		Set(name(attrCodeHash), expression.Value(c.Hash)).
		Set(name(attrCodeHint), expression.Value(c.Hint)).
		Remove(name(attrCodeRevoke))
	when := all(
		expression.AttributeExists(name(attrTenantID)),
		equalOrAbsent(project.FieldUID, p.UID),
		name(project.FieldVersion).Equal(expression.Value(p.Version)),
	)
	given, refused, err := s.update(ctx, "assigning an activation code", p.Key, u, when)
	switch {
	case err != nil:
		return nil, err
	case !refused:
		return given, nil
	case given == nil || given.UID != p.UID:
		return nil, s.release(ctx, c, project.Refuse(project.CodeProjectNotFound, nil))
	case given.Activated() && given.ActivationCode == c.Hash:
		return given, nil // our own write, or a twin's
	case given.Activated():
		return nil, s.release(ctx, c, project.Refuse(project.CodeActivationPresent, nil))
	}
	return nil, ErrLostRace
}

// release frees a code that was taken in vain, and returns why, or what went
// wrong.
func (s *Store) release(ctx context.Context, c *heldCode, why error) error {
	_, _, err := s.updateCode(ctx, "releasing an activation code", c.Hash,
		expression.Remove(name(attrUsedBy)).Remove(name(attrUsedAt)),
		name(attrUsedBy+".token").Equal(expression.Value(c.token)))
	if err != nil {
		return err
	}
	return why
}

// releaseStray frees a code that was taken for a project which holds another
// one: a sequence broke off before it could release the code. It must have been
// read before, for the project is read here: an assignment that goes on at a
// later version of the project has taken the code anew, and the release fails.
func (s *Store) releaseStray(ctx context.Context, c *heldCode) (bool, error) {
	holder, err := s.Get(ctx, c.UsedBy)
	if project.CodeOf(err) == project.CodeProjectNotFound {
		return false, nil // used up: a code is for one project
	}
	if err != nil {
		return false, err
	}
	if holder.UID != c.UsedByUID || !holder.Activated() || holder.ActivationCode == c.Hash {
		return false, nil
	}
	return true, s.release(ctx, c, nil)
}

// RevokeCode revokes a code for good: first the code itself, so that it can't be
// assigned any more, and then on the project that holds it, so that it can't be
// run by it. After a crash between the two, revoking again does the rest; the
// first revocation's time stays. It refuses with
// [project.CodeActivationUnknown] if there is no such code.
func (s *Store) RevokeCode(ctx context.Context, hash string, now time.Time) error {
	c, refused, err := s.updateCode(ctx, "revoking an activation code", hash,
		expression.Set(name(attrRevokedAt), expression.IfNotExists(name(attrRevokedAt), expression.Value(stamp(now)))),
		expression.AttributeExists(name(attrTenantID)))
	if err != nil {
		return err
	}
	if refused {
		return project.Refuse(project.CodeActivationUnknown, nil)
	}
	if c.UsedBy == (project.Key{}) {
		return nil
	}
	held := equalOrAbsent(project.FieldUID, c.UsedByUID).
		And(name(attrCodeHash).Equal(expression.Value(hash)))
	for race := range maxCodeRaces {
		if race > 0 {
			if err := pause(ctx, backoff(race)); err != nil {
				return err
			}
		}
		p, refused, err := s.update(ctx, "revoking a project's activation code", c.UsedBy,
			raiseVersion().Set(name(attrCodeRevoke), expression.IfNotExists(name(attrCodeRevoke), expression.Value(stamp(c.RevokedAt)))), held)
		if err != nil || !refused || p == nil || p.UID != c.UsedByUID {
			return err
		}
		if p.ActivationCode == hash {
			continue
		}
		// It may be about to get the code: a raised version makes that fail.
		_, refused, err = s.update(ctx, "voiding a stalled assignment", c.UsedBy, raiseVersion(),
			equalOrAbsent(project.FieldUID, c.UsedByUID).And(name(project.FieldVersion).Equal(expression.Value(p.Version))))
		if err != nil || !refused {
			return err
		}
	}
	return project.Refuse(project.CodeContended, nil)
}
