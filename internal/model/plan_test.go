package model_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/launch"
	"rekindle/internal/project"
)

// Kinds of plans.
const (
	runs = iota
	restarts
	cancels
	claims
	beats
	reports
	jobEnds
	sweeps
	passes
	removes
	extends
	rivals // run or restart, as the project's status calls for
	kinds
)

var kindNames = [kinds]string{"run", "restart", "cancel", "claim", "heartbeat", "result", "job ends", "sweep", "time passes", "delete or create", "extend", "start"}

// plan is one step: drawn before it is carried out, so that it can be carried
// out in the midst of another.
type plan struct {
	kind     int
	project  int
	key      int // Idempotency-Key; 0: none
	expected int // 0: none; 1: the present attempt; 2: the one before
	mode     int // of the engine
	numbed   bool
	pick     int  // of jobs or runners, from the newest
	aimed    bool // at what the plan can change
	second   bool // runner of a job
	outcome  project.Outcome
	percent  int
	hours    int // of an extension
	passed   time.Duration
	well     bool // how the job ended; whether silence counts; whether to make it again
	fault    int
	at       int
	inner    *plan
	then     *plan // after the inner one
}

func (p plan) String() string {
	s := kindNames[p.kind]
	switch p.kind {
	case runs, restarts, rivals:
		s += fmt.Sprintf(" project %d key %d expected %d engine %d", p.project, p.key, p.expected, p.mode)
	case cancels, removes:
		s += fmt.Sprintf(" project %d expected %d", p.project, p.expected)
	case extends:
		s += fmt.Sprintf(" project %d expected %d hours %d", p.project, p.expected, p.hours)
	case claims, jobEnds:
		s += fmt.Sprintf(" job -%d second %t well %t", p.pick, p.second, p.well)
	case beats, reports:
		s += fmt.Sprintf(" runner -%d %s %d", p.pick, p.outcome, p.percent)
	case passes:
		s += " " + p.passed.String()
	}
	if p.aimed {
		s += " aimed"
	}
	if p.fault != none {
		s += fmt.Sprintf(", %s at call %d", faultNames[p.fault], p.at)
	}
	if p.inner != nil && (p.fault == crossFirst || p.fault == crossAfter) {
		s += " by {" + p.inner.String() + "}"
	}
	return s
}

func itemKey(key project.Key) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"tenant_id":  &types.AttributeValueMemberS{Value: key.TenantID},
		"project_id": &types.AttributeValueMemberS{Value: key.ProjectID},
	}
}

// do carries out a plan and checks its answer.
func (w *world) do(p plan) {
	w.mu.Lock()
	// A sweep's shards go on beside whatever crosses it.
	r := &record{crossed: w.sweeping}
	w.current, w.fault = r, nil
	if p.fault != none {
		w.fault = &armed{kind: p.fault, n: p.at}
		for _, inner := range []*plan{p.inner, p.then} {
			if inner != nil {
				w.fault.inner = append(w.fault.inner, *inner)
			}
		}
	}
	w.mu.Unlock()
	w.engine.behave(p.mode, p.numbed)
	w.note("-- " + p.String())
	switch p.kind {
	case runs:
		w.start(p, r, project.Run)
	case restarts:
		w.start(p, r, project.Restart)
	case rivals:
		w.start(p, r, w.sight()[w.keys[p.project]].status().StartEvent())
	case cancels:
		w.cancel(p, r)
	case claims:
		w.claim(p, r)
	case beats:
		w.heartbeat(p, r)
	case reports:
		w.report(p, r)
	case jobEnds:
		w.endJob(p, r)
	case sweeps:
		w.sweep(p, r)
	case passes:
		w.mu.Lock()
		w.now = w.now.Add(p.passed)
		w.mu.Unlock()
		w.signIn()
	case removes:
		w.remove(p, r)
	case extends:
		w.extend(p, r)
	}
	w.mu.Lock()
	w.struck = w.fault != nil && w.fault.struck
	w.fault = nil
	w.mu.Unlock()
}

