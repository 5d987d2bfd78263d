package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// journey goes every way through the deployed functions that needs an action or a
// resource of its own. What it leaves out, the judgement reports as a permission
// that nothing uses.
func (r *rehearsal) journey(ctx context.Context) error {
	j, err := r.newJourney(ctx)
	if err != nil {
		return err
	}
	j.part("the operator makes tenants and activation codes", j.operate)
	var session string
	j.part("a tenant signs in by a mailed code", func() { session = j.signIn("acme") })
	j.part("the API answers strangers and browsers", j.strangers)
	j.part("a project is made, edited, activated", func() { j.edit(session) })
	j.part("run, fail, restart, complete; refused restarts", func() { j.core(session) })
	j.part("the runner itself does a project's work", func() { j.work(session) })
	j.part("uploads, logs, downloads, deletion", func() { j.outputs(session) })
	j.part("cancelled, and reported late", func() { j.cancel(session) })
	j.part("the sweep", func() { j.sweep(session) })
	j.part("jobs that end without a word", func() { j.settle(session) })
	j.part("an engine that refuses", func() { j.refusals(session) })
	j.part("a trialing tenant's slot, and lost races", func() { j.races() })
	j.part("sessions that have idled, and signing out", func() { j.sessions(session) })
	j.part("what integrators and mails hear", func() { j.events() })
	var d *deployed
	if d, err = j.again(ctx); err != nil {
		return err
	}
	j.part("a second deployment", func() { j.updated(d) })
	j.client.CloseIdleConnections()
	return nil
}

func (j *journey) operate() {
	for id, state := range map[string]string{"acme": "active", "trial": "trialing", "trial2": "trialing", "trial3": "trialing"} {
		j.operator(nil, "tenant", "create", "--id", id, "--name", id, "--slug", id, "--email", id+"@rekindle.example", "--subscription", state)
	}
	var codes []struct{ Code string }
	j.operator(&codes, "code", "issue", "--count", "24")
	for _, c := range codes {
		j.codes = append(j.codes, c.Code)
	}
	j.that(len(j.codes) == 24, "rekindlectl issued %d codes, want 24", len(j.codes))
}

func (j *journey) code() string {
	if len(j.codes) == 0 {
		return ""
	}
	c := j.codes[0]
	j.codes = j.codes[1:]
	return c
}

const auth = "/api/tenant/auth/"

func (j *journey) signIn(slug string) string {
	// Nobody asked for a code: the try is counted on a record that is not there.
	j.call("POST", auth+"otp/verify", "", map[string]string{"tenant_slug": slug, "code": "123456"}).is(401)
	j.call("POST", auth+"otp/request", "", map[string]string{"tenant_slug": slug}).is(200)
	code := regexp.MustCompile(`\b\d{6}\b`).FindString(j.cloud.mails.last())
	j.that(code != "", "no login code was mailed")
	session := j.call("POST", auth+"otp/verify", "", map[string]string{"tenant_slug": slug, "code": code}).is(200, "tenant_id", slug).text("session_token")
	j.call("GET", auth+"session", session, nil).is(200, "tenant_slug", slug)
	return j.call("POST", auth+"refresh", session, nil).is(200).text("session_token")
}

