package dynamo

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"

	"rekindle/internal/project"
)

// TakeTrialSlot makes the tenant's slot name the execution that start is about
// to begin, and returns the project as start must leave it (its version may
// have grown). It refuses with [project.CodeTrialSlotTaken] while the execution
// that the slot names is running, and returns [ErrLostRace] when tenant or
// project are no longer as they were read.
//
// Nobody releases a slot: it counts only while its project runs its execution.
// What makes that safe is the order. A request takes the slot first and starts
// after; so a slot whose execution is not running belongs to one that has
// ended, or to a request that has stalled between the two. Raising the version
// of the project that the slot names makes such a stalled start fail, whenever
// it comes; only then is the slot taken, on the condition that it is still the
// one that was judged.
func (s *Store) TakeTrialSlot(ctx context.Context, tenant *project.Tenant, start project.Start) (*project.Project, error) {
	p, old := start.Project, tenant.TrialSlot
	if old != nil {
		var err error
		if old.ProjectID == p.ProjectID {
			p, err = s.voidOwn(ctx, p, *old)
		} else {
			err = s.voidOther(ctx, tenant.ID, *old)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, s.takeSlot(ctx, tenant, start)
}

// voidOwn makes a stalled start of p fail. If the slot's execution did start
// there is none, for p has it among its attempts or has since started others.
func (s *Store) voidOwn(ctx context.Context, p *project.Project, slot project.TrialSlot) (*project.Project, error) {
	if slot.ProjectUID != p.UID || p.ExecutionID >= slot.ExecutionID {
		return p, nil
	}
	when := name(project.FieldVersion).Equal(expression.Value(p.Version)).
		And(equalOrAbsent(project.FieldUID, p.UID)).
		And(name(attrStatus).Equal(expression.Value(p.Status)))
	raised, refused, err := s.update(ctx, "voiding a stalled start", p.Key, raiseVersion(), when)
	if err != nil {
		return nil, err
	}
	if refused {
		return nil, ErrLostRace
	}
	return raised, nil
}

// voidOther makes a stalled start of another project fail, unless that project
// is running the slot's execution: then the slot is taken.
func (s *Store) voidOther(ctx context.Context, tenantID string, slot project.TrialSlot) error {
	key := project.Key{TenantID: tenantID, ProjectID: slot.ProjectID}
	running := name(attrStatus).Equal(expression.Value(project.Running)).
		And(name(project.FieldExecutionID).Equal(expression.Value(slot.ExecutionID)))
	when := all(equalOrAbsent(project.FieldUID, slot.ProjectUID), expression.AttributeExists(name(attrTenantID)), running.Not())
	other, refused, err := s.update(ctx, "voiding a stalled start of another project", key, raiseVersion(), when)
	if err != nil {
		return err
	}
	ref := project.Ref{Key: key, ProjectUID: slot.ProjectUID, ExecutionID: slot.ExecutionID}
	if refused && other.Runs(ref) {
		return project.Refuse(project.CodeTrialSlotTaken, project.Fields{"running_project_id": slot.ProjectID})
	}
	// Refused otherwise: the project is gone, or made again, and a start of the
	// old one can't succeed any more.
	return nil
}

func raiseVersion() expression.UpdateBuilder {
	return expression.Add(name(project.FieldVersion), expression.Value(1))
}

func (s *Store) takeSlot(ctx context.Context, tenant *project.Tenant, start project.Start) error {
	ref := start.Ref()
	slot := slotItem{ref.ProjectID, ref.ProjectUID, ref.ExecutionID, start.Token}
	when := []expression.ConditionBuilder{expression.AttributeExists(name(attrTenantID))}
	if old := tenant.TrialSlot; old == nil {
		when = append(when, expression.AttributeNotExists(name(attrTrialSlot)))
	} else {
		when = append(when,
			name(attrTrialSlot+".execution_id").Equal(expression.Value(old.ExecutionID)),
			name(attrTrialSlot+".token").Equal(expression.Value(old.Token)))
	}
	av, refused, err := s.change(ctx, "taking the trial slot", s.tables.Tenants, tenantKey(tenant.ID),
		expression.Set(name(attrTrialSlot), expression.Value(slot)), all(when...))
	if err != nil || !refused {
		return err
	}
	now, err := readTenant(av)
	if err != nil {
		return err
	}
	// Our own write, met by the client's retry.
	if now.TrialSlot != nil && *now.TrialSlot == project.TrialSlot(slot) {
		return nil
	}
	return ErrLostRace
}