// status notes an answer and checks what holds for all: no 500 but of a process
// that died, no 503 without a fault, and no change by a refusal. Want is what
// the model expects where nothing interfered.
func (w *world) status(what string, a answer, r *record, want int) {
	w.note(fmt.Sprintf("   %d %s", a.status, a.text("code")))
	w.answered = append(w.answered, strings.TrimSpace(fmt.Sprintf("%s %d %s", what, a.status, a.text("code"))))
	calm := !r.crossed && !r.faulted
	switch {
	case r.dead:
		return
	case a.status == 500:
		w.wrong("%s: %v", what, a.body)
	case a.status == 503 && calm:
		w.wrong("%s: 503 for no reason: %v", what, a.body)
	case calm && a.status != want:
		w.wrong("%s: got %d %v, want %d", what, a.status, a.body, want)
	case a.status >= 400 && a.status < 500 && !r.crossed:
		for _, c := range r.changes {
			if c.what != keptLate {
				w.wrong("%s was refused with %d and did a %s", what, a.status, c.what)
			}
		}
	}
}

// aim returns the project of a plan: an aimed one is in the status that the
// plan leaves, if one is.
func (w *world) aim(p plan, status project.Status) project.Key {
	if p.aimed {
		for i := range w.keys {
			key := w.keys[(p.project+i)%len(w.keys)]
			if i := w.sight()[key]; i != nil && i.status() == status {
				return key
			}
		}
	}
	return w.keys[p.project]
}

func (w *world) start(p plan, r *record, event project.Event) {
	key := w.aim(p, event.Leaves().From)
	before := w.sight()[key]
	h, verb := w.run, "/run"
	if event == project.Restart {
		h, verb = w.restart, "/restart"
	}
	headers, hash := map[string]string{}, ""
	if p.key > 0 {
		headers["idempotency-key"] = "key-" + strconv.Itoa(p.key)
		hash = project.Hash(headers["idempotency-key"])
	}
	body, expected := "", before.number("attempt")
	if p.expected > 0 {
		expected -= int64(p.expected - 1)
		if expected < 0 {
			expected = 0
		}
		body = fmt.Sprintf(`{"expected_attempt": %d}`, expected)
	} else {
		expected = -1
	}
	want := w.wantOfStart(p, event, key, before, hash, expected)
	a := w.tenantCall(h, "POST", verb, key, body, headers)
	w.status(string(event), a, r, want)
	if r.dead {
		return
	}
	own := r.of(began, key)
	if len(own) > 1 {
		w.wrong("one %s started %d executions", event, len(own))
	}
	for _, c := range r.of(settled, key) {
		// A sweep that this request has crossed goes on beside it.
		ended := c.to.attempt(c.ref.ExecutionID)
		if ended.has("runner_id") && !strings.HasPrefix(ended.text("settled_by"), "sweep:") {
			w.wrong("%s: a failed launch ended execution %d, which was claimed", event, c.ref.ExecutionID)
		}
	}
	if a.status == 502 && len(own) == 1 && !r.crossed && !r.faulted {
		if i := w.sight()[key].attempt(own[0].ref.ExecutionID); i.text("error") != a.text("detail") || i.text("outcome") != "failed" {
			w.wrong("%s: the engine refused, and the attempt is %v", event, i)
		}
	}
	if a.status != 200 {
		return
	}
	id := a.number("execution_id")
	var entry item
	w.mu.Lock()
	for ref, e := range w.starts {
		if ref.Key == key && ref.ExecutionID == id {
			entry = e
		}
	}
	w.mu.Unlock()
	switch {
	case entry == nil:
		w.wrong("%s: execution %d never began", event, id)
		return
	case entry.text("output_folder_path") != a.text("output_folder_path") && entry.text("output") != a.text("output_folder_path"):
		w.wrong("%s: the output is %q, and the attempt's is %v", event, a.text("output_folder_path"), entry)
	case entry.text("operation") != string(event):
		w.wrong("%s: execution %d is a %s's", event, id, entry.text("operation"))
	case len(own) == 0 && (hash == "" || entry.text("key_hash") != hash):
		w.wrong("%s answered with execution %d, which it did not start", event, id)
	case len(own) == 1 && own[0].ref.ExecutionID != id:
		w.wrong("%s started execution %d and answered with %d", event, own[0].ref.ExecutionID, id)
	case len(own) == 1 && expected >= 0 && entry.number("number") != expected+1:
		w.wrong("%s of attempt %d started attempt %d", event, expected, entry.number("number"))
	case len(own) == 1 && w.engine.launches(own[0].ref) == 0:
		w.wrong("%s answered with 200 and launched nothing", event)
	}
}