func (j *journey) strangers() {
	j.call("GET", projects, "", nil).is(401, "code", "session_missing")
	j.call("GET", "/api/elsewhere", "", nil).is(404, "code", "route_not_found")
	preflight := j.call("OPTIONS", projects, "", nil, "Origin", "https://portal.example.com", "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "x-session-token")
	j.that(preflight.status < 300 && preflight.header.Get("Access-Control-Allow-Origin") != "", "a preflight: got %d %v, want leave", preflight.status, preflight.header)
}

const projects = "/api/tenant/projects"

// create makes an activated project and returns its id.
func (j *journey) create(session, name string) string {
	id := j.call("POST", projects, session, map[string]string{"name": name, "description": "A page", "objectives": "Home\nAbout"}).
		is(201, "execution_status", "pending").text("project_id")
	j.call("POST", projects+"/"+id+"/activation-code", session, map[string]string{"code": j.code()}).is(200)
	return id
}

func (j *journey) edit(session string) {
	draft := map[string]string{"name": "Twin", "description": "A page", "objectives": "Home"}
	first := j.call("POST", projects, session, draft).is(201, "project_id", "twin")
	j.call("POST", projects, session, draft).is(201, "project_id", "twin-2")
	j.call("GET", projects, session, nil).is(200)
	j.call("GET", projects+"/twin", session, nil).is(200, "name", "Twin")
	draft["objectives"] = "Home\nAbout"
	j.call("PUT", projects+"/twin", session, draft, "If-Match", first.header.Get("ETag")).is(200, "objectives", "Home\nAbout")
	j.call("POST", projects+"/twin/activation-code", session, map[string]string{"code": "ZZZZ-ZZZZ-ZZZZ-ZZZZ"}).is(400)
	j.call("POST", projects+"/twin/run", session, nil).is(400, "code", "activation_code_missing")
	code := j.code()
	j.call("POST", projects+"/twin/activation-code", session, map[string]string{"code": code}).is(200)
	j.call("POST", projects+"/twin-2/activation-code", session, map[string]string{"code": code}).is(400)
	j.call("DELETE", projects+"/twin-2", session, nil).is(204)
}

// start runs or restarts a project, and returns its execution's id.
func (j *journey) start(session, id, how string) int64 {
	message := map[string]string{"run": "Project execution started successfully", "restart": "Project execution restarted successfully"}
	return j.call("POST", projects+"/"+id+"/"+how, session, nil).is(200, "success", "true", "status", "running", "message", message[how]).number("execution_id")
}

// runner is what reports on one execution.
type runner struct {
	j      *journey
	path   string
	report string
	job    job
}

// claim claims the last job's execution.
func (j *journey) claim(execution int64) *runner {
	w := &runner{j: j, path: "/api/worker/executions/" + strconv.FormatInt(execution, 10) + "/", job: j.cloud.engine.last()}
	j.that(strings.HasPrefix(w.job.Name, "rk-"+strconv.FormatInt(execution, 10)+"-"), "the last job is %q, want that of execution %d", w.job.Name, execution)
	w.report = j.call("POST", w.path+"claim", "", map[string]string{"runner_id": "runner-" + w.job.ID, "job_id": w.job.ID}, "Authorization", "Bearer "+w.job.Token).
		is(200, "execution_id", strconv.FormatInt(execution, 10)).text("report_token")
	return w
}

func (w *runner) call(what string, body any) *answer {
	return w.j.call("POST", w.path+what, "", body, "Authorization", "Bearer "+w.report)
}

func (w *runner) result(outcome, failure string) *answer {
	return w.call("result", map[string]any{"outcome": outcome, "exit_code": len(failure), "error": failure})
}

func (j *journey) core(session string) {
	const one = projects + "/twin"
	j.call("POST", one+"/restart", session, nil).is(400, "detail", "Only failed projects can be restarted. Current status: pending")
	first := j.start(session, "twin", "run")
	j.call("GET", one+"/status", session, nil).is(200, "execution_status", "running", "execution_id", strconv.FormatInt(first, 10), "can_restart", "false")
	j.call("POST", one+"/run", session, nil).is(400)
	j.call("POST", one+"/restart", session, nil).is(400, "detail", "Only failed projects can be restarted. Current status: running")
	w := j.claim(first)
	w.call("heartbeat", map[string]any{"progress": map[string]any{"percent": 40, "message": "About"}}).is(200)
	w.result("failed", "the price list is empty").is(200, "status", "failed")
	j.call("GET", one+"/status", session, nil).is(200, "execution_status", "failed", "execution_error", "the price list is empty", "can_restart", "true")
	j.call("POST", one+"/run", session, nil).is(400)
	second := j.start(session, "twin", "restart")
	j.that(second > first, "the restart has the execution id %d, want one above %d", second, first)
	j.call("GET", one+"/status", session, nil).is(200, "execution_status", "running", "attempt", "2", "execution_error", "<nil>")
	w.result("failed", "the price list is empty").is(200, "status", "failed") // its answer was lost
	w = j.claim(second)
	w.result("completed", "").is(200, "status", "completed")
	j.call("POST", one+"/restart", session, nil).is(400, "detail", "Only failed projects can be restarted. Current status: completed")
	j.call("GET", projects+"/nobody/status", session, nil).is(404, "detail", "Project not found")
}

func (j *journey) outputs(session string) {
	id := j.create(session, "Outputs")
	execution := j.start(session, id, "run")
	w := j.claim(execution)
	j.call("GET", projects+"/"+id+"/download", session, nil).is(400, "code", "project_not_completed")
	const log = "Home\nAbout\n"
	links, _ := w.call("heartbeat", map[string]any{"logs": map[string]int{"stdout": len(log), "stderr": 0}}).is(200).body["logs"].(map[string]any)
	url, _ := links["stdout"].(string)
	j.put("the log by its link", url, []byte(log)).is(200)

	archive := []byte("PK\x05\x06" + strings.Repeat("\x00", 18))
	upload := w.call("upload", map[string]any{}).is(200).text("upload_id")
	part := w.call("upload/part", map[string]any{"upload_id": upload, "part": 1, "bytes": len(archive)}).is(200)
	longer := j.put("a part that is longer than was said", part.text("url"), append([]byte("x"), archive...))
	j.that(longer.status >= 400, "a part that is longer than was said: got %d, want a refusal", longer.status)
	j.put("the part by its link", part.text("url"), archive).is(200)
	complete := map[string]any{"upload_id": upload, "parts": 1, "bytes": len(archive)}
	w.call("upload/complete", complete).is(200, "bytes", strconv.Itoa(len(archive)))
	w.call("upload/complete", complete).is(200, "bytes", strconv.Itoa(len(archive))) // its answer was lost
	w.result("completed", "").is(200)

	j.call("GET", projects+"/"+id+"/log", session, nil).is(200, "stdout", log)
	link := j.call("GET", projects+"/"+id+"/download", session, nil).is(200, "size", strconv.Itoa(len(archive)))
	resp, err := http.Get(link.text("url"))
	j.must("the download by its link", err)
	if err == nil {
		resp.Body.Close()
		j.that(resp.StatusCode == 200, "the download by its link: got %d, want 200", resp.StatusCode)
	}
	j.call("DELETE", projects+"/"+id, session, nil).is(204)
	if gone, err := http.Get(link.text("url")); err == nil {
		gone.Body.Close()
		j.that(gone.StatusCode == 404, "the output of a deleted project: got %d, want 404", gone.StatusCode)
	}
	w.result("failed", "late").is(409) // of a project that is gone
}

// work has the runner and the sample do what a job's container does: a project
// fails, is mended, restarted and completed, and its files are downloaded.
func (j *journey) work(session string) {
	draft := map[string]string{"name": "Site", "description": "A page", "objectives": "Home\nfail: the price list is empty"}
	j.call("POST", projects, session, draft).is(201, "project_id", "site")
	const one = projects + "/site"
	active := j.call("POST", one+"/activation-code", session, map[string]string{"code": j.code()}).is(200)
	j.start(session, "site", "run")
	j.container()
	j.call("GET", one+"/status", session, nil).is(200, "execution_status", "failed", "execution_error", "the price list is empty")
	draft["objectives"] = "Home\nAbout"
	version := j.call("GET", one, session, nil).is(200).header.Get("ETag")
	j.that(version != active.header.Get("ETag"), "an execution left the version as it was: %s", version)
	j.call("PUT", one, session, draft, "If-Match", version).is(200)
	j.start(session, "site", "restart")
	j.container()
	j.call("GET", one+"/status", session, nil).is(200, "execution_status", "completed", "attempt", "2")
	j.call("GET", one+"/log", session, nil).is(200, "stdout", "writing page-01.html\nwriting page-02.html\n")
	files := j.unzip(j.call("GET", one+"/download", session, nil).is(200).text("url"))
	for _, name := range []string{"index.html", "page-01.html", "page-02.html", "style.css"} {
		j.that(slices.Contains(files, name), "the downloaded zip has %v, and not %s", files, name)
	}
}

// unzip names the files of a zip by its link.
func (j *journey) unzip(url string) []string {
	resp, err := http.Get(url)
	j.must("the download by its link", err)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	j.must("reading the download", err)
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	j.must("opening the downloaded zip", err)
	if err != nil {
		return nil
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	return names
}

func (j *journey) cancel(session string) {
	id := j.create(session, "Cancelled")
	execution := j.start(session, id, "run")
	unclaimed := j.cloud.engine.last()
	j.call("POST", projects+"/"+id+"/cancel", session, nil).is(200, "status", "failed")
	j.that(j.cloud.engine.stopped(unclaimed.ID), "a cancel left the unclaimed job of execution %d running", execution)
	w := j.claim(j.start(session, id, "restart"))
	j.call("POST", projects+"/"+id+"/cancel", session, nil).is(200)
	j.that(j.cloud.engine.stopped(w.job.ID), "a cancel left the claimed job running")
	w.result("completed", "").is(409)
}

func (j *journey) sweep(session string) {
	early := j.recorders["CleanupFunction"].take()
	j.that(len(early) == 0, "something swept at deployment: got %d calls of CleanupFunction, want none before the schedule's", len(early))
	claimed, unclaimed, fresh := j.create(session, "Claimed"), j.create(session, "Unclaimed"), j.create(session, "Fresh")
	w := j.claim(j.start(session, claimed, "run"))
	j.start(session, unclaimed, "run")
	lonely := j.cloud.engine.last()
	j.start(session, fresh, "run")
	j.age("acme", claimed)
	j.age("acme", unclaimed)
	var receipt struct {
		Nominated, Failed, Shards int
		Complete                  bool
	}
	j.operator(&receipt, "sweep", "--dry-run")
	j.that(receipt.Failed == 2 && receipt.Complete, "the dry run would fail %d of %d, want 2", receipt.Failed, receipt.Nominated)
	j.call("GET", projects+"/"+claimed+"/status", session, nil).is(200, "execution_status", "running")
	// The schedule's event, to the alias, as its rule sends it.
	swept := j.invoke("CleanupFunction", json.RawMessage(`{"version":"0","id":"1","detail-type":"Scheduled Event","source":"aws.events","account":"`+account+`","time":"2026-01-01T00:00:00Z","region":"`+region+`","resources":[],"detail":{}}`))
	swept.is(200, "failed", "2", "shards", "16", "complete", "true")
	for _, id := range []string{claimed, unclaimed} {
		got := j.call("GET", projects+"/"+id+"/status", session, nil).is(200, "execution_status", "failed", "can_restart", "true")
		j.that(strings.Contains(got.text("execution_error"), "24 hours"), "the sweep's error is %q, want one that names the limit", got.text("execution_error"))
	}
	j.call("GET", projects+"/"+fresh+"/status", session, nil).is(200, "execution_status", "running")
	j.that(j.cloud.engine.stopped(w.job.ID) && j.cloud.engine.stopped(lonely.ID), "the sweep left a job running")
	w.result("completed", "").is(409)
}

// settle tells that a job has ended, as AWS Batch does by EventBridge.
func (j *journey) settle(session string) {
	id := j.create(session, "Ended")
	j.start(session, id, "run")
	j.jobEnded(j.cloud.engine.last())
	j.call("GET", projects+"/"+id+"/status", session, nil).is(200, "execution_status", "failed", "can_restart", "true")
	w := j.claim(j.start(session, id, "restart"))
	j.jobEnded(w.job)
	j.call("GET", projects+"/"+id+"/status", session, nil).is(200, "execution_status", "failed", "attempt", "2")
}

func (j *journey) jobEnded(ended job) {
	event := map[string]any{
		"version": "0", "id": "1", "detail-type": "Batch Job State Change", "source": "aws.batch", "account": account, "region": region,
		"time": "2026-01-01T00:00:00Z", "resources": []string{j.cloud.arn("batch", "job/"+ended.ID)},
		"detail": map[string]any{
			"jobId": ended.ID, "jobName": ended.Name, "jobQueue": j.cloud.engine.queue, "status": "FAILED", "statusReason": "Host EC2 terminated.",
			"container": map[string]any{"environment": []any{map[string]string{"name": "REKINDLE_EXECUTION_TOKEN", "value": ended.Token}}},
		},
	}
	// Nobody but AWS may put an event of aws.batch, so the rule is asked, and the
	// function called as its target.
	j.that(j.takes("SettleFunctionJobEnded", event), "the rule for jobs' ends does not take the event of one: %s", text(event))
	detail := event["detail"].(map[string]any)
	queue := detail["jobQueue"]
	detail["jobQueue"] = j.cloud.arn("batch", "job-queue/another")
	j.that(!j.takes("SettleFunctionJobEnded", event), "the rule for jobs' ends takes those of another queue")
	detail["jobQueue"] = queue
	j.invoke("SettleFunction", event)
}

// takes says whether a deployed rule's pattern takes an event.
func (j *journey) takes(rule string, event any) bool {
	name := j.stack.Resources[rule].ID
	found, err := j.admin("events", "AWSEvents.DescribeRule", map[string]string{"Name": name[strings.LastIndexByte(name, '/')+1:]})
	j.must("looking at "+rule, err)
	if err != nil {
		return false
	}
	tested, err := j.admin("events", "AWSEvents.TestEventPattern", map[string]string{"EventPattern": found.text("EventPattern"), "Event": text(event)})
	j.must("testing the pattern of "+rule, err)
	return err == nil && tested.body["Result"] == true
}

// refusals breaks the engine: the functions look for the job whose submission's
// answer was lost.
func (j *journey) refusals(session string) {
	id := j.create(session, "Refused")
	for _, how := range []string{"run", "restart"} {
		j.cloud.engine.breakNext(4) // as often as the client tries
		j.call("POST", projects+"/"+id+"/"+how, session, nil).is(502, "code", "launch_refused")
		j.call("GET", projects+"/"+id+"/status", session, nil).is(200, "execution_status", "failed")
	}
}

// races lets a project or a tenant go between a function's read and its write, so
// that the write's refusal brings no item and it is read again.
func (j *journey) races() {
	session := j.fresh("trial")
	first := j.create(session, "First")
	w := j.claim(j.start(session, first, "run"))
	w.result("failed", awkward).is(200)
	w = j.claim(j.start(session, first, "restart"))
	w.result("failed", "no").is(200)

	type race struct{ function, how, project string }
	// A project goes.
	active := j.idle("acme")
	a, b := j.create(active, "Gone one"), j.create(active, "Gone two")
	j.claim(j.start(active, b, "run")).result("failed", "no").is(200)
	for _, r := range []race{{"RunFunction", "run", a}, {"RestartFunction", "restart", b}} {
		j.recorders[r.function].beforeNext("dynamodb:UpdateItem", func() {
			j.remove("ProjectsTableName", map[string]string{"tenant_id": "acme", "project_id": r.project})
		})
		j.call("POST", projects+"/"+r.project+"/"+r.how, active, nil).is(404, "code", "project_not_found")
	}
	// A tenant goes.
	for tenant, r := range map[string]race{"trial2": {function: "RunFunction", how: "run"}, "trial3": {function: "RestartFunction", how: "restart"}} {
		s := j.fresh(tenant)
		id := j.create(s, "Alone")
		if r.how == "restart" {
			j.claim(j.start(s, id, "run")).result("failed", "no").is(200)
		}
		j.recorders[r.function].beforeNext("dynamodb:UpdateItem", func() {
			j.remove("TenantsTableName", map[string]string{"tenant_id": tenant, "record": "tenant"})
		})
		j.call("POST", projects+"/"+id+"/"+r.how, s, nil).is(400, "code", "subscription_missing")
	}
}

// fresh makes a session that was used just now.
func (j *journey) fresh(tenant string) string {
	session := j.idle(tenant)
	j.call("GET", auth+"session", session, nil).is(200)
	return session
}

// sessions uses sessions that have idled with each function, which records it, and
// signs out.
func (j *journey) sessions(session string) {
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"POST", projects + "/twin/run", 400},
		{"POST", projects + "/twin/restart", 400},
		{"GET", projects + "/twin/status", 200},
		{"GET", projects, 200},
		{"GET", auth + "session", 200},
	} {
		j.call(c.method, c.path, j.idle("acme"), nil).is(c.status)
	}
	j.call("POST", auth+"logout", session, nil).is(204)
	j.call("GET", projects, session, nil).is(401)
	var listed []struct{}
	j.operator(&listed, "project", "list", "--status", "failed")
	j.that(len(listed) > 0, "rekindlectl lists no projects")
}

