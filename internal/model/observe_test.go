package model_test

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/project"
)

// item is a project as it is stored.
type item map[string]any

func (i item) text(name string) string { s, _ := i[name].(string); return s }

func (i item) number(name string) int64 { n, _ := i[name].(float64); return int64(n) }

func (i item) has(name string) bool { _, ok := i[name]; return ok }

func (i item) status() project.Status { return project.Status(i.text("execution_status")) }

func (i item) executionID() int64 { return i.number("execution_id") }

func (i item) attempts() map[string]any { m, _ := i["attempts"].(map[string]any); return m }

// started is when the present execution began; the zero time where there is none.
func (i item) started() time.Time {
	t, _ := time.Parse(time.RFC3339, i.text("execution_started_at"))
	return t
}

// timesOutAt is when the present execution is over its limit and its extension.
func (i item) timesOutAt() time.Time {
	return i.started().Add(project.DefaultTimeout + time.Duration(i.number("execution_extension_seconds"))*time.Second)
}

// attempt returns the entry of an execution; nil if it is not remembered.
func (i item) attempt(id int64) item {
	m, _ := i.attempts()[strconv.FormatInt(id, 10)].(map[string]any)
	return m
}

// runs says whether the execution that ref names is running.
func (i item) runs(ref project.Ref) bool {
	return i != nil && i.status() == project.Running && i.executionID() == ref.ExecutionID && i.text("project_uid") == ref.ProjectUID
}

// What a single write did.
const (
	created  = "create"
	deleted  = "delete"
	began    = "start"
	settled  = "settle"
	claimed  = "claim"
	beat     = "heartbeat"
	keptLate = "late"
	extended = "extend"
	voided   = "void"
)

// change is one write to one project, as it was observed.
type change struct {
	what string
	ref  project.Ref
	to   item
}

// observe reads both tenants' projects and checks that what has changed since
// the last time is what one write may do. The lock is held.
func (w *world) observe() {
	now := map[project.Key]item{}
	for _, tenant := range []string{w.trialing, w.active} {
		out, err := w.eyes.Query(context.Background(), &dynamodb.QueryInput{
			TableName: &w.db.Tables.Projects, ConsistentRead: aws.Bool(true),
			KeyConditionExpression:    aws.String("tenant_id = :t"),
			ExpressionAttributeValues: map[string]types.AttributeValue{":t": &types.AttributeValueMemberS{Value: tenant}},
		})
		if err != nil {
			w.wrong("observing: %v", err)
			return
		}
		running := 0
		for _, av := range out.Items {
			i := item{}
			if err := attributevalue.UnmarshalMap(av, (*map[string]any)(&i)); err != nil {
				w.wrong("observing: %v", err)
				return
			}
			now[project.Key{TenantID: tenant, ProjectID: i.text("project_id")}] = i
			if i.status() == project.Running {
				running++
			}
		}
		if tenant == w.trialing && running > 1 {
			w.wrong("a trialing tenant has %d running projects", running)
		}
	}
	var changes []change
	for _, key := range w.keys {
		before, after := w.seen[key], now[key]
		if reflect.DeepEqual(before, after) {
			continue
		}
		w.checkItem(key, after)
		changes = append(changes, w.step(key, before, after))
	}
	w.seen = now
	if len(changes) > 1 {
		w.wrong("one write changed %d projects", len(changes))
	}
	for _, c := range changes {
		w.note(fmt.Sprintf("%s %s %d", c.what, c.ref.ProjectID, c.ref.ExecutionID))
		w.wrote = append(w.wrote, c.what)
		w.current.changes = append(w.current.changes, c)
	}
}

// checkItem checks what is true of a project in each status.
func (w *world) checkItem(key project.Key, i item) {
	if i == nil {
		return
	}
	absent := func(names ...project.Field) {
		for _, n := range names {
			if i.has(string(n)) {
				w.wrong("%s is %s and has %s: %v", key.ProjectID, i.status(), n, i[string(n)])
			}
		}
	}
	present := func(names ...project.Field) {
		for _, n := range names {
			if !i.has(string(n)) {
				w.wrong("%s is %s and has no %s", key.ProjectID, i.status(), n)
			}
		}
	}
	const shard = project.Field("status_shard")
	switch i.status() {
	case project.Pending:
		absent(project.FieldError, project.FieldCompletedAt, project.FieldStartedAt, project.FieldClaimedAt, project.FieldHeartbeatAt, shard)
	case project.Running:
		present(project.FieldStartedAt, project.FieldExecutionID, project.FieldOutput, shard)
		absent(project.FieldError, project.FieldCompletedAt)
		if a := i.attempt(i.executionID()); a == nil || a.has("outcome") || a.number("number") != i.number("attempt") || a.has("runner_id") != i.has("claimed_at") {
			w.wrong("%s is running, and its attempt is %v", key.ProjectID, a)
		}
	case project.Failed:
		present(project.FieldError, project.FieldCompletedAt)
		absent(shard)
	case project.Completed:
		present(project.FieldCompletedAt, project.FieldProgress)
		absent(project.FieldError, shard)
		if p, _ := i["progress"].(map[string]any); item(p).number("percent") != 100 {
			w.wrong("%s is completed, and its progress is %v", key.ProjectID, p)
		}
	default:
		w.wrong("%s has status %q", key.ProjectID, i.status())
	}
	if len(i.attempts()) > project.MaxAttempts {
		w.wrong("%s remembers %d attempts", key.ProjectID, len(i.attempts()))
	}
	keyed := map[string]bool{}
	for id := range i.attempts() {
		n, _ := strconv.ParseInt(id, 10, 64)
		a := i.attempt(n)
		if h := a.text("key_hash"); h != "" {
			if keyed[h] {
				w.wrong("%s: one Idempotency-Key started two attempts", key.ProjectID)
			}
			keyed[h] = true
		}
		if a.has("late") && !a.has("outcome") {
			w.wrong("%s: attempt %s has a late result and no outcome", key.ProjectID, id)
		}
		if !a.has("outcome") && (n != i.executionID() || i.status() != project.Running) {
			w.wrong("%s: attempt %s is not running and has no outcome", key.ProjectID, id)
		}
	}
}

