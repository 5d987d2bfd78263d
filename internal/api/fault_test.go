package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rekindle/internal/api"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
	"rekindle/internal/token"
)

// faulty is a call that changes something, ready to be made.
type faulty struct {
	handler *api.Handler
	call    call
	// done says whether its effect is there.
	done func() bool
	// settled says whether an answer to the same call, made again when the
	// fault is over, is one of those that its caller takes for the end.
	settled func(answer) bool
	// mend is what its caller does where making the call again has not brought
	// the effect.
	mend func()
}

// path makes a [faulty] about things of its own, named by n.
type path struct {
	name    string
	prepare func(l *login, n string) faulty
}

func succeeds(a answer) bool { return a.status/100 == 2 }

func or(code project.Code) func(answer) bool {
	return func(a answer) bool { return succeeds(a) || a.code() == string(code) }
}

// signedOut is also the answer to whose session the first call has ended.
func signedOut(a answer) bool { return succeeds(a) || a.status == 401 }

var paths = []path{
	{"run", func(l *login, n string) faulty { return starting(l, n, "run", project.Pending) }},
	{"restart", func(l *login, n string) faulty { return starting(l, n, "restart", project.Failed) }},
	{"run of a trialing tenant", func(l *login, n string) faulty {
		tenant := "trial" + n
		l.tenant(tenant, project.Trialing)
		l.session(tenant+".secret", noon.Add(project.SessionLife), noon)
		k := project.Key{TenantID: tenant, ProjectID: "p"}
		l.insert("p", project.Pending, func(p *project.Project) { p.Key, p.UID = k, "uid"+n })
		return faulty{
			l.run, action("run", "p", header("x-session-token", tenant+".secret"), header("idempotency-key", "key")),
			func() bool { return l.db.Read(l.t, k).Status == project.Running }, succeeds, nil,
		}
	}},
	{"cancel", func(l *login, n string) faulty {
		p := l.insert("p"+n, project.Running)
		return faulty{
			l.projects, on("POST /cancel", p.ProjectID), func() bool { return l.db.Read(l.t, p.Key).Status == project.Failed },
			or(project.CodeNotRunning), nil,
		}
	}},
	{"extend", func(l *login, n string) faulty {
		p := l.insert("p"+n, project.Running, func(p *project.Project) { p.StartedAt = l.clock().Add(-21 * time.Hour) })
		return faulty{
			l.projects, on("POST /extend", p.ProjectID, body(`{"hours":2}`)), func() bool { return l.db.Read(l.t, p.Key).Extension == 2*time.Hour },
			succeeds, nil,
		}
	}},
	{"claim", func(l *login, n string) faulty {
		p := l.insert("p"+n, project.Running)
		return reporting(l, p, "claim", l.keys.Mint(token.Execution, p.Ref(), ""), `{"runner_id":"r","job_id":"j"}`,
			func() bool { return l.db.Read(l.t, p.Key).Attempts[77].RunnerID == "r" })
	}},
	{"heartbeat", func(l *login, n string) faulty {
		p := l.insertClaimed("p" + n)
		return reporting(l, p, "heartbeat", l.keys.Mint(token.Report, p.Ref(), "r"), `{"progress":{"percent":40}}`,
			func() bool { return l.db.Read(l.t, p.Key).Progress.Percent == 40 })
	}},
	{"success", func(l *login, n string) faulty {
		p := l.insertClaimed("p" + n)
		return reporting(l, p, "result", l.keys.Mint(token.Report, p.Ref(), "r"), `{"outcome":"completed"}`,
			func() bool { return l.db.Read(l.t, p.Key).Status == project.Completed })
	}},
	{"failure", func(l *login, n string) faulty {
		p := l.insertClaimed("p" + n)
		return reporting(l, p, "result", l.keys.Mint(token.Report, p.Ref(), "r"), `{"outcome":"failed","error":"e"}`,
			func() bool { return l.db.Read(l.t, p.Key).Status == project.Failed })
	}},
	{"create", func(l *login, n string) faulty {
		return faulty{
			l.projects, creating(draft("made " + n)),
			func() bool {
				_, err := l.db.Get(context.WithoutCancel(l.t.Context()), key("made-"+n))
				return err == nil
			},
			succeeds, nil,
		}
	}},
	{"edit", func(l *login, n string) faulty {
		p := l.insert("p"+n, project.Pending)
		return faulty{
			l.projects, on("PUT", p.ProjectID, header("if-match", `"3"`), body(draft("edited"))),
			func() bool { return l.db.Read(l.t, p.Key).Name == "edited" }, or(project.CodeVersionStale), nil,
		}
	}},
	{"delete", func(l *login, n string) faulty {
		p := l.insert("p"+n, project.Failed)
		return faulty{
			l.projects, on("DELETE", p.ProjectID), func() bool { return l.db.Item(l.t, p.Key) == nil },
			or(project.CodeProjectNotFound), nil,
		}
	}},
	{"activation", func(l *login, n string) faulty {
		p := l.insert("p"+n, project.Pending, func(p *project.Project) { p.ActivationCode = "" })
		return faulty{
			l.projects, on("POST /activation-code", p.ProjectID, codeBody(l.world.code())),
			func() bool { return l.db.Read(l.t, p.Key).ActivationCode != "" }, succeeds, nil,
		}
	}},
	{"asking for a login code", func(l *login, n string) faulty {
		l.mailed(n)
		before := len(l.mails)
		return faulty{
			l.auth, call{route: askCode, body: fmt.Sprintf(`{"tenant_slug":"s%s"}`, n)},
			func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.mails) > before }, succeeds, nil,
		}
	}},
	{"signing in", func(l *login, n string) faulty {
		l.mailed(n)
		made := false
		verify := call{route: sendCode, body: fmt.Sprintf(`{"tenant_slug":"s%s","code":%q}`, n, l.codeOf("s"+n))}
		alive := func(a answer) bool {
			tok, _ := a.body["session_token"].(string)
			made = made || tok != "" && l.with(getSession, tok).status == 200
			return made
		}
		return faulty{
			l.auth, verify, func() bool { return made },
			func(a answer) bool {
				return alive(a) || a.code() == string(project.CodeLoginCodeWrong) || a.code() == string(project.CodeLoginCodeSpent)
			},
			func() { alive(l.verify("s"+n, l.codeOf("s"+n))) },
		}
	}},
	{"refreshing", func(l *login, n string) faulty {
		// Where the answer is lost for good, nobody has the new session: its
		// caller signs in again.
		tok := "acme.refreshed" + n
		l.session(tok, noon.Add(project.SessionLife), noon)
		return faulty{
			l.auth, call{route: refresh, headers: map[string]string{"x-session-token": tok}},
			func() bool { return l.with(getSession, tok).status == 401 }, signedOut, nil,
		}
	}},
	{"signing out", func(l *login, n string) faulty {
		tok := "acme.leaving" + n
		l.session(tok, noon.Add(project.SessionLife), noon)
		return faulty{
			l.auth, call{route: logout, headers: map[string]string{"x-session-token": tok}},
			func() bool { return l.with(getSession, tok).status == 401 }, signedOut, nil,
		}
	}},
	// Nothing to change: the answer alone can be wrong.
	{"status", func(l *login, n string) faulty {
		p := l.insert("p"+n, project.Failed)
		return faulty{l.status, action("status", p.ProjectID), func() bool { return true }, succeeds, nil}
	}},
	{"list", func(l *login, n string) faulty {
		return faulty{l.projects, listing("limit", "1"), func() bool { return true }, succeeds, nil}
	}},
}

