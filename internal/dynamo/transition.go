package dynamo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"

	"rekindle/internal/project"
)

// values are what a transition's fields get. The version is not among them: it
// always grows by one.
type values map[project.Field]any

func name[S ~string](attribute S) expression.NameBuilder { return expression.Name(string(attribute)) }

// attemptName is the path of one attribute of an attempt's entry. A nested SET
// touches that entry alone, so that a report on one attempt can't undo another.
func attemptName(executionID int64, attribute string) expression.NameBuilder {
	return expression.Name(attrAttempts + "." + attemptKey(executionID) + "." + attribute)
}

// write turns a row of the state machine into an update: exactly the fields
// that the row names, and the index's shard, which exists only while running.
func write(t project.Transition, key project.Key, v values) expression.UpdateBuilder {
	u := expression.Set(name(attrStatus), expression.Value(t.To))
	for _, f := range t.Clears {
		if !slices.Contains(t.Sets, f) {
			u = u.Remove(name(f))
		}
	}
	for _, f := range t.Sets {
		if f == project.FieldVersion {
			u = u.Add(name(f), expression.Value(1))
			continue
		}
		value, ok := v[f]
		if !ok {
			panic(fmt.Sprintf("the %s transition sets %s, and the store gives it no value", t.Event, f))
		}
		u = u.Set(name(f), expression.Value(value))
	}
	switch {
	case t.To == project.Running:
		u = u.Set(name(attrShard), expression.Value(shardName(shardOf(key))))
	case t.From == project.Running:
		u = u.Remove(name(attrShard))
	}
	return u
}

// equalOrAbsent holds where the attribute has this value, or is absent for a
// zero one.
func equalOrAbsent[V comparable](attribute project.Field, v V) expression.ConditionBuilder {
	var zero V
	if v == zero {
		return expression.AttributeNotExists(name(attribute))
	}
	return name(attribute).Equal(expression.Value(v))
}

// ErrLostRace says that a project changed between its reading and its start:
// read it again and judge it anew.
var ErrLostRace = project.Refuse(project.CodeContended, nil)

// all holds where each of the conditions does. They stand side by side: chained
// by And they would nest, and each level of brackets multiplies the time that
// dynalite takes to read them.
func all(conditions ...expression.ConditionBuilder) expression.ConditionBuilder {
	if len(conditions) == 1 {
		return conditions[0]
	}
	return expression.And(conditions[0], conditions[1], conditions[2:]...)
}

// Start begins an execution: the run or restart row of the state machine and
// the attempt's entry, in one update. The oldest attempt goes where there would
// be more than [project.MaxAttempts]. It returns [ErrLostRace] if the project
// is no longer as it was read.
func (s *Store) Start(ctx context.Context, start project.Start) (*project.Project, error) {
	p, ref := start.Project, start.Ref()
	number := p.Attempt + 1
	t := start.Event.Leaves()
	u := write(t, p.Key, values{
		project.FieldExecutionID: start.ExecutionID,
		project.FieldAttempt:     number,
		project.FieldStartedAt:   stamp(start.At),
		project.FieldOutput:      start.Output,
	}).Set(name(attrAttempts+"."+attemptKey(start.ExecutionID)), expression.Value(attemptItemOf(project.Attempt{
		Number: number, StartedAt: start.At, Output: start.Output,
		StartedBy: start.Token, KeyHash: start.KeyHash, Operation: start.Event,
	})))
	history := p.History()
	for i := project.MaxAttempts - 1; i < len(history); i++ {
		u = u.Remove(name(attrAttempts + "." + attemptKey(history[i].ExecutionID)))
	}
	when := all(
		name(attrStatus).Equal(expression.Value(t.From)),
		name(project.FieldVersion).Equal(expression.Value(p.Version)),
		equalOrAbsent(project.FieldUID, p.UID),
		equalOrAbsent(project.FieldExecutionID, p.ExecutionID),
	)

	written, refused, err := s.update(ctx, "starting an execution", p.Key, u, when)
	if err != nil {
		return nil, err
	}
	if refused {
		// Our own write, met by the client's retry, is a success: even if the
		// execution has ended since.
		if written != nil && written.UID == ref.ProjectUID && written.Attempts[ref.ExecutionID].StartedBy == start.Token {
			return written, nil
		}
		return nil, ErrLostRace
	}
	return written, nil
}