// step checks that one write took a project from before to after, by the table.
func (w *world) step(key project.Key, before, after item) change {
	c := change{ref: project.Ref{Key: key, ProjectUID: before.text("project_uid"), ExecutionID: before.executionID()}, to: after}
	switch {
	case before == nil:
		c.what, c.ref.ProjectUID = created, after.text("project_uid")
		if _, ok := project.Next(project.None, project.Create); !ok || after.status() != project.Pending || after.number("attempt") != 0 {
			w.wrong("%s was created as %v", key.ProjectID, after)
		}
		return c
	case after == nil:
		c.what = deleted
		if before.status() == project.Running {
			w.wrong("%s was deleted while it was running", key.ProjectID)
		}
		return c
	case before.text("project_uid") != after.text("project_uid"):
		w.wrong("%s changed its uid", key.ProjectID)
		return c
	}
	may := map[string]bool{}
	grown := after.number("version") - before.number("version")
	if before.status() != after.status() {
		c.what, c.ref.ExecutionID = settled, after.executionID()
		if after.status() == project.Running {
			c.what = began
		}
		i := slices.IndexFunc(project.Transitions, func(t project.Transition) bool { return t.From == before.status() && t.To == after.status() })
		if i < 0 {
			w.wrong("%s went from %s to %s", key.ProjectID, before.status(), after.status())
			return c
		}
		may["execution_status"], may["status_shard"], may["attempts"] = true, true, true
		if by := after.attempt(c.ref.ExecutionID).text("settled_by"); c.what == settled && strings.HasPrefix(by, "sweep:") {
			may["sweep_id"] = true
			if "sweep:"+after.text("sweep_id") != by {
				w.wrong("%s: sweep_id is %q, and its attempt was settled by %s", key.ProjectID, after.text("sweep_id"), by)
			}
		}
		for _, f := range slices.Concat(project.Transitions[i].Sets, project.Transitions[i].Clears) {
			may[string(f)] = true
		}
		if grown != 1 {
			w.wrong("%s: a transition raised the version by %d", key.ProjectID, grown)
		}
	} else {
		c.what = w.lesserWrite(key, before, after, grown)
		switch c.what {
		case claimed:
			may["claimed_at"], may["attempts"], may["version"] = true, true, true
		case beat:
			may["heartbeat_at"], may["progress"] = true, true
		case keptLate:
			may["attempts"], may["version"] = true, true
		case extended:
			may["execution_extension_seconds"], may["attempts"], may["version"] = true, true, true
		case voided:
			may["version"] = true
		}
	}
	for name := range union(before, after) {
		if !may[name] && !reflect.DeepEqual(before[name], after[name]) {
			w.wrong("%s: a %s changed %s from %v to %v", key.ProjectID, c.what, name, before[name], after[name])
		}
	}
	w.checkNumbers(key, c, before, after)
	w.checkAttempts(key, c, before, after)
	return c
}

func union(a, b item) map[string]any {
	u := map[string]any{}
	maps.Copy(u, a)
	maps.Copy(u, b)
	return u
}

// lesserWrite names a write that left the status as it was.
func (w *world) lesserWrite(key project.Key, before, after item, grown int64) string {
	switch {
	case grown == 0:
		if after.status() != project.Running || !after.has("claimed_at") {
			w.wrong("%s had a heartbeat while it was %s, claimed at %q", key.ProjectID, after.status(), after.text("claimed_at"))
		}
		return beat
	case grown != 1:
		w.wrong("%s: one write raised the version by %d", key.ProjectID, grown)
		return voided
	case !before.has("execution_extension_seconds") && after.has("execution_extension_seconds"):
		if after.status() != project.Running {
			w.wrong("%s was extended while it was %s", key.ProjectID, after.status())
		}
		return extended
	case reflect.DeepEqual(before["attempts"], after["attempts"]):
		if after.status() == project.Running && after.has("claimed_at") {
			return claimed // the same runner again
		}
		return voided
	case !before.has("claimed_at") && after.has("claimed_at"):
		if after.status() != project.Running {
			w.wrong("%s was claimed while it was %s", key.ProjectID, after.status())
		}
		return claimed
	}
	return keptLate
}

