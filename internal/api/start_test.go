package api_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
)

func TestRunStartsAPendingProject(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	a := w.do(w.run, action("run", "site"))
	if a.status != 200 {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	id := a.number("execution_id")
	want := fmt.Sprintf(`{"success":true,"message":"Project execution started successfully","execution_id":%d,"status":"running","output_folder_path":"/out/acme/uid-site/%d/"}`, id, id)
	if a.raw != want {
		t.Errorf("got  %s\nwant %s", a.raw, want)
	}
	p := w.db.Read(t, key("site"))
	if p.Status != project.Running || p.ExecutionID != id || p.Attempt != 1 || !p.StartedAt.Equal(noon) || !p.CompletedAt.IsZero() {
		t.Errorf("got %+v", p)
	}
	if got := w.engine.launched; len(got) != 1 || got[0] != p.Ref() {
		t.Errorf("launched %v, want %v", got, p.Ref())
	}
}

func TestRestartClearsErrorAndTimesAndReusesRunsPath(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Failed)
	a := w.do(w.restart, action("restart", "site"))
	if a.status != 200 {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	id := a.number("execution_id")
	want := fmt.Sprintf(`{"success":true,"message":"Project execution restarted successfully","execution_id":%d,"status":"running","output_folder_path":"/out/acme/uid-site/%d/"}`, id, id)
	if a.raw != want {
		t.Errorf("got  %s\nwant %s", a.raw, want)
	}
	p := w.db.Read(t, key("site"))
	if p.Status != project.Running || p.Error != "" || !p.CompletedAt.IsZero() || !p.StartedAt.Equal(noon) || p.Attempt != 2 || id <= 77 {
		t.Errorf("got %+v", p)
	}
	if w.engine.launches() != 1 {
		t.Errorf("launches: got %d, want 1", w.engine.launches())
	}
}

func TestRestartRefusesWhatHasNotFailed(t *testing.T) {
	w := newWorld(t)
	for _, status := range []project.Status{project.Pending, project.Running, project.Completed} {
		id := string(status)
		w.insert(id, status)
		before := w.db.Item(t, key(id))
		a := w.do(w.restart, action("restart", id))
		w.want(a, 400, project.CodeNotFailed, "Only failed projects can be restarted. Current status: "+id)
		if !reflect.DeepEqual(before, w.db.Item(t, key(id))) {
			t.Errorf("%s: the refusal changed the item", id)
		}
	}
}

func TestRunRefusesWhatIsNotPending(t *testing.T) {
	w := newWorld(t)
	for status, want := range map[project.Status]struct {
		code   project.Code
		detail string
	}{
		project.Running:   {project.CodeNotPending, "Only pending projects can be run. Current status: running"},
		project.Completed: {project.CodeNotPending, "Only pending projects can be run. Current status: completed"},
		project.Failed:    {project.CodeUseRestart, "Only pending projects can be run. Current status: failed. Use restart to run it again"},
	} {
		id := string(status)
		w.insert(id, status)
		w.want(w.do(w.run, action("run", id)), 400, want.code, want.detail)
	}
	if w.engine.launches() != 0 {
		t.Error("a refused run was launched")
	}
}

func TestStartValidatesBeforeItWrites(t *testing.T) {
	w := newWorld(t)
	for i, c := range []struct {
		name   string
		change func(*project.Project)
		code   project.Code
	}{
		{"no activation code", func(p *project.Project) { p.ActivationCode = "" }, project.CodeActivationMissing},
		{"revoked activation code", func(p *project.Project) { p.ActivationCodeRevokedAt = noon }, project.CodeActivationRevoked},
		{"no name", func(p *project.Project) { p.Name = "" }, project.CodeFieldMissing},
		{"blank description", func(p *project.Project) { p.Description = " \n" }, project.CodeFieldMissing},
		{"no objectives", func(p *project.Project) { p.Objectives = "" }, project.CodeFieldMissing},
	} {
		for verb, status := range map[string]project.Status{"run": project.Pending, "restart": project.Failed} {
			t.Run(verb+"/"+c.name, func(t *testing.T) {
				id := fmt.Sprintf("%s-%d", verb, i)
				w.insert(id, status, c.change)
				before := w.db.Item(t, key(id))
				a := w.do(w.handler(verb), action(verb, id))
				w.want(a, 400, c.code, "")
				if !reflect.DeepEqual(before, w.db.Item(t, key(id))) {
					t.Error("the refusal changed the item")
				}
			})
		}
	}
	if w.engine.launches() != 0 {
		t.Error("a refused start was launched")
	}
}

func TestSubscriptionDecides(t *testing.T) {
	w := newWorld(t)
	for _, s := range append([]project.Subscription{project.NoSubscription, "gold"}, project.Subscriptions...) {
		tenant := "tenant-" + string(s)
		w.tenant(tenant, s)
		w.session(tenant+".x", noon.Add(time.Hour), noon)
		w.db.Insert(t, &project.Project{
			Key: project.Key{TenantID: tenant, ProjectID: "site"}, UID: "u", Version: 1, Name: "N", Description: "D", Objectives: "O",
			ActivationCode: "h", Status: project.Pending,
		})
		a := w.do(w.run, action("run", "site", header("x-session-token", tenant+".x")))
		if allowed := s == project.Active || s == project.Trialing; allowed != (a.status == 200) {
			t.Errorf("%q: got %d %s", s, a.status, a.raw)
		} else if !allowed && !strings.HasPrefix(a.code(), "subscription_") {
			t.Errorf("%q: got code %s", s, a.code())
		}
	}
}

func TestExpectedAttempt(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Failed)
	before := w.db.Item(t, key("site"))
	a := w.do(w.restart, action("restart", "site", body(`{"expected_attempt":2}`)))
	w.want(a, 409, project.CodeAttemptDiffers, "")
	if a.number("attempt") != 1 || a.body["status"] != "failed" {
		t.Errorf("got %s, want the present attempt 1 and status failed", a.raw)
	}
	if !reflect.DeepEqual(before, w.db.Item(t, key("site"))) {
		t.Error("the refusal changed the item")
	}
	if a := w.do(w.restart, action("restart", "site", body(`{"expected_attempt":1}`))); a.status != 200 {
		t.Errorf("the right one: got %d %s", a.status, a.raw)
	}
	w.insert("new", project.Pending)
	if a := w.do(w.run, action("run", "new", body(`{"expected_attempt":0}`))); a.status != 200 {
		t.Errorf("0 for a project that never ran: got %d %s", a.status, a.raw)
	}
}

