package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
)

func TestAComparisonSaysHowManyTimesBetterThanEachPeer(t *testing.T) {
	c := &comparison{name: "way"}
	rates := func(what, system string, v float64) { c.add(what, system, 1, metric{v, "requests/s"}) }
	rates("status", "fastapi-sqlite", 100)
	rates("status", "fastapi-sqlite-2-workers", 200)
	rates("status", "rekindle", 3000)
	rates("status-of-all", "fastapi-sqlite", 1e6) // something else
	c.add("memory", "fastapi-sqlite", 1, metric{80, "rss-bytes"})
	c.add("memory", "fastapi-sqlite-2-workers", 1, metric{200, "rss-bytes"})
	c.add("memory", "rekindle", 1, metric{20, "rss-bytes"})
	rates("run", "rekindle", 10) // the peer has none

	c.judge("status", "rekindle", "requests/s", 10)
	c.judge("memory", "rekindle", "rss-bytes", 0)
	c.judge("run", "rekindle", "requests/s", 10)
	for name, want := range map[string]struct{ times, all, goal float64 }{
		"way/status/rekindle": {30, 15, 10}, "way/memory/rekindle": {4, 10, 0}, "way/run/rekindle": {0, 0, 10}, "way/status/fastapi-sqlite": {},
	} {
		for _, r := range c.rows {
			if r.Name != name {
				continue
			}
			times, _ := r.get(timesPeer)
			all, _ := r.get(timesAllCores)
			goal, _ := r.get(goalTimes)
			if missed, judged := r.get(goalMissed); judged != (want.goal > 0) || judged && (missed == 1) != (want.times < want.goal) {
				t.Errorf("%s: missed is %v (judged: %t), want it where %v is under %v", name, missed, judged, want.times, want.goal)
			}
			if times != want.times || all != want.all || goal != want.goal {
				t.Errorf("%s: got %v times, %v times all cores, with the goal %v, want %+v", name, times, all, goal, want)
			}
		}
	}
}

func TestProcessorTimeIsReadBehindANameWithBrackets(t *testing.T) {
	stat := "42 (a) (b) c) S 1 42 42 0 -1 4194304 100 0 0 0 7 3 20 10 20 0 9 0 100 1000000 500 0 0"
	if got, want := processorTimeOf(stat), 400*time.Millisecond; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := processorTimeOf("42 (gone) Z 1"); got != 0 {
		t.Errorf("of a line that ends early: got %s, want nothing", got)
	}
}

// The instant database must be one to the store: what it answers is read by it.
func TestTheInstantDatabaseIsOneToTheStore(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const stuck = 16*300 + 5 // more than a page of each shard
	d := &instant{now: now, stuck: stuck}
	settings := map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
	client, err := dynamo.ClientFromEnv(
		func(name string) (string, bool) { v, set := settings[name]; return v, set },
		func(o *dynamodb.Options) { o.HTTPClient = &http.Client{Transport: d} },
	)
	if err != nil {
		t.Fatal(err)
	}
	store := dynamo.New(client, dynamo.Tables{Projects: projectsTable, Tenants: tenantsTable, Sessions: sessionsTable})
	for id, want := range map[string]project.Status{"run-8-3": project.Pending, "check-status-0": project.Failed} {
		session, p, tenant, err := store.Load(t.Context(), "hash", project.Key{TenantID: peerTenant, ProjectID: id})
		if err != nil {
			t.Fatal(err)
		}
		if session == nil || session.TenantID != peerTenant || session.Check(now.Add(time.Minute)) != nil {
			t.Errorf("%s: the session is %+v, want a live one of %s", id, session, peerTenant)
		}
		if p == nil || p.ProjectID != id || p.Status != want {
			t.Errorf("%s: got %+v, want it %s", id, p, want)
		}
		if err := project.CheckStart(want.StartEvent(), p, tenant); err != nil {
			t.Errorf("%s can't be started: %v", id, err)
		}
	}
	found := 0
	for shard := range project.Shards {
		for page, err := range store.RunningSince(t.Context(), shard, now.Add(-24*time.Hour)) {
			if err != nil {
				t.Fatal(err)
			}
			found += len(page)
		}
	}
	if found != stuck {
		t.Errorf("the index has %d stuck, want %d", found, stuck)
	}
}

func TestWhatIsSeededIsWhatTheLoadsStart(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	plan := peerPlan{clients: []int{1, 8}}
	s := newSeed(now)
	seedStarts(s, now, plan, 3)
	seeded := map[string]string{}
	for _, p := range s.Projects {
		if _, twice := seeded[p.ProjectID]; twice && p.TenantID == peerTenant {
			t.Errorf("%s is seeded twice", p.ProjectID)
		}
		seeded[p.ProjectID] = p.Status
	}
	for _, clients := range plan.clients {
		for verb, want := range map[string]project.Status{"run": project.Pending, "restart": project.Failed} {
			for _, id := range idsOf(fmt.Sprintf("%s-%d", verb, clients), 3) {
				if seeded[id] != string(want) {
					t.Errorf("%s is seeded as %q, want %s", id, seeded[id], want)
				}
			}
		}
	}
	if seeded[warmProject] != string(project.Failed) {
		t.Errorf("%s is seeded as %q, want failed", warmProject, seeded[warmProject])
	}
}

// answers serves one answer to every call.
func answers(t *testing.T, status int, body string) (*system, *atomic.Int64) {
	t.Helper()
	calls := &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return &system{name: "fake", url: server.URL, warm: "p", sweep: "/sweep"}, calls
}

