package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/getkin/kin-openapi/openapi3"

	"rekindle/internal/api"
	"rekindle/internal/project"
	"rekindle/internal/template"
	"rekindle/internal/token"
)

// The tests of this file are named after the rows of the OWASP API Security Top
// 10 of 2023. They walk the routes of docs/openapi.yaml, so that a new route is
// attacked as the others are, or fails the test that can't attack it.

// operation is a route of docs/openapi.yaml, with the function that answers it.
type operation struct {
	route   string
	op      *openapi3.Operation
	handler *api.Handler
	scheme  string // session, execution, report, or empty for one that anybody may call
}

func (o operation) is(parameter string) bool { return strings.Contains(o.route, "{"+parameter+"}") }

// operations walks the routes of the document. The template says which function
// answers each.
func (l *login) operations() []operation {
	l.t.Helper()
	tmpl, err := template.Open(filepath.Join("..", "..", "template.yaml"), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	functions := map[string]*api.Handler{
		"RunFunction": l.run, "RestartFunction": l.restart, "StatusFunction": l.status,
		"WorkerFunction": l.worker, "ProjectsFunction": l.projects, "AuthFunction": l.auth,
	}
	var all []operation
	doc := document(l.t)
	for _, r := range tmpl.Routes {
		if r.Path == template.DefaultPath {
			continue
		}
		o := operation{route: strings.ToUpper(r.Method) + " " + r.Path, handler: functions[r.Function]}
		o.op = operationOf(doc, o.route)
		if o.op == nil || o.handler == nil {
			l.t.Fatalf("%s of %s: the security tests know no such route or function", o.route, r.Function)
		}
		for _, need := range *o.op.Security {
			for scheme := range need {
				o.scheme = scheme
			}
		}
		all = append(all, o)
	}
	if len(all) < 20 {
		l.t.Fatalf("only %d routes were found", len(all))
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.route, b.route) })
	return all
}

// call makes the document's own example of a request, about a project or an
// execution.
func (o operation) call(t *testing.T, projectID string, executionID int64, more ...func(*call)) call {
	t.Helper()
	c := call{route: o.route, params: map[string]string{}, headers: map[string]string{"content-type": "application/json", "if-match": "*"}}
	if o.is("project_id") {
		c.params["project_id"] = projectID
	}
	if o.is("execution_id") {
		c.params["execution_id"] = strconv.FormatInt(executionID, 10)
	}
	if example := o.example(t); example != nil {
		delete(example, "expected_attempt")
		c.body = jsonOf(t, example)
	}
	for _, f := range more {
		f(&c)
	}
	return c
}

// example is the body that the document shows; nil for a call without one.
func (o operation) example(t *testing.T) map[string]any {
	t.Helper()
	if o.op.RequestBody == nil {
		return nil
	}
	example := map[string]any{}
	if err := json.Unmarshal([]byte(jsonOf(t, o.op.RequestBody.Value.Content.Get("application/json").Example)), &example); err != nil {
		t.Fatalf("the example of %s: %v", o.route, err)
	}
	return example
}