func TestUnknownAndForeignProjectsAreTheSame404(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Failed)
	for _, verb := range []string{"run", "restart", "status"} {
		unknown := w.do(w.handler(verb), action(verb, "nothing"))
		foreign := w.do(w.handler(verb), action(verb, "site", header("x-session-token", foreignToken)))
		w.want(unknown, 404, project.CodeProjectNotFound, "Project not found")
		if foreign.raw != unknown.raw || foreign.status != unknown.status {
			t.Errorf("%s: foreign %d %s, unknown %d %s", verb, foreign.status, foreign.raw, unknown.status, unknown.raw)
		}
	}
}

func TestSessionIsChecked(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Failed)
	w.session("acme.expired", noon, noon)
	w.session("acme.idle", noon.Add(time.Hour), noon.Add(-30*time.Minute))
	stolen := &project.Session{TokenHash: project.Hash("acme.stolen"), TenantID: "rival", ExpiresAt: noon.Add(time.Hour), LastSeen: noon}
	if _, err := w.db.PutSession(t.Context(), stolen, noon); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, token string
		code        project.Code
	}{
		{"none", "", project.CodeSessionMissing},
		{"unknown", "acme.unknown", project.CodeSessionInvalid},
		{"without a tenant", "secret", project.CodeSessionInvalid},
		{"without a secret", "acme.", project.CodeSessionInvalid},
		{"another tenant's", "acme.stolen", project.CodeSessionInvalid},
		{"expired", "acme.expired", project.CodeSessionExpired},
		{"idle", "acme.idle", project.CodeSessionIdle},
		{"two that differ", sessionToken + "," + foreignToken, project.CodeSessionInvalid},
		{"very long", "acme." + strings.Repeat("x", 5000), project.CodeSessionInvalid},
	} {
		for _, verb := range []string{"run", "restart", "status"} {
			t.Run(c.name+"/"+verb, func(t *testing.T) {
				a := w.do(w.handler(verb), action(verb, "site", header("x-session-token", c.token)))
				if a.status != 401 || a.code() != string(c.code) {
					t.Errorf("got %d %s, want 401 %s", a.status, a.raw, c.code)
				}
				ended := c.code == project.CodeSessionExpired || c.code == project.CodeSessionIdle
				if ended != strings.Contains(a.detail(), "Session expired") {
					t.Errorf("detail: got %q", a.detail())
				}
			})
		}
	}
	// The session comes before anything else that is wrong.
	a := w.do(w.restart, action("restart", "../..", header("x-session-token", "acme.unknown"), body("{")))
	w.want(a, 401, project.CodeSessionInvalid, "")
}