func starting(l *login, n, verb string, from project.Status) faulty {
	p := l.insert("p"+n, from)
	return faulty{
		l.handler(verb), action(verb, p.ProjectID, header("idempotency-key", "key-"+n)),
		func() bool {
			got := l.db.Read(l.t, p.Key)
			return got.Status == project.Running && got.Attempt == p.Attempt+1 && l.engine.asked(got.Ref())
		},
		succeeds,
		// A second click within the first one's time only answers. Later it
		// launches what the first one could not.
		func() {
			l.pass(16 * time.Second)
			l.do(l.handler(verb), action(verb, p.ProjectID, header("idempotency-key", "key-"+n)))
		},
	}
}

func reporting(l *login, p *project.Project, verb, bearer, text string, done func() bool) faulty {
	return faulty{l.worker, call{
		route:   "POST /api/worker/executions/{execution_id}/" + verb,
		params:  map[string]string{"execution_id": strconv.FormatInt(p.ExecutionID, 10)},
		headers: map[string]string{"authorization": "Bearer " + bearer}, body: text,
	}, done, succeeds, nil}
}

// fault is what befalls the n-th call to the database. A fault that stays
// befalls all after it as well.
type fault struct {
	name  string
	stays bool
	late  bool // the function's time is over with it
	does  func(next func() (*http.Response, error)) (*http.Response, error)
}

var errGone = errors.New("the process is gone")

func answers(status int, kind string) func(func() (*http.Response, error)) (*http.Response, error) {
	return func(func() (*http.Response, error)) (*http.Response, error) {
		return dynamotest.Answer(status, `{"__type":"x#`+kind+`","message":"m"}`), nil
	}
}

// timesOut never reaches the database.
func timesOut(func() (*http.Response, error)) (*http.Response, error) { return nil, dynamotest.Lost() }

// losesReply reaches it, and nobody hears of it.
func losesReply(next func() (*http.Response, error)) (*http.Response, error) {
	resp, err := next()
	if err != nil {
		return nil, dynamotest.Lost()
	}
	return dynamotest.Drop(resp)
}

// slow answers nothing before its caller's time is over.
func slow(func() (*http.Response, error)) (*http.Response, error) {
	return nil, context.DeadlineExceeded
}