func (o operation) schema() *openapi3.Schema {
	if o.op.RequestBody == nil {
		return nil
	}
	return o.op.RequestBody.Value.Content.Get("application/json").Schema.Value
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func as(sessionToken string) func(*call) { return header("x-session-token", sessionToken) }
func by(bearer string) func(*call)       { return header("authorization", "Bearer "+bearer) }

// unwritten fails the test if what do does writes to the database, whatever it
// answers.
func (l *login) unwritten(what string, do func()) {
	l.t.Helper()
	l.db.Wire.Set(nil)
	do()
	for operation, n := range l.db.Wire.Calls() {
		switch operation {
		case "GetItem", "BatchGetItem", "Query", "Scan":
		default:
			l.t.Errorf("%s made %d calls of %s", what, n, operation)
		}
	}
}

// same fails the test if one of acme's projects is not what it was, byte for
// byte, or if the engine or the outputs were asked for anything.
func (l *login) same(what string, do func()) {
	l.t.Helper()
	before := l.everyItem()
	launched, stopped, removed := l.engine.launches(), len(l.engine.stopped), len(l.outputs.removed)
	do()
	if after := l.everyItem(); !reflect.DeepEqual(before, after) {
		l.t.Errorf("%s: the projects have changed:\n%v\n%v", what, before, after)
	}
	if l.engine.launches() != launched || len(l.engine.stopped) != stopped || len(l.outputs.removed) != removed {
		l.t.Errorf("%s: the engine or the outputs were told to do something", what)
	}
}

var states = []project.Status{project.Pending, project.Running, project.Failed, project.Completed}

func (l *login) everyItem() []map[string]types.AttributeValue {
	l.t.Helper()
	out, err := l.db.Client.Query(l.t.Context(), &dynamodb.QueryInput{
		TableName: &l.db.Tables.Projects, ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("tenant_id = :t"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":t": &types.AttributeValueMemberS{Value: "acme"}},
	})
	if err != nil || len(out.Items) < len(states) {
		l.t.Fatalf("%d projects, %v", len(out.Items), err)
	}
	return out.Items
}

// oneInEachState puts acme's projects: each has its status as its id. The one
// that runs has been claimed by runner r.
func (l *login) oneInEachState() (running project.Ref) {
	l.t.Helper()
	for _, s := range states {
		if s == project.Running {
			running = l.insertClaimed(string(s)).Ref()
			continue
		}
		l.insert(string(s), s)
	}
	return running
}

// API1:2023 Broken Object Level Authorization. Tried: another tenant's project
// id in each route that takes one, in each state of the project; another
// execution's id in each runner's route; and, in the table, whatever else in a
// path, a query, a header or a body names something that another may own.
func TestOWASPAPI1ForeignIDsReachNothing(t *testing.T) {
	l := newLogin(t)
	running := l.oneInEachState()
	l.insert("mine", project.Pending, func(p *project.Project) { p.TenantID = "rival" })
	mine := l.keys.Mint(token.Report, project.Ref{Key: project.Key{TenantID: "rival", ProjectID: "mine"}, ProjectUID: "uid-mine", ExecutionID: 78}, "r")
	reached := 0
	for _, o := range l.operations() {
		switch {
		case o.is("project_id"):
			for _, s := range states {
				l.same(o.route, func() {
					a := l.do(o.handler, o.call(t, string(s), 0, as(foreignToken), header("idempotency-key", "k")))
					l.want(a, 404, project.CodeProjectNotFound, "")
					if strings.Contains(a.raw, "acme") || strings.Contains(a.raw, "uid-") {
						t.Errorf("%s tells of another's project: %s", o.route, a.raw)
					}
				})
				reached++
			}
		case o.is("execution_id"):
			// The path says one execution and the token another; then a token
			// that a rival could have, were it given one, says the same.
			for _, bearer := range []string{mine, l.keys.Mint(token.Execution, project.Ref{Key: key("running"), ProjectUID: "uid-running", ExecutionID: 76}, "")} {
				l.same(o.route, func() {
					l.want(l.do(o.handler, o.call(t, "", running.ExecutionID, by(bearer))), 401, project.CodeTokenInvalid, "")
				})
			}
			// The right execution, of another tenant, project, uid and runner.
			purpose := token.Purpose(o.scheme)
			for name, change := range map[string]func(*project.Ref){
				"tenant": func(r *project.Ref) { r.TenantID = "rival" }, "project": func(r *project.Ref) { r.ProjectID = "failed" },
				"uid": func(r *project.Ref) { r.ProjectUID = "uid-of-the-one-before" },
			} {
				ref := running
				change(&ref)
				l.same(o.route+" by another "+name, func() {
					l.want(l.do(o.handler, o.call(t, "", ref.ExecutionID, by(l.keys.Mint(purpose, ref, "r")))), 409, project.CodeAttemptClosed, "")
				})
			}
			if purpose == token.Report {
				l.same(o.route+" by another runner", func() {
					if a := l.do(o.handler, o.call(t, "", running.ExecutionID, by(l.keys.Mint(purpose, running, "another")))); a.status != 409 {
						t.Errorf("%s by another runner: got %d %s, want 409", o.route, a.status, a.raw)
					}
				})
			}
			reached++
		case o.scheme == "session":
			l.same(o.route, func() {
				if a := l.do(o.handler, o.call(t, "", 0, as(foreignToken))); strings.Contains(a.raw, "uid-running") || strings.Contains(a.raw, "acme") {
					t.Errorf("%s shows a rival acme's: %s", o.route, a.raw)
				}
			})
			if strings.HasSuffix(o.route, "/logout") || strings.HasSuffix(o.route, "/refresh") {
				l.session(foreignToken, noon.Add(project.SessionLife), noon)
			}
			reached++
		}
	}
	if reached < 40 {
		t.Errorf("only %d requests were made", reached)
	}
}

// API1:2023, the rest of it: each parameter and each member of a body is in this
// table. One that names something says which test tries a foreign one.
func TestOWASPAPI1EachNameOfSomethingIsTried(t *testing.T) {
	const text, number = "text", "number" // name nothing
	tried := map[string]string{
		"path project_id": "TestOWASPAPI1ForeignIDsReachNothing", "path execution_id": "TestOWASPAPI1ForeignIDsReachNothing",
		"query cursor": "TestCursorIsGoodForItsOwnListAlone", "query attempt": "TestLogRefusals",
		"query limit": number, "query tail": number, "query search": text, "query status": text,
		"header Idempotency-Key": "TestOWASPAPI1ForeignKeysAndCodes", "header If-Match": number,
		"body expected_attempt": number, "body hours": number, "body name": text, "body description": text, "body objectives": text,
		"body code":        "TestOWASPAPI1ForeignKeysAndCodes",
		"body tenant_slug": "TestLoginCodeOfOneTenantIsNotAnothers",
		"body runner_id":   "TestClaimGrantsOneRunner", "body job_id": text,
		"body upload_id": "TestAnUploadIsItsExecutionsAlone",
		"body part":      number, "body parts": number, "body bytes": number,
		"body progress": text, "body logs": number, "body outcome": text, "body exit_code": number, "body error": text,
	}
	tests := testsOf(t, ".")
	for what, how := range tried {
		if strings.HasPrefix(how, "Test") && !tests[how] {
			t.Errorf("%s: there is no %s", what, how)
		}
	}
	used := map[string]bool{}
	see := func(route, what string) {
		used[what] = true
		if tried[what] == "" {
			t.Errorf("%s takes %s: say here what a foreign one does", route, what)
		}
	}
	l := newLogin(t)
	for _, o := range l.operations() {
		parameters := slices.Concat(o.op.Parameters, document(t).Paths.Value(strings.SplitN(o.route, " ", 2)[1]).Parameters)
		for _, p := range parameters {
			see(o.route, p.Value.In+" "+p.Value.Name)
		}
		if s := o.schema(); s != nil {
			for name := range s.Properties {
				see(o.route, "body "+name)
			}
		}
	}
	for what := range tried {
		if !used[what] {
			t.Errorf("nothing takes %s any more", what)
		}
	}
}

// API1:2023: an activation code that another tenant has used, one of a deleted
// incarnation, and an Idempotency-Key that another tenant's start was made with.
func TestOWASPAPI1ForeignKeysAndCodes(t *testing.T) {
	l := newLogin(t)
	l.insert("theirs", project.Pending, func(p *project.Project) { p.TenantID, p.ActivationCode = "rival", "" })
	l.insert("mine", project.Pending, func(p *project.Project) { p.ActivationCode = "" })
	code := l.world.code()
	if a := l.do(l.projects, on("POST /activation-code", "theirs", foreign, codeBody(code))); a.status != 200 {
		t.Fatalf("activating: %d %s", a.status, a.raw)
	}
	l.want(l.do(l.projects, on("POST /activation-code", "mine", codeBody(code))), 400, project.CodeActivationUsed, "")
	if p := l.db.Read(t, key("mine")); p.ActivationCode != "" {
		t.Error("another tenant's code was taken")
	}
	// A login code is none, and neither is the hash of a code.
	for _, c := range []string{l.code(), l.hasher.Hash(project.KindActivation, code)} {
		l.want(l.do(l.projects, on("POST /activation-code", "mine", codeBody(c))), 400, project.CodeActivationMalformed, "")
	}

	// A key is looked for among the project's own attempts alone.
	l.insert("site", project.Pending)
	l.insert("site", project.Pending, func(p *project.Project) { p.TenantID = "rival" })
	first := l.do(l.run, action("run", "site", foreign, header("idempotency-key", "shared")))
	second := l.do(l.run, action("run", "site", header("idempotency-key", "shared")))
	if first.status != 200 || second.status != 200 || strings.Contains(second.raw, "rival") {
		t.Errorf("got %d %s and %d %s, want two executions", first.status, first.raw, second.status, second.raw)
	}
	if l.engine.launches() != 2 {
		t.Errorf("got %d launches, want 2", l.engine.launches())
	}
}

// API2:2023 Broken Authentication. Tried, on each route: no token, forged,
// truncated, lengthened, swapped, expired, idle and ended ones, the stored hash
// of one, a token of another purpose or another secret, and two that differ.
func TestOWASPAPI2TokensThatAreNotOurs(t *testing.T) {
	l := newLogin(t)
	running := l.oneInEachState()
	l.session("acme.over", noon.Add(-time.Second), noon.Add(-time.Minute))
	l.session("acme.idle", noon.Add(time.Hour), noon.Add(-project.SessionIdle))
	l.session("rival.other", noon.Add(time.Hour), noon)
	ended := l.signIn()
	if a := l.with(logout, ended); a.status != 204 {
		t.Fatalf("logging out: %d %s", a.status, a.raw)
	}
	execution, report := l.keys.Mint(token.Execution, running, ""), l.keys.Mint(token.Report, running, "r")
	sessions := []string{
		"", " ", ".", "acme", "acme.", ".secret", "acme.wrong", "rival.acme.secret", "acme.other", "acme.secret ", "acme.secret.",
		"acme.secre", "acme.secrett", "ACME.SECRET", "acme%2Esecret", "acme.secret\x00", "acme.over", "acme.idle", ended,
		project.Hash(sessionToken), "acme." + project.Hash(sessionToken), "login#globex", "slug#globex.x",
		execution, report, "Bearer " + sessionToken, strings.Repeat("a", 1<<20), "acme." + strings.Repeat("a", 1<<20),
		sessionToken + "," + foreignToken, foreignToken + ", " + sessionToken, sessionToken + ",",
	}
	sessions = slices.DeleteFunc(sessions, func(s string) bool { return s == "acme.secret " }) // space around a value is none of it
	others, err := token.NewKeyring(strings.Repeat("o", token.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	head, mac, _ := strings.Cut(report, ".")
	for _, o := range l.operations() {
		if o.scheme == "" {
			continue
		}
		bad := map[string]func(*call){}
		if o.scheme == "session" {
			for _, s := range sessions {
				bad[fmt.Sprintf("session %.40q", s)] = as(s)
			}
			bad["two sessions in two casings"] = func(c *call) {
				c.headers = map[string]string{"x-session-token": sessionToken, "X-Session-Token": foreignToken, "X-SESSION-TOKEN": foreignToken}
			}
			bad["a bearer"] = by(sessionToken)
			bad["a cookie"] = header("cookie", "X-Session-Token="+sessionToken)
			bad["a query"] = func(c *call) {
				c.query = map[string]string{"x-session-token": sessionToken, "session_token": sessionToken}
			}
		} else {
			purpose := token.Purpose(o.scheme)
			right := map[token.Purpose]string{token.Execution: execution, token.Report: report}[purpose]
			wrongPurpose := map[token.Purpose]string{token.Execution: report, token.Report: execution}[purpose]
			for name, s := range map[string]string{
				"empty": "", "no mac": head, "empty mac": head + ".", "only a mac": "." + mac, "cut": right[:len(right)-1], "lengthened": right + "A",
				"another secret": others.Mint(purpose, running, "r"), "another purpose": wrongPurpose, "a session": sessionToken,
				"another's mac": head + "." + strings.Split(execution, ".")[1] + "x", "doubled": right + ", Bearer " + right, "1 MB": strings.Repeat("a", 1<<20),
				"another execution": l.keys.Mint(purpose, project.Ref{Key: running.Key, ProjectUID: running.ProjectUID, ExecutionID: 78}, "r"),
			} {
				bad["bearer "+name] = by(s)
			}
			bad["no scheme"] = header("authorization", right)
			bad["basic"] = header("authorization", "Basic "+right)
			bad["in the session's header"] = as(right)
			bad["two bearers in two casings"] = func(c *call) {
				c.headers = map[string]string{"authorization": "Bearer " + right, "Authorization": "Bearer " + wrongPurpose}
			}
		}
		l.same(o.route, func() {
			for name, f := range bad {
				l.unwritten(o.route+" with "+name, func() {
					if a := l.do(o.handler, o.call(t, "pending", running.ExecutionID, f)); a.status != 401 {
						t.Errorf("%s with %s: got %d %s, want 401", o.route, name, a.status, a.raw)
					}
				})
			}
		})
	}
}

// API2:2023: the answer to two headers that differ is 401 whatever the order
// in which a map yields them; to two that are the same it is that header's.
func TestOWASPAPI2TwoSessionsThatDifferAreNone(t *testing.T) {
	l := newLogin(t)
	l.insert("site", project.Pending)
	for range 20 {
		for _, headers := range []map[string]string{
			{"x-session-token": sessionToken, "X-Session-Token": foreignToken},
			{"X-Session-Token": sessionToken, "X-SESSION-TOKEN": foreignToken},
			{"x-session-token": sessionToken + "," + sessionToken, "X-Session-Token": foreignToken},
			{"x-session-token": sessionToken, "X-Session-Token": ""},
		} {
			c := action("status", "site")
			c.headers = headers
			l.want(l.do(l.status, c), 401, project.CodeSessionInvalid, "")
		}
		c := action("status", "site")
		c.headers = map[string]string{"x-session-token": sessionToken, "X-Session-Token": sessionToken + ", " + sessionToken}
		if a := l.do(l.status, c); a.status != 200 {
			t.Fatalf("the same twice: got %d %s", a.status, a.raw)
		}
	}
}

// API2:2023, timing: what nobody has costs the same calls to the database, in
// the same order, as what somebody has. Counted, not clocked: what takes time is
// the calls, and which of them are made depends on nothing secret.
func TestOWASPAPI2UnknownCostsTheCallsOfKnown(t *testing.T) {
	l := newLogin(t)
	l.insert("site", project.Pending)
	calls := func(do func() answer) string {
		var made []string
		l.db.Wire.Set(func(operation string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
			made = append(made, operation)
			return next()
		})
		a := do()
		l.db.Wire.Set(nil)
		return fmt.Sprint(a.status, " ", made)
	}
	if known, unknown := calls(func() answer { return l.ask("globex") }), calls(func() answer { return l.ask("nobody") }); known != unknown {
		t.Errorf("asking for a code: %s of a tenant, %s of nobody", known, unknown)
	}
	for _, code := range []string{"000000", "999999"} {
		known, unknown := calls(func() answer { return l.verify("globex", code) }), calls(func() answer { return l.verify("nobody", code) })
		if known != unknown {
			t.Errorf("a wrong code: %s of a tenant, %s of nobody", known, unknown)
		}
	}
	status := func(token, id string) func() answer {
		return func() answer { return l.do(l.status, action("status", id, as(token))) }
	}
	unknown := calls(status("acme.wrong", "site"))
	for name, other := range map[string]func() answer{
		"an unknown tenant": status("nobody.wrong", "site"), "an unknown project": status("acme.wrong", "none"), "another's session": status("acme."+foreignToken, "site"),
	} {
		if got := calls(other); got != unknown {
			t.Errorf("%s: %s, want %s", name, got, unknown)
		}
	}
	if own, foreign := calls(status(sessionToken, "none")), calls(status(foreignToken, "site")); own != foreign {
		t.Errorf("a project that is not there: %s, another's: %s", own, foreign)
	}
}

// API2:2023, session fixation: a token that the client brings, in a header or in
// the body, is never the session's, and signing in over a live one makes a new
// one.
func TestOWASPAPI2GivenTokensAreNeverTaken(t *testing.T) {
	l := newLogin(t)
	live := l.signIn()
	given := "t1.chosen-by-somebody-else-000000000000000000"
	for _, t1 := range []string{given, live, sessionToken} {
		a := l.verify("globex", l.code(), as(t1))
		if got := a.body["session_token"]; a.status != 200 || got == t1 {
			t.Errorf("signing in with %.12s…: got %d with %v", t1, a.status, got)
		}
		l.pass(project.LoginCodeWindow)
	}
	for _, member := range []string{"session_token", "token", "token_hash", "tenant_id"} {
		c := call{route: sendCode, body: fmt.Sprintf(`{"tenant_slug":"globex","code":%q,%q:%q}`, l.code(), member, given)}
		l.want(l.do(l.auth, c), 400, project.CodeBodyInvalid, "")
		l.pass(project.LoginCodeWindow)
	}
	l.want(l.with(getSession, given), 401, project.CodeSessionInvalid, "")
}

// API3:2023 Broken Object Property Level Authorization, writing. Tried: members
// that the store has and the call does not take, in each body, at its top and in
// the objects within it, in several casings. Each is refused, with nothing
// written.
func TestOWASPAPI3MassAssignmentIsRefused(t *testing.T) {
	l := newLogin(t)
	running := l.oneInEachState()
	members := []string{
		"execution_status", "status", "status_shard", "tenant_id", "project_id", "version", "attempt", "attempts", "execution_id", "project_uid", "uid",
		"activation_code", "activation_code_hash", "activation_code_hint", "activation_code_revoked_at", "execution_error", "execution_started_at",
		"execution_completed_at", "output_folder_path", "created_at", "subscription_state", "trial_slot", "session_token", "token_hash", "expires_at",
		"last_seen", "started_by", "settled_by", "runner", "times_out_at", "limit_bytes", "is_admin", "role", "__proto__", "constructor", "$set",
		"Execution_Status", "TENANT_ID", "TenantID", "executionStatus",
	}
	tries := 0
	for _, o := range l.operations() {
		example := o.example(t)
		if example == nil {
			continue
		}
		bodies := map[string]string{}
		for _, m := range members {
			if o.schema().Properties[strings.ToLower(m)] != nil {
				continue
			}
			for _, value := range []any{"completed", nil} {
				top := maps.Clone(example)
				delete(top, "expected_attempt")
				top[m] = value
				bodies[fmt.Sprintf("%s %v", m, value)] = jsonOf(t, top)
			}
			for name, inner := range o.schema().Properties {
				if inner.Value.Type.Is("object") {
					deep := maps.Clone(example)
					deep[name] = map[string]any{m: 1}
					bodies[name+"."+m] = jsonOf(t, deep)
				}
			}
		}
		auth := as(sessionToken)
		if o.is("execution_id") {
			auth = by(l.keys.Mint(token.Purpose(o.scheme), running, map[string]string{"report": "r"}[o.scheme]))
		}
		l.same(o.route, func() {
			for name, text := range bodies {
				tries++
				l.unwritten(o.route+" with "+name, func() {
					l.want(l.do(o.handler, o.call(t, "pending", running.ExecutionID, auth, body(text))), 400, project.CodeBodyInvalid, "")
				})
			}
		})
	}
	if tries < 500 {
		t.Errorf("only %d bodies were tried", tries)
	}
}

// API3:2023, reading: no answer to a tenant has what is the platform's: hashes,
// request tokens, the runner's and the job's ids, another's address.
func TestOWASPAPI3AnswersHoldNothingOfThePlatforms(t *testing.T) {
	l := newLogin(t)
	const mark = "platforms-own"
	for _, s := range states {
		l.insert(string(s), s, func(p *project.Project) {
			p.ActivationCode, p.WrittenBy = mark+"-hash", mark+"-written"
			for id, a := range p.Attempts {
				a.RunnerID, a.JobID, a.StartedBy, a.KeyHash, a.SettledBy = mark+"-r", mark+"-j", mark+"-s", mark+"-k", mark+"-e"
				p.Attempts[id] = a
			}
		})
	}
	shown := 0
	for _, o := range l.operations() {
		if o.scheme != "session" {
			continue
		}
		for _, s := range states {
			a := l.do(o.handler, o.call(t, string(s), 0, as(sessionToken)))
			if a.status/100 == 2 {
				shown++
			}
			if strings.Contains(a.raw, mark) || strings.Contains(fmt.Sprint(a.headers), mark) {
				t.Errorf("%s shows %s", o.route, a.raw)
			}
			if strings.Contains(a.raw, project.Hash(sessionToken)) || strings.Contains(a.raw, "@globex.example") {
				t.Errorf("%s shows %s", o.route, a.raw)
			}
			if strings.HasSuffix(o.route, "/logout") || strings.HasSuffix(o.route, "/refresh") {
				l.session(sessionToken, noon.Add(project.SessionLife), noon)
			}
		}
	}
	if shown < 15 {
		t.Errorf("only %d calls succeeded", shown)
	}
}

// API4:2023 Unrestricted Resource Consumption. Tried: bodies over each limit, as
// text and as base64, deep nesting, ids and tokens of 1 MB, and the largest
// answers, which have to fit into Lambda's 6 MB.
func TestOWASPAPI4BodiesHaveLimits(t *testing.T) {
	l := newLogin(t)
	running := l.oneInEachState()
	for _, o := range l.operations() {
		if o.schema() == nil {
			continue
		}
		auth := as(sessionToken)
		if o.is("execution_id") {
			auth = by(l.keys.Mint(token.Purpose(o.scheme), running, map[string]string{"report": "r"}[o.scheme]))
		}
		limit := 64 << 10
		if o.schema().Properties["objectives"] != nil {
			limit = 256 << 10
		}
		within := o.call(t, "pending", running.ExecutionID, auth)
		for name, c := range map[string]call{
			"text":            {body: within.body + strings.Repeat(" ", limit+1-len(within.body))},
			"1 MB":            {body: strings.Repeat("a", 1<<20)},
			"base64":          {body: strings.Repeat("QUFB", limit/3+1), base64: true},
			"1 MB of base64":  {body: strings.Repeat("QUFB", 1<<18), base64: true},
			"broken and long": {body: strings.Repeat("%", limit*2), base64: true},
		} {
			l.same(o.route+" with a body of "+name, func() {
				over := within
				over.body, over.base64 = c.body, c.base64
				l.want(l.do(o.handler, over), 413, project.CodeBodyTooLarge, "")
			})
		}
		for _, deep := range []string{strings.Repeat("[", limit), strings.Repeat(`{"a":`, limit/5), `{"name":` + strings.Repeat("[", limit-100)} {
			l.same(o.route, func() {
				c := within
				c.body = deep
				l.want(l.do(o.handler, c), 400, project.CodeBodyInvalid, "")
			})
		}
		// A refusal never sends back as much as it was sent.
		for _, long := range []string{`{"` + strings.Repeat("<", limit-10) + `":1}`, `{"` + "name" + `":` + strings.Repeat("9", limit-20) + `}`, `{"expected_attempt":` + strings.Repeat("9", limit-30) + `}`} {
			c := within
			c.body = long
			a := l.do(o.handler, c)
			if a.status != 400 || len(a.raw) > 2_000 {
				t.Errorf("%s: got %d and %d bytes, want a 400 of at most 2000", o.route, a.status, len(a.raw))
			}
		}
	}
}

// API4:2023: the largest lists and logs fit into what Lambda may answer.
func TestOWASPAPI4LargestAnswersFit(t *testing.T) {
	const lambda = 6 << 20
	l := newLogin(t)
	worst := strings.Repeat("\x01", project.MaxDescription)
	for i := range 100 {
		l.insert(fmt.Sprintf("p%03d", i), project.Failed, func(p *project.Project) {
			p.Name, p.Description, p.Error = strings.Repeat("<", project.MaxName), worst, strings.Repeat("\"", project.MaxError)
		})
	}
	size := func(h *api.Handler, c call) int {
		event := events.APIGatewayV2HTTPRequest{RouteKey: c.route, Headers: c.headers, PathParameters: c.params, QueryStringParameters: c.query}
		out, err := h.Invoke(t.Context(), []byte(jsonOf(t, event)))
		if err != nil || !strings.Contains(string(out), `"statusCode":200`) {
			t.Fatalf("%s: %.200s, %v", c.route, out, err)
		}
		return len(out)
	}
	if n := size(l.projects, listing("limit", "100")); n > lambda || n < 1<<20 {
		t.Errorf("a list of 100: %d bytes", n)
	}
	l.insert("site", project.Failed, func(p *project.Project) {
		p.Objectives, p.Description = strings.Repeat("\x01", project.MaxObjectives), worst
	})
	if n := size(l.projects, on("GET", "site")); n > lambda {
		t.Errorf("a project: %d bytes", n)
	}
	l.outputs.text = strings.Repeat("\x01", project.MaxLog)
	if n := size(l.projects, reading("log", "site", map[string]string{"tail": "1000"})); n > lambda || n < 1<<20 {
		t.Errorf("two logs of %d bytes: %d bytes", project.MaxLog, n)
	}
}

// API5:2023 Broken Function Level Authorization. Tried: a tenant's session on
// the runners' routes and the runners' tokens on the tenants', a claim by a
// report token and a report by an execution token, and each method that a path
// does not have.
func TestOWASPAPI5EachRoleHasItsRoutes(t *testing.T) {
	l := newLogin(t)
	running := l.oneInEachState()
	execution, report := l.keys.Mint(token.Execution, running, ""), l.keys.Mint(token.Report, running, "r")
	operations := l.operations()
	routes := map[string]bool{}
	for _, o := range operations {
		routes[o.route] = true
		bearers := map[string]string{"execution": execution, "report": report}
		delete(bearers, o.scheme)
		for name, bearer := range bearers {
			if o.scheme == "" {
				continue
			}
			l.same(o.route+" by "+name, func() {
				if a := l.do(o.handler, o.call(t, "pending", running.ExecutionID, by(bearer))); a.status != 401 {
					t.Errorf("%s by an %s token: got %d %s, want 401", o.route, name, a.status, a.raw)
				}
			})
		}
		if o.scheme != "session" && o.scheme != "" {
			l.same(o.route+" by a session", func() {
				if a := l.do(o.handler, o.call(t, "", running.ExecutionID, as(sessionToken))); a.status != 401 {
					t.Errorf("%s by a session: got %d %s, want 401", o.route, a.status, a.raw)
				}
			})
		}
	}
	// A function answers its own routes alone, whatever it is asked for.
	for _, o := range operations {
		method, path, _ := strings.Cut(o.route, " ")
		for _, other := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "ANY"} {
			if routes[other+" "+path] || other == method {
				continue
			}
			l.same(other+" "+path, func() {
				c := o.call(t, "pending", running.ExecutionID, as(sessionToken), by(report))
				c.route = other + " " + path
				l.want(l.do(o.handler, c), 404, project.CodeRouteNotFound, "")
			})
		}
		for _, other := range operations {
			if other.handler != o.handler {
				c := o.call(t, "pending", running.ExecutionID, as(sessionToken))
				if code := l.codeOfAnswer(other.handler, c); code != project.CodeRouteNotFound {
					t.Errorf("the function of %s answers %s: %s", other.route, o.route, code)
				}
				break
			}
		}
	}
}

// API6:2023 Unrestricted Access to Sensitive Business Flows. Tried: asking for
// login codes and guessing them, guessing activation codes, and starting what
// costs money again and again.
func TestOWASPAPI6FlowsHaveTheirLimits(t *testing.T) {
	l := newLogin(t)
	right := l.code()
	for i := range 10 {
		a := l.ask("globex")
		if want := map[bool]int{true: 200, false: 429}[i < project.MaxLoginCodes-1]; a.status != want {
			t.Errorf("code %d of an hour: got %d, want %d", i+2, a.status, want)
		}
		if a.status == 429 && a.headers["retry-after"] == "" {
			t.Error("a 429 without Retry-After")
		}
	}
	mailed := len(l.mails)
	for range project.MaxLoginTries {
		l.want(l.verify("globex", wrong(right)), 401, project.CodeLoginCodeWrong, "")
	}
	// The last code is right, and too late. In the hour there are 15 tries of a
	// million codes, whoever asks and from wherever.
	last := sixDigits.FindString(l.mails[mailed-1].text)
	l.want(l.verify("globex", last), 401, project.CodeLoginCodeSpent, "")

	// 80 bits, of which no hash that a guess has shown tells the next.
	l.insert("site", project.Pending, func(p *project.Project) { p.ActivationCode = "" })
	for range 20 {
		l.want(l.do(l.projects, on("POST /activation-code", "site", codeBody(project.NewActivationCode()))), 400, project.CodeActivationUnknown, "")
	}

	// A start that is asked for 20 times is one execution.
	l.insert("costly", project.Failed)
	before := l.engine.launches()
	for range 20 {
		l.do(l.restart, action("restart", "costly"))
	}
	if n := l.engine.launches() - before; n != 1 {
		t.Errorf("got %d launches of 20 restarts, want 1", n)
	}
}

// API7:2023 Server Side Request Forgery does not apply: no call takes a URL. To
// be sure, each text of each call is one of a server that nobody may ask.
func TestOWASPAPI7NoTextIsTakenForAnAddress(t *testing.T) {
	l := newLogin(t)
	running := l.oneInEachState()
	url, asked := listener(t)
	for _, o := range l.operations() {
		for name, p := range properties(o.schema()) {
			if p.Value.Format == "uri" || strings.Contains(name, "url") || strings.Contains(name, "webhook") || strings.Contains(name, "callback") {
				t.Errorf("%s takes a URL in %s: API7 applies", o.route, name)
			}
		}
		auth := as(sessionToken)
		if o.is("execution_id") {
			auth = by(l.keys.Mint(token.Purpose(o.scheme), running, map[string]string{"report": "r"}[o.scheme]))
		}
		c := o.call(t, "failed", running.ExecutionID, auth)
		if example := o.example(t); example != nil {
			for name, v := range example {
				if _, isText := v.(string); isText && name != "outcome" {
					example[name] = url
				}
			}
			c.body = jsonOf(t, example)
		}
		c.headers["referer"], c.headers["origin"], c.headers["x-forwarded-host"], c.headers["host"], c.headers["idempotency-key"] = url, url, url, url, url
		c.query = map[string]string{"search": url, "cursor": url, "url": url}
		l.do(o.handler, c)
		if strings.HasSuffix(o.route, "/logout") || strings.HasSuffix(o.route, "/refresh") {
			l.session(sessionToken, noon.Add(project.SessionLife), noon)
		}
		if o.op.OperationID == "deleteProject" {
			l.insert("failed", project.Failed)
		}
	}
	if n := asked(); n != 0 {
		t.Errorf("somebody asked the address %d times", n)
	}
}

// API8:2023 Security Misconfiguration: each answer, a refusal as well, is JSON
// that no browser takes for anything else and no cache keeps; what the caller
// wrote comes back in it as text.
func TestOWASPAPI8AnswersAreNothingButJSON(t *testing.T) {
	l := newLogin(t)
	running := l.oneInEachState()
	const hostile = `</script><script>alert(1)</script>=cmd|'/c calc'!A1"><img src=x onerror=alert(1)>`
	check := func(route string, a answer) {
		t.Helper()
		if a.headers["content-type"] != "application/json" || a.headers["x-content-type-options"] != "nosniff" || a.headers["cache-control"] != "no-store" {
			t.Errorf("%s: got the headers %v", route, a.headers)
		}
		if strings.Contains(a.raw, "<script>") || strings.Contains(a.raw, "<img") {
			t.Errorf("%s: an HTML parser finds a tag in %s", route, a.raw)
		}
	}
	for _, o := range l.operations() {
		for _, auth := range []func(*call){as(sessionToken), as(hostile), by(hostile), by(l.keys.Mint(token.Report, running, "r"))} {
			for _, text := range []string{"", hostile, jsonOf(t, map[string]any{hostile: hostile})} {
				c := o.call(t, "pending", running.ExecutionID, auth)
				if text != "" {
					c.body = text
				}
				check(o.route, l.do(o.handler, c))
				c.headers["content-type"] = hostile
				check(o.route, l.do(o.handler, c))
				c.params = map[string]string{"project_id": hostile, "execution_id": hostile}
				c.query = map[string]string{"limit": hostile, "status": hostile, "cursor": hostile, "search": hostile, "tail": hostile}
				check(o.route, l.do(o.handler, c))
				if o.op.OperationID == "deleteProject" {
					l.insert("pending", project.Pending)
				}
				if o.op.OperationID == "logout" || o.op.OperationID == "refreshSession" {
					l.session(sessionToken, noon.Add(project.SessionLife), noon)
				}
			}
		}
	}
	made := l.do(l.projects, creating(jsonOf(t, project.Draft{Name: hostile, Description: hostile, Objectives: hostile})))
	if made.status != 201 || made.body["name"] != hostile || made.body["objectives"] != hostile {
		t.Fatalf("got %d %s", made.status, made.raw)
	}
	check("create", made)
	check("list", l.do(l.projects, listing("search", "<script>")))
	l.insert("hostile", project.Failed, func(p *project.Project) { p.Error = hostile })
	check("status", l.do(l.status, action("status", "hostile")))
}

// API9:2023 Improper Inventory Management: the routes of template.yaml are those
// of docs/openapi.yaml (TestOpenAPIHasTheTemplatesRoutes), and each of them is
// one that a function has.
func TestOWASPAPI9EachRouteIsAFunctions(t *testing.T) {
	l := newLogin(t)
	for _, o := range l.operations() {
		if a := l.do(o.handler, o.call(t, "none", 1)); a.code() == string(project.CodeRouteNotFound) {
			t.Errorf("no function answers %s", o.route)
		}
		for _, shadow := range []string{"/v1", "/v2", "/beta", "/internal", "/admin", "/debug"} {
			method, path, _ := strings.Cut(o.route, " ")
			c := o.call(t, "none", 1, as(sessionToken))
			c.route = method + " " + shadow + path
			l.want(l.do(o.handler, c), 404, project.CodeRouteNotFound, "")
		}
	}
}

// Ids and names that lead elsewhere are refused before anything is read.
func TestIDsThatLeadElsewhereAreRefused(t *testing.T) {
	l := newLogin(t)
	l.oneInEachState()
	for _, o := range l.operations() {
		for _, id := range []string{
			"", ".", "..", "../acme", "a/b", `a\b`, "%2e%2e", "%2e%2e%2facme", "..%c0%af", "\xc0\xae\xc0\xae", "a\x00", "a\n", "A", "-a", "a b", "é", "a.b", "ａ",
			"acme/running", "running ", " running", "running#07", strings.Repeat("a", 101), strings.Repeat("a", 1<<20),
		} {
			if !o.is("project_id") {
				continue
			}
			l.same(o.route, func() {
				l.want(l.do(o.handler, o.call(t, id, 0, as(sessionToken))), 400, project.CodeProjectIDInvalid, "")
			})
		}
		for _, id := range []string{"", "0", "-1", "77.0", "7e1", "0x4d", "９", "77/../78", "77 ", "9223372036854775808", strings.Repeat("7", 1<<20)} {
			if !o.is("execution_id") {
				continue
			}
			c := o.call(t, "", 0, by(l.keys.Mint(token.Purpose(o.scheme), project.Ref{Key: key("running"), ProjectUID: "uid-running", ExecutionID: 77}, "r")))
			c.params["execution_id"] = id
			l.same(o.route, func() { l.want(l.do(o.handler, c), 400, project.CodeExecutionIDWrong, "") })
		}
	}
}

func properties(s *openapi3.Schema) openapi3.Schemas {
	if s == nil {
		return nil
	}
	return s.Properties
}