// (aws/aws-lambda-go 117)
func TestSessionHeaderInAnyCasingAndMultiplied(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	for _, h := range []call{
		{headers: map[string]string{"x-session-token": sessionToken}},
		{headers: map[string]string{"X-Session-Token": sessionToken}},
		{headers: map[string]string{"X-SESSION-TOKEN": sessionToken}},
		{headers: map[string]string{"x-session-token": sessionToken + "," + sessionToken}},
		{headers: map[string]string{"x-session-token": " " + sessionToken + " , " + sessionToken}},
	} {
		a := w.do(w.status, action("status", "site", func(c *call) { c.headers = h.headers }))
		if a.status != 200 {
			t.Errorf("%v: got %d %s", h.headers, a.status, a.raw)
		}
	}
}

func TestSessionUseIsRecordedAtMostOnceInFiveMinutes(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	w.db.Wire.Set(nil)
	w.pass(project.SessionTouch - time.Second)
	w.do(w.status, action("status", "site"))
	if n := w.db.Wire.Calls()["UpdateItem"]; n != 0 {
		t.Errorf("touched after 4:59: %d", n)
	}
	w.pass(time.Second)
	w.do(w.status, action("status", "site"))
	w.do(w.status, action("status", "site"))
	if n := w.db.Wire.Calls()["UpdateItem"]; n != 1 {
		t.Errorf("touched %d times after 5:00, want 1", n)
	}
	// Use keeps it alive past the idle limit, not past its end.
	w.pass(29 * time.Minute)
	if a := w.do(w.status, action("status", "site")); a.status != 200 {
		t.Errorf("after 29 idle minutes: got %d", a.status)
	}
	for range 60 {
		w.pass(25 * time.Minute)
		w.do(w.status, action("status", "site"))
	}
	w.want(w.do(w.status, action("status", "site")), 401, project.CodeSessionExpired, "")
}

func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Failed)
	before := w.db.Item(t, key("site"))
	b64 := func(c *call) { c.base64 = true }
	for _, c := range []struct {
		name   string
		status int
		code   project.Code
		change func(*call)
	}{
		{"malformed JSON", 400, project.CodeBodyInvalid, body(`{"expected_attempt":`)},
		{"a list", 400, project.CodeBodyInvalid, body(`[]`)},
		{"text for a number", 400, project.CodeBodyInvalid, body(`{"expected_attempt":"1"}`)},
		{"a fraction", 400, project.CodeBodyInvalid, body(`{"expected_attempt":1.5}`)},
		{"a negative", 400, project.CodeBodyInvalid, body(`{"expected_attempt":-1}`)},
		{"huge", 400, project.CodeBodyInvalid, body(`{"expected_attempt":1e400}`)},
		{"an unknown member", 400, project.CodeBodyInvalid, body(`{"execution_status":"pending"}`)},
		{"two values", 400, project.CodeBodyInvalid, body(`{}{}`)},
		{"not UTF-8", 400, project.CodeBodyInvalid, func(c *call) { c.body, c.base64 = base64.StdEncoding.EncodeToString([]byte("{\"a\xff\":1}")), true }},
		{"over its limit", 413, project.CodeBodyTooLarge, body(`{"expected_attempt":` + strings.Repeat(" ", 64<<10) + `1}`)},
		{"over its limit in base64", 413, project.CodeBodyTooLarge, func(c *call) { b64(c); c.body = base64.StdEncoding.EncodeToString(make([]byte, 70<<10)) }},
		{"broken base64", 400, project.CodeBodyEncoding, func(c *call) { b64(c); c.body = "%%%" }},
		{"unknown content type", 415, project.CodeContentType, func(c *call) { header("content-type", "text/xml")(c); c.body = "<a/>" }},
		{"broken content type", 415, project.CodeContentType, func(c *call) { header("content-type", ";;")(c); c.body = "{}" }},
		{"empty key", 400, project.CodeIdempotencyKeyInvalid, header("idempotency-key", "")},
		{"long key", 400, project.CodeIdempotencyKeyInvalid, header("idempotency-key", strings.Repeat("k", 256))},
		{"non-ASCII key", 400, project.CodeIdempotencyKeyInvalid, header("idempotency-key", "ключ")},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := w.do(w.restart, action("restart", "site", c.change))
			w.want(a, c.status, c.code, "")
			if a.detail() == "" {
				t.Error("no detail")
			}
		})
	}
	for _, id := range []string{"a/b", "a#b", "a\x00b", "..", "a.b", strings.Repeat("a", 10_000), "żółw", "", "-a", "A"} {
		for _, verb := range []string{"run", "restart", "status"} {
			w.want(w.do(w.handler(verb), action(verb, id)), 400, project.CodeProjectIDInvalid, "")
		}
	}
	if !reflect.DeepEqual(before, w.db.Item(t, key("site"))) {
		t.Error("bad input changed the item")
	}
	for name, good := range map[string]func(*call){
		"base64": func(c *call) {
			c.base64, c.body = true, base64.StdEncoding.EncodeToString([]byte(`{"expected_attempt":1}`))
		},
		"null":                body("null"),
		"blank":               body(" \n"),
		"JSON with a charset": func(c *call) { header("Content-Type", "application/json; charset=utf-8")(c); c.body = "{}" },
	} {
		id := "good-" + strings.ToLower(name[:4])
		w.insert(strings.TrimSpace(id), project.Failed)
		if a := w.do(w.restart, action("restart", id, good)); a.status != 200 {
			t.Errorf("%s: got %d %s", name, a.status, a.raw)
		}
	}
}