// checkNumbers checks execution id and attempt: both grow with each start, and
// stay otherwise.
func (w *world) checkNumbers(key project.Key, c change, before, after item) {
	if c.what != began {
		if before.executionID() != after.executionID() || before.number("attempt") != after.number("attempt") {
			w.wrong("%s: a %s changed execution id or attempt", key.ProjectID, c.what)
		}
		return
	}
	if after.executionID() <= before.executionID() || after.number("attempt") != before.number("attempt")+1 {
		w.wrong("%s: execution %d, attempt %d follows execution %d, attempt %d", key.ProjectID,
			after.executionID(), after.number("attempt"), before.executionID(), before.number("attempt"))
	}
	w.starts[c.ref] = after.attempt(c.ref.ExecutionID)
}

// checkAttempts checks that a write touched its own attempt's entry alone, and
// that what has been settled stays.
func (w *world) checkAttempts(key project.Key, c change, before, after item) {
	changed, gone := 0, 0
	for id := range union(before.attempts(), after.attempts()) {
		n, _ := strconv.ParseInt(id, 10, 64)
		a, b := before.attempt(n), after.attempt(n)
		if reflect.DeepEqual(a, b) {
			continue
		}
		if b == nil {
			gone++
			continue
		}
		changed++
		if c.what != keptLate && n != c.ref.ExecutionID {
			w.wrong("%s: a %s of execution %d changed the entry of %d", key.ProjectID, c.what, c.ref.ExecutionID, n)
		}
		if c.what == keptLate {
			c.ref.ExecutionID = n
		}
		for name := range union(a, b) {
			if a.has(name) && !reflect.DeepEqual(a[name], b[name]) {
				w.wrong("%s: %s of execution %d went from %v to %v", key.ProjectID, name, n, a[name], b[name])
			}
		}
		if a.has("outcome") && (a.text("error") != b.text("error") || a.text("runner_id") != b.text("runner_id")) {
			w.wrong("%s: the outcome of execution %d changed", key.ProjectID, n)
		}
		if c.what == settled {
			w.checkSettled(key, before, b)
		}
	}
	if changed > 1 || gone > 0 && (c.what != began || gone > 1 || len(after.attempts()) != project.MaxAttempts) {
		w.wrong("%s: a %s changed %d entries and dropped %d", key.ProjectID, c.what, changed, gone)
	}
}

// checkSettled checks who may end an execution, and as what.
func (w *world) checkSettled(key project.Key, before, a item) {
	by, id := a.text("settled_by"), before.executionID()
	if kind, who, ok := strings.Cut(by, ":"); ok {
		switch kind {
		case "runner":
			if a.text("runner_id") != who {
				w.wrong("%s: runner %s ended execution %d of runner %q", key.ProjectID, who, id, a.text("runner_id"))
			}
		case "job":
			if a.has("runner_id") && a.text("job_id") != who {
				w.wrong("%s: the end of job %s ended execution %d of job %q", key.ProjectID, who, id, a.text("job_id"))
			}
		case "sweep":
			beat, _ := time.Parse(time.RFC3339, before.text("heartbeat_at"))
			silent := !beat.IsZero() && beat.Before(w.now.Add(-silence))
			if !before.timesOutAt().Before(w.now) && !silent {
				w.wrong("%s: the sweep ended execution %d, which began at %s and may run until %s, at %s", key.ProjectID, id, before.started(), before.timesOutAt(), w.now)
			}
		}
	}
}

// checkIndex checks that what runs is in the index of running projects, and
// nothing else is.
func (w *world) checkIndex() {
	out, err := w.eyes.Scan(context.Background(), &dynamodb.ScanInput{TableName: &w.db.Tables.Projects, IndexName: aws.String("status-started-at")})
	if err != nil {
		w.wrong("scanning the index: %v", err)
		return
	}
	indexed := map[project.Key]int64{}
	for _, av := range out.Items {
		i := item{}
		if err := attributevalue.UnmarshalMap(av, (*map[string]any)(&i)); err != nil {
			w.wrong("scanning the index: %v", err)
		}
		indexed[project.Key{TenantID: i.text("tenant_id"), ProjectID: i.text("project_id")}] = i.executionID()
	}
	running := map[project.Key]int64{}
	for key, i := range w.sight() {
		if i.status() == project.Running {
			running[key] = i.executionID()
		}
	}
	if !maps.Equal(indexed, running) {
		w.wrong("the index has %v, and running are %v", indexed, running)
	}
}