// limited is a function's time, which is over when the test says so.
type limited struct {
	context.Context
	over chan struct{}
}

func (l limited) Done() <-chan struct{} { return l.over }

func (l limited) Err() error {
	select {
	case <-l.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

var faults = []fault{
	{"throttled once", false, false, answers(400, "ThrottlingException")},
	{"throttled", true, false, answers(400, "ProvisionedThroughputExceededException")},
	{"broken once", false, false, answers(500, "InternalServerError")},
	{"broken", true, false, answers(500, "InternalServerError")},
	{"timed out before the write once", false, false, timesOut},
	{"timed out before the write", true, false, timesOut},
	{"timed out after the write once", false, false, losesReply},
	{"timed out after the write", true, false, losesReply},
	{"slow past the function's time", true, true, slow},
	{"slow past the function's time, and written", true, true, func(next func() (*http.Response, error)) (*http.Response, error) {
		_, _ = losesReply(next)
		return slow(next)
	}},
	{"dead", true, false, func(func() (*http.Response, error)) (*http.Response, error) { return nil, errGone }},
}

// Each path meets each fault at each of its calls. A success is one, whatever
// happened on the way; what passes is a 503 that says when to come again, and
// coming again brings the effect.
func TestEachPathUnderEachFaultIsNeverAWrongSuccess(t *testing.T) {
	l := newLogin(t)
	id := 0
	for _, p := range paths {
		for _, f := range faults {
			if testing.Short() && !f.stays {
				continue
			}
			t.Run(p.name+"/"+f.name, func(t *testing.T) {
				l.t = t
				for n := 1; ; n++ {
					if n > 30 {
						t.Fatal("the path does not end")
					}
					id++
					l.pass(time.Millisecond) // or two projects draw the same execution id
					if !l.meets(p.prepare(l, strconv.Itoa(id)), f, n) {
						return
					}
				}
			})
		}
	}
}

// meets makes a call of which the n-th call to the database meets a fault, and
// says whether there was one.
func (l *login) meets(x faulty, f fault, n int) bool {
	l.t.Helper()
	var mu sync.Mutex
	calls, time := 0, limited{l.t.Context(), make(chan struct{})}
	l.db.Wire.Set(func(_ string, _ int, next func() (*http.Response, error)) (*http.Response, error) {
		mu.Lock()
		calls++
		hit := calls == n || f.stays && calls > n
		if hit && f.late && time.Err() == nil {
			close(time.over)
		}
		mu.Unlock()
		if hit {
			return f.does(next)
		}
		return next()
	})
	a := invoke(l.t, time, x.handler, x.call)
	l.db.Wire.Set(nil)
	struck := calls >= n
	answered := x.settled(a) // of a session it looks whether it is alive
	switch {
	case succeeds(a) && answered && !x.done():
		l.t.Errorf("at call %d: got %d %s, and its effect is not there", n, a.status, a.raw)
	case succeeds(a):
	case !f.stays:
		l.t.Errorf("at call %d: got %d %s, want a success: the fault passed", n, a.status, a.raw)
	case a.status == 503 && a.headers["retry-after"] == "":
		l.t.Errorf("at call %d: a 503 without Retry-After", n)
	case a.status != 503 && !(a.status == 500 && f.name == "dead"):
		l.t.Errorf("at call %d: got %d %s, want 503", n, a.status, a.raw)
	}
	if strings.Contains(a.raw, "x#") || strings.Contains(a.raw, errGone.Error()) {
		l.t.Errorf("at call %d: the answer tells of the fault: %s", n, a.raw)
	}
	if again := l.do(x.handler, x.call); !succeeds(a) && !x.settled(again) {
		l.t.Errorf("at call %d: made again: got %d %s", n, again.status, again.raw)
	}
	if !x.done() && x.mend != nil {
		x.mend()
	}
	if !x.done() {
		l.t.Errorf("at call %d: made again, its effect is still not there", n)
	}
	return struck
}

// insertClaimed puts a running project that runner r has claimed.
func (w *world) insertClaimed(id string) *project.Project {
	w.t.Helper()
	return w.insert(id, project.Running, func(p *project.Project) {
		a := p.Attempts[77]
		a.RunnerID, a.JobID, a.ClaimedAt = "r", "j", noon.Add(-20*time.Minute)
		p.Attempts[77], p.ClaimedAt = a, a.ClaimedAt
	})
}

// asked says whether the engine was told to launch an execution.
func (e *engine) asked(ref project.Ref) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.launched, ref)
}

// mailed makes a tenant that gets its mail, with slug s<n>.
func (l *login) mailed(n string) {
	l.t.Helper()
	tenant := project.Tenant{ID: "m" + n, Name: "Mailed", Slug: "s" + n, Email: "ops@example.com", Subscription: project.Active}
	if ok, err := l.db.PutTenant(l.t.Context(), &tenant); err != nil || !ok {
		l.t.Fatalf("tenant: %t, %v", ok, err)
	}
}