// again deploys the stack a second time, as another revision with another limit.
func (j *journey) again(ctx context.Context) (*deployed, error) {
	second, err := j.transformed(ctx, secondRevision)
	if err != nil {
		return nil, err
	}
	return j.execute(ctx, "UPDATE", second, map[string]string{"Revision": secondRevision, "ProjectExecutionTimeoutHours": "48"})
}

// updated asserts that a second deployment keeps what is there, and that what it
// changes reaches those who call the aliases.
func (j *journey) updated(d *deployed) {
	for id, r := range j.stack.Resources {
		switch r.Type {
		case "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SecretsManager::Secret", "AWS::ApiGatewayV2::Api", "AWS::Lambda::Function":
			j.that(d.Resources[id].ID == r.ID, "the second deployment replaced %s: it was %s and is %s", id, r.ID, d.Resources[id].ID)
		}
	}
	fresh := j.call("GET", projects+"/fresh/status", j.fresh("acme"), nil).is(200, "execution_status", "running")
	began, err := time.Parse(time.RFC3339, fresh.text("execution_started_at"))
	j.must("reading a start", err)
	ends, err := time.Parse(time.RFC3339, fresh.text("times_out_at"))
	j.must("reading a limit", err)
	j.that(ends.Sub(began) == 48*time.Hour, "the new limit did not reach the callers of StatusFunction's alias: an execution has %s, want 48h", ends.Sub(began))
}