// (argoproj/argo-workflows 7590)
func TestSameKeyTwiceGivesOneExecution(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	c := action("run", "site", header("Idempotency-Key", "click-1"))
	first, second := w.do(w.run, c), w.do(w.run, c)
	if first.status != 200 || second.raw != first.raw {
		t.Errorf("got %s\nthen %s", first.raw, second.raw)
	}
	if w.engine.launches() != 1 {
		t.Errorf("launches: got %d, want 1", w.engine.launches())
	}
	// Even after it has ended, and whatever is expected by then.
	p := w.db.Read(t, key("site"))
	if _, err := w.db.Settle(t.Context(), project.Settlement{Ref: p.Ref(), Event: project.Fail, Error: "e", At: noon, Token: "t"}); err != nil {
		t.Fatal(err)
	}
	if again := w.do(w.run, c); again.raw != first.raw {
		t.Errorf("after its end: got %d %s, want the first answer", again.status, again.raw)
	}
	if a := w.do(w.restart, action("restart", "site", header("Idempotency-Key", "click-1"))); a.status != 422 || a.code() != string(project.CodeIdempotencyKeyReused) {
		t.Errorf("the key on the other operation: got %d %s, want 422", a.status, a.raw)
	}
	if w.engine.launches() != 1 {
		t.Errorf("launches: got %d, want 1", w.engine.launches())
	}
}

func TestRefusalsAreNotRemembered(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Running)
	c := action("restart", "site", header("Idempotency-Key", "click-1"))
	w.want(w.do(w.restart, c), 400, project.CodeNotFailed, "")
	p := w.db.Read(t, key("site"))
	if _, err := w.db.Settle(t.Context(), project.Settlement{Ref: p.Ref(), Event: project.Fail, Error: "e", At: noon, Token: "t"}); err != nil {
		t.Fatal(err)
	}
	if a := w.do(w.restart, c); a.status != 200 {
		t.Errorf("got %d %s, want a restart", a.status, a.raw)
	}
}

func TestSameKeyLaunchesAgainWhatWasNeverLaunched(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	c := action("run", "site", header("Idempotency-Key", "k"))
	first := w.do(w.run, c)
	ref := w.db.Read(t, key("site")).Ref()
	delete(w.engine.alive, ref.ExecutionID) // the function died before its launch
	if w.do(w.run, c); w.engine.launches() != 1 {
		t.Errorf("launches: got %d, want 1: the first request may still be about to launch", w.engine.launches())
	}
	w.pass(15 * time.Second)
	if again := w.do(w.run, c); again.raw != first.raw || w.engine.launches() != 2 {
		t.Errorf("got %s and %d launches, want the first answer and 2", again.raw, w.engine.launches())
	}
	delete(w.engine.alive, ref.ExecutionID)
	if _, err := w.db.Claim(t.Context(), ref, project.Claim{RunnerID: "r", JobID: "j"}, noon); err != nil {
		t.Fatal(err)
	}
	if w.do(w.run, c); w.engine.launches() != 2 {
		t.Errorf("a claimed execution was launched again: %d launches", w.engine.launches())
	}
}

