package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rekindle/internal/project"
)

const (
	allProjects = "/api/tenant/projects"
	oneProject  = allProjects + "/{project_id}"
)

// on is a call on one of acme's projects: "PUT" for the project itself, "POST
// /cancel" for what is below it.
func on(what, id string, more ...func(*call)) call {
	method, below, _ := strings.Cut(what, " ")
	c := call{route: method + " " + oneProject + below, params: map[string]string{"project_id": id}, headers: map[string]string{"x-session-token": sessionToken}}
	for _, f := range more {
		f(&c)
	}
	return c
}

// listing is a call of the list, with its query as name, value pairs.
func listing(query ...string) call {
	c := call{route: "GET " + allProjects, query: map[string]string{}, headers: map[string]string{"x-session-token": sessionToken}}
	for i := 0; i < len(query); i += 2 {
		c.query[query[i]] = query[i+1]
	}
	return c
}

func creating(body string) call {
	return call{route: "POST " + allProjects, body: body, headers: map[string]string{"x-session-token": sessionToken}}
}

func draft(name string) string {
	text, _ := json.Marshal(project.Draft{Name: name, Description: "What it is", Objectives: "Home"})
	return string(text)
}

func foreign(c *call) { header("x-session-token", foreignToken)(c) }

// code issues an activation code and returns it.
func (w *world) code(change ...func(*project.ActivationCode)) string {
	w.t.Helper()
	plain := project.NewActivationCode()
	c := project.ActivationCode{Hash: w.hasher.Hash(project.KindActivation, plain), Hint: plain[len(plain)-4:], IssuedAt: noon}
	for _, f := range change {
		f(&c)
	}
	if err := w.db.IssueCode(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
	return plain
}

func codeBody(code string) func(*call) { return body(`{"code":"` + code + `"}`) }

// ids returns those of a page.
func ids(a answer) []string {
	all := []string{}
	list, _ := a.body["projects"].([]any)
	for _, p := range list {
		all = append(all, p.(map[string]any)["project_id"].(string))
	}
	return all
}

// everything pages to the end and returns every page.
func (w *world) everything(query ...string) [][]string {
	w.t.Helper()
	var pages [][]string
	cursor := ""
	for {
		a := w.do(w.projects, listing(append(query, "cursor", cursor)...))
		if a.status != 200 {
			w.t.Fatalf("page %d: %d %s", len(pages), a.status, a.raw)
		}
		pages = append(pages, ids(a))
		next, more := a.body["next_cursor"].(string)
		if !more {
			return pages
		}
		cursor = next
	}
}

// fill puts n projects of acme, p000 the oldest.
func (w *world) fill(n int, change ...func(int, *project.Project)) {
	w.t.Helper()
	for i := range n {
		w.insert(fmt.Sprintf("p%03d", i), project.Pending, func(p *project.Project) {
			p.CreatedAt = noon.Add(time.Duration(i-n) * time.Minute)
			for _, f := range change {
				f(i, p)
			}
		})
	}
}

func TestEachProjectsCallNeedsALiveSession(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	calls := []call{
		listing(), creating(draft("x")), on("GET", "site"), on("PUT", "site"), on("DELETE", "site"),
		on("POST /activation-code", "site"), on("POST /cancel", "site"),
	}
	before := w.db.Item(t, key("site"))
	for _, c := range calls {
		bare := c
		bare.headers = nil
		w.want(w.do(w.projects, bare), 401, project.CodeSessionMissing, "")
	}
	w.pass(project.SessionIdle)
	for _, c := range calls {
		w.want(w.do(w.projects, c), 401, project.CodeSessionIdle, "")
	}
	w.pass(project.SessionLife)
	for _, c := range calls {
		w.want(w.do(w.projects, c), 401, project.CodeSessionExpired, "")
	}
	if !reflect.DeepEqual(before, w.db.Item(t, key("site"))) {
		t.Error("a call without a session changed the project")
	}
}

func TestAnotherTenantsProjectIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Running)
	before := w.db.Item(t, key("site"))
	code := w.code()
	for _, c := range []call{
		on("GET", "site", foreign), on("DELETE", "site", foreign), on("POST /cancel", "site", foreign),
		on("PUT", "site", foreign, body(draft("x")), header("if-match", "*")),
		on("POST /activation-code", "site", foreign, codeBody(code)),
	} {
		theirs := w.do(w.projects, c)
		c.params = map[string]string{"project_id": "none"}
		none := w.do(w.projects, c)
		w.want(theirs, 404, project.CodeProjectNotFound, "Project not found")
		if theirs.raw != none.raw {
			t.Errorf("%s: another tenant's project answers %s, none %s", c.route, theirs.raw, none.raw)
		}
	}
	a := w.do(w.projects, func() call { c := listing(); foreign(&c); return c }())
	if len(ids(a)) != 0 {
		t.Errorf("another tenant's list has %v", ids(a))
	}
	if !reflect.DeepEqual(before, w.db.Item(t, key("site"))) || len(w.engine.stopped) > 0 {
		t.Error("another tenant changed the project")
	}
}