func TestALoadEndsAtAWrongAnswer(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
	}{
		{500, `{}`},
		{200, `{"project_id":"another","execution_status":"failed","execution_id":1000}`},
		{200, `{"project_id":"p","execution_status":"running","execution_id":1000}`},
		{200, `not JSON`},
	} {
		s, _ := answers(t, c.status, c.body)
		if _, err := (load{clients: 2, verb: "status", ids: []string{"p"}, lasting: time.Minute}).drive(t.Context(), s); err == nil {
			t.Errorf("answered with %d %s, the load went on", c.status, c.body)
		}
	}
}

func TestALoadOfRestartsStartsEachOnce(t *testing.T) {
	var seen []string
	restarts := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(`{"project_id":"p","execution_status":"failed","execution_id":1000}`))
			return
		}
		restarts <- r.URL.Path
		_, _ = w.Write([]byte(`{"status":"running","execution_id":1001}`))
	}))
	t.Cleanup(server.Close)
	m, err := load{clients: 3, verb: "restart", ids: idsOf("restart-3", 20)}.drive(t.Context(), &system{name: "fake", url: server.URL, warm: "p"})
	if err != nil {
		t.Fatal(err)
	}
	close(restarts)
	once := map[string]bool{}
	for path := range restarts {
		seen = append(seen, path)
		once[path] = true
	}
	if len(seen) != 20 || len(once) != 20 || len(m.took) != 20 {
		t.Errorf("%d restarts of %d projects, %d of them measured, want 20 of each", len(seen), len(once), len(m.took))
	}
}

func TestABusyAnswerIsAskedAgainWithTheSameKey(t *testing.T) {
	var restarts atomic.Int64
	keys := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(`{"project_id":"p","execution_status":"failed","execution_id":1000}`))
			return
		}
		keys <- r.Header.Get("Idempotency-Key")
		if restarts.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"status":"running","execution_id":1001}`))
	}))
	t.Cleanup(server.Close)
	m, err := load{clients: 1, verb: "restart", ids: []string{"p"}}.drive(t.Context(), &system{name: "fake", url: server.URL, warm: "p"})
	if err != nil || m.busy != 1 || len(m.took) != 1 {
		t.Fatalf("got %+v, %v, want one restart, and one answer that asked for another call", m, err)
	}
	if first, second := <-keys, <-keys; first == "" || first != second {
		t.Errorf("the keys are %q and %q, want one and the same", first, second)
	}
}

func TestASweepThatFailsTooManyOrNoneIsAnError(t *testing.T) {
	for body, wrong := range map[string]bool{`{"failed":5}`: false, `{"failed":6}`: true, `{"failed":0}`: true, `{}`: true, `no`: true} {
		s, _ := answers(t, 200, body)
		if _, err := s.sweepNow(t.Context(), 5); (err != nil) != wrong {
			t.Errorf("5 stuck, and the sweep answers %s: got %v", body, err)
		}
	}
	s, calls := answers(t, 200, `{"failed":2}`)
	if _, err := s.sweepNow(t.Context(), 6); err != nil || calls.Load() != 3 {
		t.Errorf("6 stuck, two a sweep: got %v after %d sweeps, want 3", err, calls.Load())
	}
}

func TestDiffersNamesEachMember(t *testing.T) {
	want := map[string]any{"code": "c", "n": 1.0, "none": nil}
	if err := differs(want, map[string]any{"code": "c", "n": 1.0, "none": nil, "more": true}); err != nil {
		t.Errorf("got %v, want no difference", err)
	}
	err := differs(want, map[string]any{"code": "d", "n": "1"})
	for _, name := range []string{"code", "n", "none"} {
		if err == nil || !strings.Contains(err.Error(), name+" is ") {
			t.Errorf("got %v, want it to name %s", err, name)
		}
	}
}

// The peer seeds from the same file, so its members must be there.
func TestTheSeedFileHasRFC3339Times(t *testing.T) {
	s := newSeed(time.Now())
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(`"-2`)) {
		t.Error("a time is relative, which the peer does not read")
	}
	for _, p := range s.Projects {
		if _, err := p.project(); err != nil {
			t.Errorf("%s: %v", p.ProjectID, err)
		}
	}
}

func TestAFamilyIsAProcessWithItsChildrenThatNameTheFolder(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processes are looked up in Linux's /proc")
	}
	folder := t.TempDir()
	child := func(env string) int {
		t.Helper()
		cmd := exec.Command("cat") // until its input ends
		cmd.Env = append(os.Environ(), "WHERE="+env)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = stdin.Close()
			if err := cmd.Wait(); err != nil {
				t.Errorf("cat: %v", err)
			}
		})
		return cmd.Process.Pid
	}
	in, out := child(folder), child("elsewhere")
	got := family(os.Getpid(), folder)
	if !slices.Contains(got, os.Getpid()) || !slices.Contains(got, in) || slices.Contains(got, out) {
		t.Errorf("got %v, want this process %d and its child %d, and not %d", got, os.Getpid(), in, out)
	}
	if got := resident(in, folder, "VmRSS", 0); got <= 0 {
		t.Errorf("the child has %v bytes, want some", got)
	}
	if got := resident(in, folder, "VmRSS", in); got != 0 {
		t.Errorf("without the child there are %v bytes, want none", got)
	}
}