func TestTwinsWithOneKeyLaunchOnce(t *testing.T) {
	w := newWorld(t)
	for round := range 5 {
		id := fmt.Sprintf("site-%d", round)
		w.insert(id, project.Failed)
		before := w.engine.launches()
		answers := make([]answer, 20)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = w.do(w.restart, action("restart", id, header("idempotency-key", "twin"))) })
		}
		wg.Wait()
		for i, a := range answers {
			if a.status != 200 || a.raw != answers[0].raw {
				t.Errorf("twin %d: got %d %s, want %s", i, a.status, a.raw, answers[0].raw)
			}
		}
		p := w.db.Read(t, key(id))
		if p.Attempt != 2 {
			t.Errorf("attempt: got %d, want 2", p.Attempt)
		}
		if n := w.engine.launches() - before; n != 1 {
			t.Errorf("launches: got %d, want 1", n)
		}
	}
}

// (argo-workflows 12615)
func TestFiftyRestartsAtOnceStartOne(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Failed)
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		accepted int
		refused  int
	)
	for range 50 {
		wg.Go(func() {
			a := w.do(w.restart, action("restart", "site"))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.status == 200:
				accepted++
			case a.status == 400 && a.detail() == "Only failed projects can be restarted. Current status: running":
				refused++
			default:
				t.Errorf("got %d %s", a.status, a.raw)
			}
		})
	}
	wg.Wait()
	if accepted != 1 || refused != 49 {
		t.Errorf("accepted %d, refused %d; want 1 and 49", accepted, refused)
	}
	p := w.db.Read(t, key("site"))
	if p.Attempt != 2 || p.Status != project.Running || !p.CompletedAt.IsZero() {
		t.Errorf("got attempt %d, %s, completed %s; want 2, running, none", p.Attempt, p.Status, p.CompletedAt)
	}
	if w.engine.launches() != 1 {
		t.Errorf("launches: got %d, want 1", w.engine.launches())
	}
}

func TestLostReplyOfTheStartIsASuccessToTheCaller(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Failed)
	w.db.Wire.LoseReply("UpdateItem", 1)
	a := w.do(w.restart, action("restart", "site"))
	calls := w.db.Wire.Calls()["UpdateItem"]
	w.db.Wire.Set(nil)
	if a.status != 200 || calls != 2 {
		t.Fatalf("got %d %s after %d writes, want 200 after 2", a.status, a.raw, calls)
	}
	if p := w.db.Read(t, key("site")); p.ExecutionID != a.number("execution_id") || p.Attempt != 2 {
		t.Errorf("stored %d at attempt %d, answered %d", p.ExecutionID, p.Attempt, a.number("execution_id"))
	}
	if w.engine.launches() != 1 {
		t.Errorf("launches: got %d, want 1", w.engine.launches())
	}
}

func TestRefusedLaunchFailsTheProject(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	w.engine.refuse = errors.New("AccessDenied: arn:aws:secret")
	a := w.do(w.run, action("run", "site"))
	w.want(a, 502, project.CodeLaunchRefused, "The project could not be launched: the execution engine did not accept it")
	p := w.db.Read(t, key("site"))
	if p.Status != project.Failed || p.Error != a.detail() || p.CompletedAt.IsZero() {
		t.Errorf("got %s %q", p.Status, p.Error)
	}
	if strings.Contains(a.raw, "arn:") {
		t.Errorf("the answer leaks the engine's words: %s", a.raw)
	}
	if !strings.Contains(w.logs.String(), "arn:aws:secret") {
		t.Error("the log does not have the cause")
	}
	// And restart is then the way.
	w.engine.refuse = nil
	if a := w.do(w.restart, action("restart", "site")); a.status != 200 {
		t.Errorf("restart: got %d %s", a.status, a.raw)
	}
}

func TestRefusedLaunchOfAClaimedExecutionIsASuccess(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	w.engine.refuse = errors.New("timeout")
	w.engine.onLaunch = func(ref project.Ref) {
		if _, err := w.db.Claim(t.Context(), ref, project.Claim{RunnerID: "r", JobID: "j"}, noon); err != nil {
			t.Error(err)
		}
	}
	if a := w.do(w.run, action("run", "site")); a.status != 200 {
		t.Errorf("got %d %s, want 200: it did start", a.status, a.raw)
	}
	if p := w.db.Read(t, key("site")); p.Status != project.Running {
		t.Errorf("status: got %s, want running", p.Status)
	}
}