func TestCreateAnswersWithTheWholeProject(t *testing.T) {
	w := newWorld(t)
	a := w.do(w.projects, creating(`{"name":"  Spring Sale, 2026! ","description":"What it is","objectives":"Home\nAbout"}`))
	if a.status != 201 || a.headers["location"] != "/api/tenant/projects/spring-sale-2026" || a.headers["etag"] != `"1"` {
		t.Fatalf("got %d %v %s", a.status, a.headers, a.raw)
	}
	p := w.db.Read(t, key("spring-sale-2026"))
	if p.Name != "Spring Sale, 2026!" || p.Status != project.Pending || p.UID == "" || p.Version != 1 || !p.CreatedAt.Equal(noon) {
		t.Errorf("stored: %+v", p)
	}
	shown := w.do(w.projects, on("GET", "spring-sale-2026"))
	if shown.status != 200 || shown.raw != a.raw || shown.headers["etag"] != `"1"` {
		t.Errorf("shown: %d %s\ncreated: %s", shown.status, shown.raw, a.raw)
	}
	for field, want := range map[string]any{
		"project_id": "spring-sale-2026", "name": "Spring Sale, 2026!", "description": "What it is", "objectives": "Home\nAbout",
		"execution_status": "pending", "created_at": "2026-03-01T12:00:00.000Z", "version": json.Number("1"), "execution_id": nil,
		"blocked_code": "activation_code_missing",
	} {
		if got := a.body[field]; got != want {
			t.Errorf("%s: got %v, want %v", field, got, want)
		}
	}
	if got, want := a.body["activation_code"], (map[string]any{"assigned": false, "hint": nil, "revoked_at": nil}); !reflect.DeepEqual(got, want) {
		t.Errorf("activation_code: got %v, want %v", got, want)
	}
}

func TestCreateRefusesBadDrafts(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		body   string
		status int
		code   project.Code
	}{
		"no body":         {"", 400, project.CodeBodyInvalid},
		"mass assignment": {`{"name":"x","execution_status":"completed"}`, 400, project.CodeBodyInvalid},
		"an id":           {`{"name":"x","project_id":"mine"}`, 400, project.CodeBodyInvalid},
		"a tenant":        {`{"name":"x","tenant_id":"rival"}`, 400, project.CodeBodyInvalid},
		"wrong type":      {`{"name":7}`, 400, project.CodeBodyInvalid},
		"no name":         {`{"description":"x"}`, 400, project.CodeFieldInvalid},
		"blank name":      {`{"name":" \t "}`, 400, project.CodeFieldInvalid},
		"long name":       {`{"name":"` + strings.Repeat("é", 101) + `"}`, 400, project.CodeFieldInvalid},
		"NUL":             {`{"name":"x","objectives":"a\u0000b"}`, 400, project.CodeFieldInvalid},
		"long objectives": {`{"name":"x","objectives":"` + strings.Repeat("o", 20_001) + `"}`, 400, project.CodeFieldInvalid},
		"too large":       {`{"name":"` + strings.Repeat("x", 256<<10) + `"}`, 413, project.CodeBodyTooLarge},
	} {
		if a := w.do(w.projects, creating(c.body)); a.status != c.status || a.code() != string(c.code) {
			t.Errorf("%s: got %d %s, want %d %s", name, a.status, a.raw, c.status, c.code)
		}
	}
	if got := w.everything(); len(got[0]) != 0 {
		t.Errorf("created: %v", got)
	}
	// The longest that is allowed.
	longest, _ := json.Marshal(project.Draft{Name: strings.Repeat("é", 100), Description: strings.Repeat("\U0001F600", 4_000), Objectives: strings.Repeat("\U0001F600", 20_000)})
	if a := w.do(w.projects, creating(string(longest))); a.status != 201 {
		t.Errorf("the longest draft: %d %.200s", a.status, a.raw)
	}
}