// wantOfStart is the status that the model expects.
func (w *world) wantOfStart(p plan, event project.Event, key project.Key, before item, hash string, expected int64) int {
	if before == nil {
		return 404
	}
	launched := 200
	if p.mode == refuses || p.mode == loses {
		launched = 502
	}
	for id := range before.attempts() {
		n, _ := strconv.ParseInt(id, 10, 64)
		if a := before.attempt(n); hash != "" && a.text("key_hash") == hash {
			ref := project.Ref{Key: key, ProjectUID: before.text("project_uid"), ExecutionID: n}
			began, _ := time.Parse(time.RFC3339, a.text("started_at"))
			switch {
			case a.text("operation") != string(event):
				return 422
			case before.runs(ref) && !before.has("claimed_at") && w.now.Sub(began) >= 15*time.Second && len(w.engine.living(ref, "")) == 0:
				return launched
			}
			return 200
		}
	}
	if expected >= 0 && expected != before.number("attempt") {
		return 409
	}
	if _, ok := project.Next(before.status(), event); !ok {
		return 400
	}
	if key.TenantID == w.trialing {
		for other, i := range w.sight() {
			if other.TenantID == w.trialing && i.status() == project.Running {
				return 400
			}
		}
	}
	return launched
}

func (w *world) cancel(p plan, r *record) {
	key := w.aim(p, project.Running)
	before := w.sight()[key]
	body, want := "", 200
	if p.expected > 0 {
		body = fmt.Sprintf(`{"expected_attempt": %d}`, max(0, before.number("attempt")-int64(p.expected-1)))
	}
	switch {
	case before == nil:
		want = 404
	case p.expected == 2 && before.number("attempt") > 0:
		want = 409
	case before.status() != project.Running:
		want = 400
	}
	a := w.tenantCall(w.projects, "POST", "/cancel", key, body, nil)
	w.status("cancel", a, r, want)
	if own := r.of(settled, key); a.status == 200 && !r.dead && (len(own) != 1 || own[0].to.attempt(own[0].ref.ExecutionID).text("outcome") != "cancelled") {
		w.wrong("cancel answered with 200 and did %v", own)
	}
}

func (w *world) extend(p plan, r *record) {
	key := w.aim(p, project.Running)
	before := w.sight()[key]
	body := fmt.Sprintf(`{"hours": %d}`, p.hours)
	if p.expected > 0 {
		body = fmt.Sprintf(`{"hours": %d, "expected_attempt": %d}`, p.hours, max(0, before.number("attempt")-int64(p.expected-1)))
	}
	want, by := 200, int64(p.hours)*3600
	due := before.started().Add(project.DefaultTimeout)
	switch {
	case before == nil:
		want = 404
	case p.expected == 2 && before.number("attempt") > 0:
		want = 409
	case before.status() != project.Running:
		want = 400
	case before.number("execution_extension_seconds") == by:
	case before.has("execution_extension_seconds"):
		want = 409
	case w.now.Before(due.Add(-4*time.Hour)) || !w.now.Before(due):
		want = 400
	}
	a := w.tenantCall(w.projects, "POST", "/extend", key, body, nil)
	w.status("extend", a, r, want)
	if now := w.sight()[key]; a.status == 200 && !r.dead && !r.crossed && now.number("execution_extension_seconds") != by {
		w.wrong("extend answered with 200, and the project is %v", now)
	}
}