func TestDatabaseFaultsAre503OrA500ThatLeaksNothing(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Failed)
	for _, c := range []struct {
		name, fault string
		http        int
		status      int
		code        project.Code
	}{
		{"throttled", `{"__type":"x#ThrottlingException","message":"m"}`, 400, 503, project.CodeUnavailable},
		{"broken", `{"__type":"x#InternalServerError","message":"m"}`, 500, 503, project.CodeUnavailable},
		{"denied", `{"__type":"x#AccessDeniedException","message":"arn:aws:secret-thing"}`, 400, 500, project.CodeInternal},
	} {
		for _, verb := range []string{"run", "restart", "status"} {
			t.Run(c.name+"/"+verb, func(t *testing.T) {
				w.db.Wire.Set(func(string, int, func() (*http.Response, error)) (*http.Response, error) {
					return dynamotest.Answer(c.http, c.fault), nil
				})
				defer w.db.Wire.Set(nil)
				a := w.do(w.handler(verb), action(verb, "site"))
				w.want(a, c.status, c.code, "")
				if c.status == 503 && a.headers["retry-after"] == "" {
					t.Error("no Retry-After")
				}
				if c.status == 500 && !strings.Contains(a.detail(), "req-1") {
					t.Errorf("detail: got %q, want the request id", a.detail())
				}
				if strings.Contains(a.raw, "arn:") {
					t.Errorf("leaks: %s", a.raw)
				}
			})
		}
	}
}

func TestTrialingTenantRunsOneProjectAtATime(t *testing.T) {
	w := newWorld(t)
	w.tenant("try", project.Trialing)
	w.session("try.x", noon.Add(time.Hour), noon)
	var ids []string
	for i := range 4 {
		id := fmt.Sprintf("p%d", i)
		ids = append(ids, id)
		w.db.Insert(t, &project.Project{
			Key: project.Key{TenantID: "try", ProjectID: id}, UID: "u" + id, Version: 1, Name: "N", Description: "D", Objectives: "O",
			ActivationCode: "h", Status: project.Pending,
		})
	}
	as := header("x-session-token", "try.x")
	if a := w.do(w.run, action("run", ids[0], as)); a.status != 200 {
		t.Fatalf("first: got %d %s", a.status, a.raw)
	}
	a := w.do(w.run, action("run", ids[1], as))
	w.want(a, 400, project.CodeTrialSlotTaken, "A trial runs one project at a time, and p0 is running")
	ref := w.db.Read(t, project.Key{TenantID: "try", ProjectID: "p0"}).Ref()
	if _, err := w.db.Settle(t.Context(), project.Settlement{Ref: ref, Event: project.Fail, Error: "e", At: noon, Token: "t"}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes := map[string]int{}
	for i := range 50 {
		wg.Go(func() {
			a := w.do(w.run, action("run", ids[1+i%3], as))
			mu.Lock()
			defer mu.Unlock()
			codes[fmt.Sprint(a.status, a.code())]++
		})
	}
	wg.Wait()
	if n := codes["200"] + codes["200 "]; n != 1 {
		t.Errorf("accepted %d of 50, want 1: %v", n, codes)
	}
	running := 0
	for _, id := range ids {
		if w.db.Read(t, project.Key{TenantID: "try", ProjectID: id}).Status == project.Running {
			running++
		}
	}
	if running != 1 {
		t.Errorf("running: got %d, want 1", running)
	}
}

func TestAClockSetBackRepeatsNoExecutionID(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	seen := map[int64]bool{}
	for i := range 8 {
		verb := "restart"
		if i == 0 {
			verb = "run"
		}
		a := w.do(w.handler(verb), action(verb, "site"))
		id := a.number("execution_id")
		if a.status != 200 || seen[id] {
			t.Fatalf("round %d: got %d %s", i, a.status, a.raw)
		}
		seen[id] = true
		p := w.db.Read(t, key("site"))
		if _, err := w.db.Settle(t.Context(), project.Settlement{Ref: p.Ref(), Event: project.Fail, Error: "e", At: w.clock(), Token: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		w.pass(-48 * time.Hour)
		w.session(fmt.Sprintf("acme.s%d", i), w.clock().Add(project.SessionLife), w.clock())
	}
}

func TestRouteThatIsNotThereIsOur404(t *testing.T) {
	w := newWorld(t)
	for _, route := range []string{"$default", "GET /nothing", ""} {
		w.want(w.do(w.status, call{route: route}), 404, project.CodeRouteNotFound, "")
	}
}