func TestCreateNeedsASubscription(t *testing.T) {
	w := newWorld(t)
	for state, code := range map[project.Subscription]project.Code{
		project.NoSubscription: project.CodeSubscriptionMissing, project.PastDue: project.CodeSubscriptionPastDue,
		project.Canceled: project.CodeSubscriptionCanceled, project.Unpaid: project.CodeSubscriptionUnpaid,
		project.Suspended: project.CodeSubscriptionSuspended,
	} {
		id := "t-" + string(state)
		w.tenant(id, state)
		w.session(id+".secret", noon.Add(project.SessionLife), noon)
		c := creating(draft("x"))
		header("x-session-token", id+".secret")(&c)
		w.want(w.do(w.projects, c), 400, code, "")
	}
}

// trialing gives a trialing tenant a session, and returns a call of its own.
func (w *world) trialing() func(call) call {
	w.tenant("trial", project.Trialing)
	w.session("trial.secret", noon.Add(project.SessionLife), noon)
	return func(c call) call { header("x-session-token", "trial.secret")(&c); return c }
}

// together makes n calls at once and returns their answers.
func (w *world) together(n int, c func(i int) call) []answer {
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { answers[i] = w.do(w.projects, c(i)) })
	}
	wg.Wait()
	return answers
}

// tally counts answers by status and code.
func tally(answers []answer) map[string]int {
	n := map[string]int{}
	for _, a := range answers {
		n[strings.TrimSpace(fmt.Sprint(a.status, " ", a.code()))]++
	}
	return n
}