// Settle ends an execution: the event's row of the state machine and the
// outcome on the attempt's entry, in one update. When the execution is not
// running any more, or a guard does not hold, it returns the project as it is
// (nil if it is gone) with [project.CodeAttemptClosed].
func (s *Store) Settle(ctx context.Context, st project.Settlement) (*project.Project, error) {
	t := st.Event.Leaves()
	id := st.Ref.ExecutionID
	v := values{
		project.FieldOutcome: st.Event.Outcome(), project.FieldCompletedAt: stamp(st.At), project.FieldError: project.ClipError(st.Error),
	}
	if st.Event == project.Succeed {
		v[project.FieldProgress] = progressItem{Percent: 100}
	}
	u := write(t, st.Ref.Key, v)
	if st.Swept != nil {
		u = u.Set(name(project.FieldSweepID), expression.Value(st.Swept.SweepID))
	}
	when := []expression.ConditionBuilder{
		name(attrStatus).Equal(expression.Value(t.From)), equalOrAbsent(project.FieldExecutionID, id),
	}
	if st.Ref.ProjectUID != "" {
		when = append(when, name(project.FieldUID).Equal(expression.Value(st.Ref.ProjectUID)))
	}
	if id != 0 {
		u = u.Set(attemptName(id, "outcome"), expression.Value(st.Event.Outcome())).
			Set(attemptName(id, "completed_at"), expression.Value(stamp(st.At))).
			Set(attemptName(id, "settled_by"), expression.Value(st.Token)).
			Set(attemptName(id, "heartbeat_at"), expression.IfNotExists(name(project.FieldHeartbeatAt), expression.Value("")))
		if st.Swept != nil {
			u = u.Set(attemptName(id, "swept"), expression.Value(sweptItemOf(st.Swept)))
		}
		if st.Event != project.Succeed {
			u = u.Set(attemptName(id, "error"), expression.Value(project.ClipError(st.Error)))
		}
	}
	if st.Runner != "" {
		when = append(when, attemptName(id, attrRunnerID).Equal(expression.Value(st.Runner)))
	}
	if st.Unclaimed {
		when = append(when, expression.AttributeNotExists(name(project.FieldClaimedAt)))
	}
	if !st.StartedAt.IsZero() {
		when = append(when, name(project.FieldStartedAt).Equal(expression.Value(stamp(st.StartedAt))))
	}
	if !st.HeartbeatAt.IsZero() {
		when = append(when, name(project.FieldHeartbeatAt).Equal(expression.Value(stamp(st.HeartbeatAt))))
	}
	if st.Extension != nil {
		when = append(when, equalOrAbsent(project.FieldExtension, seconds(*st.Extension)))
	}
	p, refused, err := s.update(ctx, "ending an execution", st.Ref.Key, u, all(when...))
	if err != nil {
		return nil, err
	}
	if refused {
		own := p != nil && (st.Ref.ProjectUID == "" || p.UID == st.Ref.ProjectUID)
		if id != 0 && own && p.Attempts[id].SettledBy == st.Token {
			return p, nil
		}
		return p, project.Refuse(project.CodeAttemptClosed, nil)
	}
	return p, nil
}

// live holds while the execution is the one that is running, and more does.
func live(ref project.Ref, more expression.ConditionBuilder) expression.ConditionBuilder {
	return all(
		name(attrStatus).Equal(expression.Value(project.Running)),
		name(project.FieldExecutionID).Equal(expression.Value(ref.ExecutionID)),
		name(project.FieldUID).Equal(expression.Value(ref.ProjectUID)),
		more,
	)
}