// job returns the job of a plan, counted from the newest: of an aimed one, among
// those whose execution is running.
func (w *world) job(p plan) *job {
	return pickFrom(w.engine.given(), p, func(j *job) bool { return w.sight()[j.ref.Key].runs(j.ref) })
}

// runner returns the runner of a plan, likewise.
func (w *world) runner(p plan) *runner {
	return pickFrom(w.runners, p, func(n *runner) bool { return w.sight()[n.ref.Key].runs(n.ref) })
}

func pickFrom[V any](all []*V, p plan, aim func(*V) bool) *V {
	if p.aimed {
		if some := slices.DeleteFunc(slices.Clone(all), func(v *V) bool { return !aim(v) }); len(some) > 0 {
			all = some
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1-p.pick%len(all)]
}

func (w *world) claim(p plan, r *record) {
	j := w.job(p)
	if j == nil {
		return
	}
	who := j.id + "-first"
	if p.second {
		who = j.id + "-second"
	}
	before, want := w.sight()[j.ref.Key], 409
	if has := before.attempt(j.ref.ExecutionID).text("runner_id"); before.runs(j.ref) && (has == "" || has == who) {
		want = 200
	}
	a := w.workerCall("claim", j.ref, w.ring.Mint("execution", j.ref, ""), project.Claim{RunnerID: who, JobID: j.id})
	w.status("claim", a, r, want)
	if a.status != 200 || r.dead {
		return
	}
	if a.number("execution_id") != j.ref.ExecutionID {
		w.wrong("claim of execution %d got %v", j.ref.ExecutionID, a.body)
	}
	for _, other := range w.runners {
		if other.ref == j.ref && other.id != who {
			w.wrong("execution %d was granted to %s and %s", j.ref.ExecutionID, other.id, who)
		}
		if other.ref == j.ref && other.id == who {
			return
		}
	}
	w.runners = append(w.runners, &runner{id: who, jobID: j.id, bearer: a.text("report_token"), ref: j.ref})
}

func (w *world) heartbeat(p plan, r *record) {
	n := w.runner(p)
	if n == nil {
		return
	}
	before, want, beat := w.sight()[n.ref.Key], 409, project.Heartbeat{}
	if before.runs(n.ref) {
		want = 200
	}
	if p.percent > 0 {
		beat.Progress = &project.Progress{Percent: p.percent, Message: strconv.Itoa(p.percent)}
	}
	a := w.workerCall("heartbeat", n.ref, n.bearer, beat)
	w.status("heartbeat", a, r, want)
	if a.status != 200 || r.crossed || r.dead {
		return
	}
	progress, _ := w.sight()[n.ref.Key]["progress"].(map[string]any)
	if beat.Progress != nil && item(progress).number("percent") != int64(p.percent) {
		w.wrong("heartbeat with progress %d answered with 200, and the progress is %v", p.percent, progress)
	}
}

var statusOfOutcome = map[project.Outcome]project.Status{
	project.OutcomeCompleted: project.Completed, project.OutcomeFailed: project.Failed, project.OutcomeTimedOut: project.Failed,
}

func (w *world) report(p plan, r *record) {
	n := w.runner(p)
	if n == nil {
		return
	}
	before, want := w.sight()[n.ref.Key], 409
	mine := "runner:" + n.id
	if before.runs(n.ref) || before.text("project_uid") == n.ref.ProjectUID && before.attempt(n.ref.ExecutionID).text("settled_by") == mine {
		want = 200
	}
	n.sent = append(n.sent, p.outcome)
	a := w.workerCall("result", n.ref, n.bearer, project.Result{Outcome: p.outcome, Error: "it said " + strconv.Itoa(p.percent)})
	w.status("result", a, r, want)
	if r.dead {
		return
	}
	now := w.sight()[n.ref.Key]
	if now == nil || now.text("project_uid") != n.ref.ProjectUID || now.attempt(n.ref.ExecutionID) == nil {
		if a.status == 200 && !r.crossed {
			w.wrong("result of a project or an attempt that is gone answered with 200")
		}
		return
	}
	entry := now.attempt(n.ref.ExecutionID)
	switch a.status {
	case 200:
		outcome := project.Outcome(entry.text("outcome"))
		if entry.text("settled_by") != mine || string(statusOfOutcome[outcome]) != a.text("status") {
			w.wrong("result %s answered with 200 %s, and the attempt is %v", p.outcome, a.text("status"), entry)
		}
		if n.acknowledged == "" {
			n.acknowledged = outcome
		}
		if outcome != n.acknowledged || len(n.sent) == 1 && outcome != p.outcome {
			w.wrong("result %s answered with 200, and the attempt is %v", n.sent, entry)
		}
	case 409:
		if entry.text("settled_by") == mine || !entry.has("late") {
			w.wrong("result %s answered with 409, and the attempt is %v", p.outcome, entry)
		}
	}
}

func (w *world) endJob(p plan, r *record) {
	j := w.job(p)
	if j == nil {
		return
	}
	w.engine.mu.Lock()
	j.alive = false
	w.engine.mu.Unlock()
	before := w.sight()[j.ref.Key]
	a := before.attempt(j.ref.ExecutionID)
	ends := before.runs(j.ref) && (a.text("job_id") == j.id || !a.has("runner_id") && len(w.engine.living(j.ref, "")) == 0)
	end := launch.JobEnd{Ref: j.ref, JobID: j.id, Succeeded: p.well, Reason: "it was killed"}
	err := w.settler.JobEnded(context.Background(), end)
	if r.dead || r.crossed {
		return
	}
	w.note(fmt.Sprintf("   %v", err))
	if err != nil && !r.faulted {
		w.wrong("job ended: %v", err)
	}
	if done := len(r.of(settled, j.ref.Key)) == 1; done != ends && err == nil {
		w.wrong("job ended: execution %d ended: %t, want %t", j.ref.ExecutionID, done, ends)
	}
}

// setSweeping says whether a sweep is under way, and returns whether one was.
func (w *world) setSweeping(on bool) (before bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, w.sweeping = w.sweeping, on
	return before
}

func (w *world) sweep(p plan, r *record) {
	outer := w.setSweeping(true)
	receipt := w.sweeper[p.well].Sweep(context.Background(), false)
	w.setSweeping(outer)
	if r.dead || r.crossed || !receipt.Complete {
		if !receipt.Complete && !r.faulted && !r.crossed {
			w.wrong("sweep: %+v", receipt)
		}
		return
	}
	for key, i := range w.sight() {
		if i.status() == project.Running && i.timesOutAt().Before(w.now) {
			w.wrong("%s is running since %s, after a sweep at %s: %+v", key.ProjectID, i.started(), w.now, receipt)
		}
	}
}

// remove deletes a project, or makes it again.
func (w *world) remove(p plan, r *record) {
	key := w.keys[p.project]
	before, want := w.sight()[key], 204
	if before == nil {
		w.create(key)
		return
	}
	if before.status() == project.Running {
		want = 409
	}
	a := w.tenantCall(w.projects, "DELETE", "", key, "", nil)
	w.status("delete", a, r, want)
	if now := w.sight()[key]; a.status == 204 && !r.dead && now != nil && now.text("project_uid") == before.text("project_uid") {
		w.wrong("delete answered with 204, and the project is there")
	}
	if p.well && w.sight()[key] == nil {
		w.create(key)
	}
}