func wantTally(t *testing.T, answers []answer, want map[string]int) {
	t.Helper()
	if got := tally(answers); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFiftyCreatesOfOneNameGetFiftyIDs(t *testing.T) {
	w := newWorld(t)
	answers := w.together(50, func(int) call { return creating(draft("Site")) })
	var got, want []string
	for i, a := range answers {
		if a.status != 201 {
			t.Fatalf("got %d %s", a.status, a.raw)
		}
		id, _ := a.body["project_id"].(string)
		got = append(got, id)
		want = append(want, project.NumberedID("site", i+1))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTrialCreatesOneProjectAndKeepsWhatItHas(t *testing.T) {
	w := newWorld(t)
	as := w.trialing()
	wantTally(t, w.together(50, func(i int) call { return as(creating(draft(fmt.Sprint("Site ", i)))) }),
		map[string]int{"201": 1, "400 trial_project_limit": 49})
	// After its deletion there is room for one.
	page := w.do(w.projects, as(listing()))
	if n := len(ids(page)); n != 1 {
		t.Fatalf("there are %d projects", n)
	}
	if a := w.do(w.projects, as(on("DELETE", ids(page)[0]))); a.status != 204 {
		t.Fatalf("deleting: %d %s", a.status, a.raw)
	}
	if a := w.do(w.projects, as(creating(draft("Another")))); a.status != 201 {
		t.Errorf("creating after a deletion: %d %s", a.status, a.raw)
	}
	a := w.do(w.projects, as(creating(draft("A third"))))
	w.want(a, 400, project.CodeTrialProject, "A trial includes 1 project: subscribe to create more")
}

func TestSeededProjectsCountTowardsTheLimit(t *testing.T) {
	w := newWorld(t)
	as := w.trialing()
	w.insert("seeded", project.Pending, func(p *project.Project) { p.TenantID = "trial" })
	wantTally(t, w.together(50, func(i int) call { return as(creating(draft(fmt.Sprint("Site ", i)))) }),
		map[string]int{"400 trial_project_limit": 50})
}

func TestAccountHasAtMostAThousandProjects(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for part := range 10 {
		wg.Go(func() {
			for i := range 99 {
				p := &project.Project{Key: key(fmt.Sprintf("p-%d-%d", part, i)), UID: project.NewToken(), Version: 1, Name: "N", Status: project.Pending, CreatedAt: noon}
				if _, err := w.db.PutProject(t.Context(), p); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantTally(t, w.together(50, func(i int) call { return creating(draft(fmt.Sprint("Site ", i))) }),
		map[string]int{"201": 10, "400 project_limit": 40})
}

func TestCountThatACrashLeftTooHighIsCorrectedOnceNothingIsInFlight(t *testing.T) {
	w := newWorld(t)
	as := w.trialing()
	// The process ends between counting and inserting.
	w.db.Wire.Set(func(op string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
		if op == "PutItem" {
			return nil, errors.New("the process is gone")
		}
		return next()
	})
	if a := w.do(w.projects, as(creating(draft("Lost")))); a.status < 500 {
		t.Fatalf("the crash went unnoticed: %d", a.status)
	}
	w.db.Wire.Set(nil)
	w.want(w.do(w.projects, as(creating(draft("Site")))), 400, project.CodeTrialProject, "")
	w.pass(61 * time.Second)
	wantTally(t, w.together(50, func(i int) call { return as(creating(draft(fmt.Sprint("Site ", i)))) }),
		map[string]int{"201": 1, "400 trial_project_limit": 49})
}

func TestCreateSurvivesLostReplies(t *testing.T) {
	// The first counting finds that there is no count, the second UpdateItem makes
	// one, and the third counts.
	for operation, most := range map[string]int{"PutItem": 1, "UpdateItem": 3} {
		for n := 1; n <= most; n++ {
			w := newWorld(t)
			as := w.trialing()
			w.db.Wire.LoseReply(operation, n)
			if a := w.do(w.projects, as(creating(draft("Site")))); a.status != 201 || a.body["project_id"] != "site" {
				t.Errorf("reply %d of %s lost: %d %s", n, operation, a.status, a.raw)
			}
			w.db.Wire.Set(nil)
			if got := w.do(w.projects, as(listing())); len(ids(got)) != 1 {
				t.Errorf("reply %d of %s lost: there are %v", n, operation, ids(got))
			}
		}
	}
}

func TestListOfTwentyIsOneSessionReadAndOneQuery(t *testing.T) {
	w := newWorld(t)
	w.fill(45)
	w.db.Wire.Set(nil)
	a := w.do(w.projects, listing())
	if got, want := w.db.Wire.Calls(), (map[string]int{"BatchGetItem": 1, "Query": 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("calls: got %v, want %v", got, want)
	}
	if got := ids(a); len(got) != 20 || got[0] != "p044" || got[19] != "p025" {
		t.Errorf("got %v", got)
	}
}

func TestListPagesNewestFirstToTheEnd(t *testing.T) {
	w := newWorld(t)
	w.fill(45, func(i int, p *project.Project) {
		p.CreatedAt = noon.Add(time.Duration(i/3-45) * time.Minute) // three of an age
	})
	pages := w.everything()
	if len(pages) != 3 || len(pages[0]) != 20 || len(pages[1]) != 20 || len(pages[2]) != 5 {
		t.Fatalf("pages: %v", pages)
	}
	all := slices.Concat(pages...)
	seen := map[string]bool{}
	for i, id := range all {
		seen[id] = true
		if i > 0 && id[:3] > all[i-1][:3] && w.db.Read(t, key(id)).CreatedAt.After(w.db.Read(t, key(all[i-1])).CreatedAt) {
			t.Errorf("%s comes after %s", id, all[i-1])
		}
	}
	if len(seen) != 45 {
		t.Errorf("%d projects came, want 45", len(seen))
	}
	if got := w.everything("limit", "45"); len(got) != 1 || len(got[0]) != 45 {
		t.Errorf("a page that holds all is not the last: %d pages", len(got))
	}
	// A project that is deleted between two pages does not disturb the next.
	a := w.do(w.projects, listing())
	w.db.Delete(t, key(ids(a)[19]))
	if got := ids(w.do(w.projects, listing("cursor", a.body["next_cursor"].(string)))); !slices.Equal(got, pages[1]) {
		t.Errorf("after a deletion: got %v, want %v", got, pages[1])
	}
}

func TestListEntryIsASummary(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Failed, func(p *project.Project) { p.Progress = project.Progress{Percent: 40, Message: "half"} })
	a := w.do(w.projects, listing())
	got := a.body["projects"].([]any)[0]
	want := map[string]any{
		"project_id": "site", "name": "Name", "description": "Description", "execution_status": "failed",
		"execution_id": json.Number("77"), "attempt": json.Number("1"), "execution_started_at": "2026-03-01T11:30:00.000Z",
		"execution_completed_at": "2026-03-01T11:59:00.000Z", "execution_error": "it broke",
		"progress":   map[string]any{"percent": json.Number("40"), "message": "half"},
		"created_at": "2026-03-01T11:00:00.000Z", "version": json.Number("3"), "has_activation_code": true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if next, there := a.body["next_cursor"]; next != nil || !there {
		t.Errorf("next_cursor is %v, want null", next)
	}
}

func TestSearchAndStatusLookAtAllProjects(t *testing.T) {
	w := newWorld(t)
	w.fill(300, func(i int, p *project.Project) {
		switch {
		case i == 3:
			p.Name = "The NEEDLE in it"
		case i == 100:
			p.Description = "a Needle"
		case i == 200:
			p.Objectives = "x\nneedle"
		case i%50 == 0:
			p.Status = project.Completed
		}
		p.Objectives += strings.Repeat(" filler", 500)
	})
	w.insert("a-needle-id", project.Running)
	found := w.everything("search", " nEEdle ", "limit", "2")
	if want := [][]string{{"a-needle-id", "p200"}, {"p100", "p003"}}; !reflect.DeepEqual(found, want) {
		t.Errorf("search: got %v, want %v", found, want)
	}
	if got, want := w.everything("status", "completed"), [][]string{{"p250", "p150", "p050", "p000"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("status: got %v, want %v", got, want)
	}
	if got, want := w.everything("status", "running", "search", "needle"), [][]string{{"a-needle-id"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("both: got %v, want %v", got, want)
	}
	if got := w.everything("status", "failed"); len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("failed: got %v, want an empty page", got)
	}
	if got := w.everything("status", "pending", "limit", "100"); len(got) != 3 || len(got[2]) != 96 {
		t.Errorf("pending: %d pages", len(got))
	}
}

func TestListRefusesBadQueries(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ parameter, value string }{
		{"limit", "0"}, {"limit", "101"}, {"limit", "-1"}, {"limit", "ten"}, {"limit", "1,2"}, {"limit", "1e1"},
		{"status", "done"}, {"status", "Failed"}, {"search", strings.Repeat("x", 201)},
	} {
		a := w.do(w.projects, listing(c.parameter, c.value))
		w.want(a, 400, project.CodeQueryInvalid, "")
		if a.body["parameter"] != c.parameter || a.body["problem"] == "" {
			t.Errorf("%s=%s: %s", c.parameter, c.value, a.raw)
		}
	}
	if a := w.do(w.projects, listing("sort", "name", "limit", "", "search", strings.Repeat("é", 200))); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.raw)
	}
}

func TestCursorIsGoodForItsOwnListAlone(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	a := w.do(w.projects, listing("limit", "1"))
	cursor := a.body["next_cursor"].(string)
	refused := func(c call) {
		t.Helper()
		w.want(w.do(w.projects, c), 400, project.CodeCursorInvalid, "")
	}
	// Any size of page.
	if a := w.do(w.projects, listing("limit", "2", "cursor", cursor)); a.status != 200 || len(ids(a)) != 2 {
		t.Errorf("got %d %s", a.status, a.raw)
	}
	theirs := listing("cursor", cursor)
	foreign(&theirs)
	refused(theirs)
	refused(listing("cursor", cursor, "search", "p"))
	refused(listing("cursor", cursor, "status", "pending"))
	for i := range cursor {
		broken := []byte(cursor)
		if broken[i] ^= 1; broken[i] == cursor[i] {
			continue
		}
		if a := w.do(w.projects, listing("cursor", string(broken))); a.status != 400 {
			t.Errorf("byte %d changed: %d", i, a.status)
		}
	}
	for _, c := range []string{"x", ".", cursor + "0", cursor[:len(cursor)-1], strings.Repeat("x", 5_000), "e30." + strings.Repeat("0", 64)} {
		refused(listing("cursor", c))
	}
}

func TestEditWritesTheVersionItWasMadeFrom(t *testing.T) {
	for _, match := range []string{`"3"`, `W/"3"`, `3`, `*`, `"1", "3"`} {
		w := newWorld(t)
		w.insert("site", project.Failed)
		before := w.db.Read(t, key("site"))
		a := w.do(w.projects, on("PUT", "site", header("If-Match", match), body(`{"name":"New","description":"","objectives":"Blog"}`)))
		if a.status != 200 || a.headers["etag"] != `"4"` || a.body["name"] != "New" || a.body["description"] != "" || a.body["objectives"] != "Blog" {
			t.Errorf("If-Match %s: %d %v %s", match, a.status, a.headers, a.raw)
		}
		p := w.db.Read(t, key("site"))
		before.Name, before.Description, before.Objectives, before.Version, before.WrittenBy = "New", "", "Blog", 4, p.WrittenBy
		if !reflect.DeepEqual(p, before) {
			t.Errorf("If-Match %s: got %+v\nwant %+v", match, p, before)
		}
	}
}

func TestEditRefusals(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	w.insert("busy", project.Running)
	before := w.db.Item(t, key("site"))
	w.want(w.do(w.projects, on("PUT", "site", body(draft("x")))), 428, project.CodeVersionMissing, "")
	for _, stale := range []string{`"2"`, `"4"`, `"x"`, `"`, `-`} {
		a := w.do(w.projects, on("PUT", "site", header("if-match", stale), body(draft("x"))))
		w.want(a, 412, project.CodeVersionStale, "")
		if a.number("version") != 3 {
			t.Errorf("the version told is %v", a.body["version"])
		}
	}
	w.want(w.do(w.projects, on("PUT", "busy", header("if-match", "*"), body(draft("x")))), 409, project.CodeProjectRunning,
		"The project is running: editing is possible once it has ended")
	w.want(w.do(w.projects, on("PUT", "none", header("if-match", "*"), body(draft("x")))), 404, project.CodeProjectNotFound, "")
	w.want(w.do(w.projects, on("PUT", "site", header("if-match", "*"), body(`{"name":"x","version":9}`))), 400, project.CodeBodyInvalid, "")
	w.want(w.do(w.projects, on("PUT", "site", header("if-match", "*"), body(`{"name":""}`))), 400, project.CodeFieldInvalid, "")
	w.want(w.do(w.projects, on("PUT", "A/B", header("if-match", "*"), body(draft("x")))), 400, project.CodeProjectIDInvalid, "")
	if !reflect.DeepEqual(before, w.db.Item(t, key("site"))) {
		t.Error("a refused edit changed the project")
	}
}

func TestOneOfFiftyEditsOfAVersionStands(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	wantTally(t, w.together(50, func(i int) call {
		return on("PUT", "site", header("if-match", `"3"`), body(draft(fmt.Sprint("Name ", i))))
	}), map[string]int{"200": 1, "412 version_stale": 49})
	if v := w.db.Read(t, key("site")).Version; v != 4 {
		t.Errorf("the version is %d, want 4", v)
	}
}

func TestEditSurvivesLostReplies(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending)
	edit := on("PUT", "site", header("if-match", `"3"`), body(draft("New")))
	w.db.Wire.LoseReply("UpdateItem", 1) // the database's
	if a := w.do(w.projects, edit); a.status != 200 || a.headers["etag"] != `"4"` {
		t.Errorf("got %d %s", a.status, a.raw)
	}
	w.db.Wire.Set(nil)
	if a := w.do(w.projects, edit); a.status != 200 || a.headers["etag"] != `"4"` { // ours
		t.Errorf("again: got %d %s", a.status, a.raw)
	}
	body(draft("Other"))(&edit)
	w.want(w.do(w.projects, edit), 412, project.CodeVersionStale, "")
}

func TestDeleteTakesTheOutputAlong(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Completed)
	a := w.do(w.projects, on("DELETE", "site"))
	if a.status != 204 || a.raw != "" {
		t.Errorf("got %d %s", a.status, a.raw)
	}
	if w.db.Item(t, key("site")) != nil || !slices.Equal(w.outputs.removed, []string{"acme/uid-site"}) {
		t.Errorf("removed: %v", w.outputs.removed)
	}
	w.want(w.do(w.projects, on("DELETE", "site")), 404, project.CodeProjectNotFound, "")
	w.insert("busy", project.Running)
	w.want(w.do(w.projects, on("DELETE", "busy")), 409, project.CodeProjectRunning, "The project is running: deleting is possible once it has ended")
	// Output that can't be removed does not bring the project back.
	w.insert("other", project.Failed)
	w.outputs.err = errors.New("the disk is gone")
	if a := w.do(w.projects, on("DELETE", "other")); a.status != 204 || w.db.Item(t, key("other")) != nil {
		t.Errorf("got %d %s", a.status, a.raw)
	}
	if !strings.Contains(w.logs.String(), "the disk is gone") {
		t.Error("the log does not tell of it")
	}
	// A project without a uid has no folder of its own.
	w.outputs.removed = nil
	w.insert("old", project.Pending, func(p *project.Project) { p.UID = "" })
	if a := w.do(w.projects, on("DELETE", "old")); a.status != 204 || len(w.outputs.removed) > 0 {
		t.Errorf("got %d, removed %v", a.status, w.outputs.removed)
	}
}

func TestDeleteSurvivesALostReply(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Failed)
	w.db.Wire.LoseReply("DeleteItem", 1)
	if a := w.do(w.projects, on("DELETE", "site")); a.status != 204 || len(w.outputs.removed) != 1 {
		t.Errorf("got %d %s, removed %v", a.status, a.raw, w.outputs.removed)
	}
}

func TestDeletedProjectMadeAgainIsAnother(t *testing.T) {
	w := newWorld(t)
	first := w.do(w.projects, creating(draft("Site")))
	one := w.db.Read(t, key("site"))
	w.do(w.projects, on("DELETE", "site"))
	second := w.do(w.projects, creating(draft("Site")))
	two := w.db.Read(t, key("site"))
	if first.status != 201 || second.status != 201 || one.UID == two.UID {
		t.Errorf("got %d and %d, uids %s and %s", first.status, second.status, one.UID, two.UID)
	}
}

func TestDeleteAndRunRaceToOneOutcome(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		id := fmt.Sprint("site-", i)
		w.insert(id, project.Pending)
		var deleted, ran answer
		var wg sync.WaitGroup
		wg.Go(func() { deleted = w.do(w.projects, on("DELETE", id)) })
		wg.Go(func() { ran = w.do(w.run, action("run", id)) })
		wg.Wait()
		there := w.db.Item(t, key(id)) != nil
		switch {
		case deleted.status == 204 && ran.status == 404 && !there:
		case deleted.status == 409 && ran.status == 200 && there:
		default:
			t.Errorf("delete %d, run %d, there: %t", deleted.status, ran.status, there)
		}
	}
}

func TestActivationLetsAProjectRun(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Pending, func(p *project.Project) { p.ActivationCode = "" })
	w.want(w.do(w.run, action("run", "site")), 400, project.CodeActivationMissing, "")
	code := w.code()
	typed := strings.ToLower(strings.ReplaceAll(code, "-", " "))
	a := w.do(w.projects, on("POST /activation-code", "site", codeBody(typed)))
	want := map[string]any{"assigned": true, "hint": code[len(code)-4:], "revoked_at": nil}
	if a.status != 200 || !reflect.DeepEqual(a.body["activation_code"], want) || a.body["can_run"] != true || a.headers["etag"] != `"4"` {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	for _, secret := range []string{code, w.hasher.Hash(project.KindActivation, code)} {
		if strings.Contains(a.raw, secret) || strings.Contains(w.logs.String(), secret) {
			t.Error("the code or its hash is in the answer or the log")
		}
	}
	if again := w.do(w.projects, on("POST /activation-code", "site", codeBody(code))); again.status != 200 || again.raw != a.raw {
		t.Errorf("again: %d %s", again.status, again.raw)
	}
	if a := w.do(w.run, action("run", "site")); a.status != 200 {
		t.Errorf("run: %d %s", a.status, a.raw)
	}
}

func TestEachActivationRefusalHasItsOwnSentence(t *testing.T) {
	w := newWorld(t)
	bare := func(p *project.Project) { p.ActivationCode = "" }
	w.insert("holder", project.Pending, bare)
	w.insert("site", project.Pending, bare)
	used, revoked := w.code(), w.code()
	expired := w.code(func(c *project.ActivationCode) { c.ExpiresAt = noon })
	if a := w.do(w.projects, on("POST /activation-code", "holder", codeBody(used))); a.status != 200 {
		t.Fatal(a.raw)
	}
	if err := w.db.RevokeCode(t.Context(), w.hasher.Hash(project.KindActivation, revoked), noon); err != nil {
		t.Fatal(err)
	}
	sentences := map[string]bool{}
	for _, c := range []struct {
		project, code string
		want          project.Code
	}{
		{"site", project.NewActivationCode(), project.CodeActivationUnknown},
		{"site", used, project.CodeActivationUsed}, {"site", expired, project.CodeActivationExpired},
		{"site", revoked, project.CodeActivationCodeRevoked}, {"holder", w.code(), project.CodeActivationPresent},
		{"site", "0000-0000-0000-0000", project.CodeActivationMalformed}, {"site", "", project.CodeActivationMalformed},
	} {
		a := w.do(w.projects, on("POST /activation-code", c.project, codeBody(c.code)))
		w.want(a, 400, c.want, "")
		sentences[a.detail()] = true
	}
	if len(sentences) != 6 {
		t.Errorf("there are %d sentences, want 6", len(sentences))
	}
	w.want(w.do(w.projects, on("POST /activation-code", "site")), 400, project.CodeBodyInvalid, "")
	w.want(w.do(w.projects, on("POST /activation-code", "none", codeBody(w.code()))), 404, project.CodeProjectNotFound, "")
}

func TestOneOfFiftyActivationsByOneCodeWins(t *testing.T) {
	w := newWorld(t)
	for i := range 50 {
		w.insert(fmt.Sprint("site-", i), project.Pending, func(p *project.Project) {
			p.ActivationCode = ""
			if i%2 == 1 {
				p.TenantID = "rival"
			}
		})
	}
	code := w.code()
	wantTally(t, w.together(50, func(i int) call {
		c := on("POST /activation-code", fmt.Sprint("site-", i), codeBody(code))
		if i%2 == 1 {
			foreign(&c)
		}
		return c
	}), map[string]int{"200": 1, "400 activation_code_used": 49})
}

func TestCancelEndsTheExecutionAndStopsItsWork(t *testing.T) {
	w := newWorld(t)
	ref, report := w.claimed("site")
	a := w.do(w.projects, on("POST /cancel", "site", body(`{"expected_attempt":1}`)))
	if want := `{"success":true,"message":"Project execution cancelled","status":"failed"}`; a.status != 200 || a.raw != want {
		t.Fatalf("got %d %s, want %s", a.status, a.raw, want)
	}
	now := w.db.Read(t, key("site"))
	if now.Status != project.Failed || now.Error != "cancelled" || !now.CompletedAt.Equal(noon) || now.Attempts[ref.ExecutionID].Outcome != project.OutcomeCancelled {
		t.Errorf("the project is %+v", now)
	}
	if want := []stop{{ref, "job-1", "cancelled"}}; !reflect.DeepEqual(w.engine.stopped, want) {
		t.Errorf("stopped: %v, want %v", w.engine.stopped, want)
	}
	w.want(w.do(w.projects, on("POST /cancel", "site")), 400, project.CodeNotRunning, "Only running projects can be cancelled. Current status: failed")

	// The result that comes all the same is kept as late, and the runner told
	// to stop.
	w.want(w.report("heartbeat", ref, report, `{}`), 409, project.CodeAttemptClosed, "")
	w.want(w.report("result", ref, report, `{"outcome":"completed","exit_code":0}`), 409, project.CodeAttemptClosed, "")
	now = w.db.Read(t, key("site"))
	if late := now.Attempts[ref.ExecutionID].Late; late == nil || late.Outcome != project.OutcomeCompleted {
		t.Errorf("the late result is %+v", late)
	}
	if now.Status != project.Failed {
		t.Errorf("the late result made the project %s", now.Status)
	}
}

func TestCancelRefusals(t *testing.T) {
	w := newWorld(t)
	for _, status := range []project.Status{project.Pending, project.Completed, project.Failed} {
		w.insert(string(status), status)
		w.want(w.do(w.projects, on("POST /cancel", string(status))), 400, project.CodeNotRunning, "")
	}
	w.insert("site", project.Running)
	for _, c := range []struct {
		body string
		code project.Code
		want int
	}{
		{`{"expected_attempt":2}`, project.CodeAttemptDiffers, 409}, {`{"expected_attempt":0}`, project.CodeAttemptDiffers, 409},
		{`{"expected_attempt":-1}`, project.CodeBodyInvalid, 400}, {`{"expectedAttempt":1}`, project.CodeBodyInvalid, 400},
	} {
		w.want(w.do(w.projects, on("POST /cancel", "site", body(c.body))), c.want, c.code, "")
	}
	if w.db.Read(t, key("site")).Status != project.Running || len(w.engine.stopped) > 0 {
		t.Error("a refused cancel ended the execution")
	}
}

func TestOneOfFiftyCancelsEndsTheExecution(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Running)
	wantTally(t, w.together(50, func(int) call { return on("POST /cancel", "site") }),
		map[string]int{"200": 1, "400 project_not_running": 49})
	if n := len(w.engine.stopped); n != 1 {
		t.Errorf("the work was stopped %d times", n)
	}
}

func TestCancelSurvivesALostReplyAndAnEngineThatFails(t *testing.T) {
	w := newWorld(t)
	w.insert("site", project.Running)
	w.engine.stopErr = errors.New("the engine is away")
	w.db.Wire.LoseReply("UpdateItem", 1)
	if a := w.do(w.projects, on("POST /cancel", "site")); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.raw)
	}
	if !strings.Contains(w.logs.String(), "the engine is away") {
		t.Error("the log does not tell that the work was not stopped")
	}
}

// A cancel that lost a race does not end an execution that began since.
func TestCancelNeverEndsTheNextAttempt(t *testing.T) {
	w := newWorld(t)
	p := w.insert("site", project.Running)
	raced := false
	w.db.Wire.Set(func(op string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
		if op == "UpdateItem" && !raced {
			raced = true
			failed, err := w.db.Settle(t.Context(), project.Settlement{Ref: p.Ref(), Event: project.Fail, Error: "it broke", At: noon, Token: "t"})
			if err != nil {
				t.Error(err)
				return next()
			}
			if _, err := w.db.Start(t.Context(), project.Start{Project: failed, Event: project.Restart, ExecutionID: 78, At: noon, Output: "o", Token: "t2"}); err != nil {
				t.Error(err)
			}
		}
		return next()
	})
	w.want(w.do(w.projects, on("POST /cancel", "site")), 409, project.CodeAttemptDiffers, "")
	if now := w.db.Read(t, key("site")); now.Status != project.Running || now.ExecutionID != 78 {
		t.Errorf("the project is %+v", now)
	}
}