// Claim gives an execution to one runner, for good. The same runner asking
// again is granted again. Another gets [project.CodeAlreadyClaimed]; an
// execution that is not running any more, [project.CodeAttemptClosed].
func (s *Store) Claim(ctx context.Context, ref project.Ref, claim project.Claim, now time.Time) (*project.Project, error) {
	id, at := ref.ExecutionID, expression.Value(stamp(now))
	u := expression.Add(name(project.FieldVersion), expression.Value(1)).
		Set(name(project.FieldClaimedAt), expression.IfNotExists(name(project.FieldClaimedAt), at)).
		Set(attemptName(id, "claimed_at"), expression.IfNotExists(attemptName(id, "claimed_at"), at)).
		Set(attemptName(id, attrRunnerID), expression.Value(claim.RunnerID)).
		Set(attemptName(id, "job_id"), expression.Value(claim.JobID))
	when := live(ref, expression.Or(
		expression.AttributeNotExists(attemptName(id, attrRunnerID)),
		attemptName(id, attrRunnerID).Equal(expression.Value(claim.RunnerID)),
	))
	p, refused, err := s.update(ctx, "claiming an execution", ref.Key, u, when)
	switch {
	case err != nil:
		return nil, err
	case refused && p.Runs(ref):
		return nil, project.Refuse(project.CodeAlreadyClaimed, nil)
	case refused:
		return nil, project.Refuse(project.CodeAttemptClosed, nil)
	}
	return p, nil
}

// Heartbeat records that the runner which claimed an execution is alive, and
// how far it has come (nil: no change). It does not raise the version, for it
// changes nothing that a start judges. It refuses with
// [project.CodeAttemptClosed] once the execution is not this runner's any more.
func (s *Store) Heartbeat(ctx context.Context, ref project.Ref, runnerID string, progress *project.Progress, now time.Time) (*project.Project, error) {
	u := expression.Set(name(project.FieldHeartbeatAt), expression.Value(stamp(now)))
	if progress != nil {
		clipped := project.ClipProgress(*progress)
		u = u.Set(name(project.FieldProgress), expression.Value(progressItem(clipped)))
	}
	when := live(ref, attemptName(ref.ExecutionID, attrRunnerID).Equal(expression.Value(runnerID)))
	p, refused, err := s.update(ctx, "recording a heartbeat", ref.Key, u, when)
	if err != nil {
		return nil, err
	}
	if refused {
		return nil, project.Refuse(project.CodeAttemptClosed, nil)
	}
	return p, nil
}

// Extend adds to the limit of an execution, once. It returns [ErrLostRace] if the
// execution is not running any more, or was extended before; unless by as much:
// that may be our own write, met by the client's retry.
func (s *Store) Extend(ctx context.Context, ref project.Ref, by time.Duration) (*project.Project, error) {
	u := expression.Add(name(project.FieldVersion), expression.Value(1)).
		Set(name(project.FieldExtension), expression.Value(seconds(by))).
		Set(attemptName(ref.ExecutionID, "extension_seconds"), expression.Value(seconds(by)))
	p, refused, err := s.update(ctx, "extending an execution", ref.Key, u, live(ref, expression.AttributeNotExists(name(project.FieldExtension))))
	if err != nil {
		return nil, err
	}
	if refused && !(p.Runs(ref) && p.Extension == by) {
		return nil, ErrLostRace
	}
	return p, nil
}

// seconds is how a duration is stored.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// KeepLate keeps a result that came after its attempt had ended. The first one
// stays. An attempt that is not remembered any more, or that was another
// runner's, keeps nothing.
func (s *Store) KeepLate(ctx context.Context, ref project.Ref, runnerID string, late project.Late) error {
	id := ref.ExecutionID
	path := attemptName(id, "late")
	u := expression.Add(name(project.FieldVersion), expression.Value(1)).
		Set(path, expression.Value(lateItem{late.Outcome, project.ClipError(late.Error), stamp(late.ReceivedAt)}))
	when := all(
		name(project.FieldUID).Equal(expression.Value(ref.ProjectUID)),
		attemptName(id, attrRunnerID).Equal(expression.Value(runnerID)),
		expression.AttributeExists(attemptName(id, "outcome")),
		expression.AttributeNotExists(path),
	)
	_, _, err := s.update(ctx, "keeping a late result", ref.Key, u, when)
	return err
}
