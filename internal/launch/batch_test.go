package launch_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/batch"

	"rekindle/internal/awsenv"
	"rekindle/internal/launch"
	"rekindle/internal/project"
	"rekindle/internal/settings"
	"rekindle/internal/token"
)

// batchAPI is AWS Batch over HTTP, as far as the launcher calls it. It answers
// a call to an operation with the next of the answers that the test lined up,
// or as Batch would.
type batchAPI struct {
	t *testing.T
	*httptest.Server

	mu        sync.Mutex
	submitted []map[string]any
	ended     []string // ids of jobs terminated
	jobs      map[string][]map[string]any
	calls     map[string]int
	answers   map[string][]func(http.ResponseWriter)
	deaf      bool // a call that is answered by the test has no effect
}

func newBatchAPI(t *testing.T) *batchAPI {
	b := &batchAPI{t: t, jobs: map[string][]map[string]any{}, calls: map[string]int{}, answers: map[string][]func(http.ResponseWriter){}}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

func (b *batchAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	op := strings.TrimPrefix(r.URL.Path, "/v1/")
	b.calls[op]++
	var in map[string]any
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		b.t.Errorf("%s: %v", op, err)
	}
	var out any = map[string]any{}
	switch op {
	case "submitjob":
		id := fmt.Sprintf("job-%d", len(b.submitted)+1)
		b.submitted = append(b.submitted, in)
		if b.deaf && len(b.answers[op]) > 0 {
			break
		}
		name := in["jobName"].(string)
		b.jobs[name] = append(b.jobs[name], map[string]any{"jobId": id, "jobName": name, "status": "SUBMITTED"})
		out = map[string]any{"jobId": id, "jobName": name}
	case "listjobs":
		filter := in["filters"].([]any)[0].(map[string]any)
		if filter["name"] != "JOB_NAME" || in["jobQueue"] != "queue" {
			b.t.Errorf("listjobs: got %v", in)
		}
		all := b.jobs[filter["values"].([]any)[0].(string)]
		// One job a page: a caller that reads the first page alone sees one.
		n := 0
		if next, ok := in["nextToken"].(string); ok {
			fmt.Sscan(next, &n)
		}
		page := map[string]any{"jobSummaryList": all[min(n, len(all)):min(n+1, len(all))]}
		if n+1 < len(all) {
			page["nextToken"] = fmt.Sprint(n + 1)
		}
		out = page
	case "terminatejob":
		b.ended = append(b.ended, in["jobId"].(string)+": "+in["reason"].(string))
	default:
		b.t.Errorf("an unknown call: %s", r.URL.Path)
	}
	if queue := b.answers[op]; len(queue) > 0 {
		b.answers[op] = queue[1:]
		queue[0](w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(out); err != nil {
		b.t.Error(err)
	}
}

func fails(status int, kind string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("X-Amzn-Errortype", kind)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"message":%q}`, kind)
	}
}

// loses breaks the connection instead of answering.
func loses(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func (b *batchAPI) lookup(name string) (string, bool) {
	v, ok := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL_BATCH": b.URL,
		"JOB_QUEUE": "queue", "JOB_DEFINITION": "definition", "PROJECT_COMMAND": "work", "EXECUTION_TOKEN_SECRET": strings.Repeat("k", token.MinSecret),
	}[name]
	return v, ok
}

func (b *batchAPI) launcher() *launch.Batch {
	b.t.Helper()
	keys, err := token.NewKeyring(strings.Repeat("k", token.MinSecret))
	if err != nil {
		b.t.Fatal(err)
	}
	l, err := launch.NewBatch(b.lookup, launch.BatchConfig{
		Queue: "queue", Definition: "definition", Command: `["work"]`, Timeout: 24 * time.Hour, Keys: keys,
	}, func(o *batch.Options) {
		// As many attempts as in the cloud, without the pauses.
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts, r.MaxBackoff = awsenv.MaxAttempts, time.Millisecond
		})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

var batchRef = project.Ref{Key: project.Key{TenantID: "acme", ProjectID: "site"}, ProjectUID: "u", ExecutionID: 61_000_000_000_001}

func TestBatchSubmitsTheJobOfTheExecution(t *testing.T) {
	b := newBatchAPI(t)
	id, err := b.launcher().Launch(t.Context(), batchRef)
	if err != nil || id != "job-1" {
		t.Fatalf("got %q, %v", id, err)
	}
	in := b.submitted[0]
	if in["jobName"] != "rk-61000000000001-u" || in["jobQueue"] != "queue" || in["jobDefinition"] != "definition" {
		t.Errorf("got %v", in)
	}
	// The limit, an extension of a day, and a quarter of an hour.
	if got := in["timeout"].(map[string]any)["attemptDurationSeconds"]; got != (48*time.Hour + 15*time.Minute).Seconds() {
		t.Errorf("timeout: got %v", got)
	}
	if got := in["retryStrategy"].(map[string]any)["attempts"]; got != 1.0 {
		t.Errorf("attempts: got %v, want 1: a restart is the tenant's to decide", got)
	}
	if got := in["shareIdentifier"].(string); !regexp.MustCompile(`^[a-zA-Z0-9]{1,255}$`).MatchString(got) {
		t.Errorf("share identifier: got %q", got)
	}
	env := environmentOf(in)
	if names := slices.Sorted(maps.Keys(env)); !slices.Equal(names, []string{"PROJECT_COMMAND", "REKINDLE_EXECUTION_TOKEN"}) || env["PROJECT_COMMAND"] != `["work"]` {
		t.Errorf("environment: got %v", env)
	}
	claims, err := token.Peek(env["REKINDLE_EXECUTION_TOKEN"])
	if err != nil || claims.Ref() != batchRef || claims.Purpose != token.Execution {
		t.Errorf("token: got %+v, %v", claims, err)
	}
}

func TestBatchSharesStayUnderTheQueuesLimit(t *testing.T) {
	b := newBatchAPI(t)
	l := b.launcher()
	shares := map[any]bool{}
	for i := range 1500 {
		ref := batchRef
		ref.TenantID, ref.ExecutionID = fmt.Sprintf("tenant-%d", i), int64(i+1)
		if _, err := l.Launch(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	for _, in := range b.submitted {
		shares[in["shareIdentifier"]] = true
	}
	again := batchRef
	again.TenantID, again.ExecutionID = "tenant-7", 5000
	if _, err := l.Launch(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if first, now := b.submitted[7]["shareIdentifier"], b.submitted[1500]["shareIdentifier"]; first != now {
		t.Errorf("a tenant's second job: got share %v, want %v as before", now, first)
	}
	if len(shares) > 400 || len(shares) < 300 {
		t.Errorf("1,500 tenants have %d shares, want nearly 400 and no more", len(shares))
	}
}

func TestBatchFindsTheJobWhoseAnswerWasLost(t *testing.T) {
	b := newBatchAPI(t)
	for range awsenv.MaxAttempts {
		b.answers["submitjob"] = append(b.answers["submitjob"], fails(500, "ServerException")) // after accepting
	}
	id, err := b.launcher().Launch(t.Context(), batchRef)
	if err != nil || id == "" {
		t.Errorf("got %q, %v, want one of the jobs that were accepted", id, err)
	}
	if b.calls["listjobs"] == 0 {
		t.Error("nothing was looked up")
	}
}

func TestBatchTriesAgainWhatMayPass(t *testing.T) {
	for name, fault := range map[string]func(http.ResponseWriter){
		"throttled":         fails(429, "TooManyRequestsException"),
		"Batch's fault":     fails(500, "ServerException"),
		"broken connection": loses, // accepted: the job is there twice, and one will claim
	} {
		b := newBatchAPI(t)
		b.answers["submitjob"] = []func(http.ResponseWriter){fault}
		if id, err := b.launcher().Launch(t.Context(), batchRef); err != nil || id != "job-2" || b.calls["submitjob"] != 2 || b.calls["listjobs"] != 0 {
			t.Errorf("%s once: got %q, %v after %v, want success at the second try", name, id, err, b.calls)
		}
	}
}

func TestBatchDoesNotRepeatARefusal(t *testing.T) {
	for status, kind := range map[int]string{403: "AccessDeniedException", 400: "ClientException"} {
		b := newBatchAPI(t)
		b.answers["submitjob"] = []func(http.ResponseWriter){fails(status, kind)}
		if id, err := b.launcher().Launch(t.Context(), batchRef); err == nil || !strings.Contains(err.Error(), kind) || b.calls["submitjob"] != 1 || b.calls["listjobs"] != 0 {
			t.Errorf("%s: got %q, %v after %v, want an error after one call", kind, id, err, b.calls)
		}
	}
}

func TestBatchSaysWhyNothingWasSubmitted(t *testing.T) {
	b := newBatchAPI(t)
	b.refuse("submitjob", "ServiceUnavailable")
	if id, err := b.launcher().Launch(t.Context(), batchRef); err == nil || !strings.Contains(err.Error(), "submitting a job") || b.calls["listjobs"] != 1 {
		t.Errorf("nothing accepted: got %q, %v after %v, want an error after a look for the job", id, err, b.calls)
	}
	b.refuse("submitjob", "ServiceUnavailable")
	b.refuse("listjobs", "ServiceUnavailable")
	id, err := b.launcher().Launch(t.Context(), batchRef)
	if err == nil || !strings.Contains(err.Error(), "submitting a job") || !strings.Contains(err.Error(), "looking for the jobs") {
		t.Errorf("nor could it be looked for: got %q, %v, want both said", id, err)
	}
	if err != nil && strings.Contains(err.Error(), b.token(t)) {
		t.Errorf("the error has the execution's token: %v", err)
	}
}

// refuse makes every attempt at the next call of an operation fail. Batch keeps
// nothing of it.
func (b *batchAPI) refuse(operation, kind string) {
	for range awsenv.MaxAttempts {
		b.answers[operation] = append(b.answers[operation], fails(503, kind))
	}
	b.deaf = true
}

// token returns the execution token that was submitted last.
func (b *batchAPI) token(t *testing.T) string {
	t.Helper()
	return environmentOf(b.submitted[len(b.submitted)-1])["REKINDLE_EXECUTION_TOKEN"]
}

func environmentOf(job map[string]any) map[string]string {
	env := map[string]string{}
	for _, e := range job["containerOverrides"].(map[string]any)["environment"].([]any) {
		env[e.(map[string]any)["name"].(string)] = e.(map[string]any)["value"].(string)
	}
	return env
}

// Batch takes at most 8,192 characters of overrides (AWS Batch, SubmitJob).
func TestBatchOverridesLeaveRoomForTheCommand(t *testing.T) {
	b := newBatchAPI(t)
	ref := project.Ref{
		Key:        project.Key{TenantID: strings.Repeat("t", 100), ProjectID: strings.Repeat("p", 100)},
		ProjectUID: project.NewToken(), ExecutionID: 1<<53 - 1,
	}
	if _, err := b.launcher().Launch(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	overrides, err := json.Marshal(b.submitted[0]["containerOverrides"])
	if err != nil || len(overrides) > 1000 {
		t.Errorf("got %d characters, %v, want under 1,000", len(overrides), err)
	}
}

func TestBatchIsMadeOfSettings(t *testing.T) {
	b := newBatchAPI(t)
	r := settings.From(b.lookup)
	launcher, stopper := launch.BatchFrom(r), launch.BatchStopperFrom(r)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := launcher.Launch(t.Context(), batchRef); err != nil {
		t.Fatal(err)
	}
	in := b.submitted[0]
	if in["jobQueue"] != "queue" || in["jobDefinition"] != "definition" || environmentOf(in)["PROJECT_COMMAND"] != "work" {
		t.Errorf("got %v", in)
	}
	if err := stopper.Stop(t.Context(), batchRef, "", "too long"); err != nil || !slices.Equal(b.ended, []string{"job-1: too long"}) {
		t.Errorf("got %v, %v", b.ended, err)
	}
	if _, err := launch.NewBatch(func(string) (string, bool) { return "", false }, launch.BatchConfig{}); err == nil {
		t.Error("without an environment: got no error")
	}
}

func TestBatchLooksUpTheLivingOnEveryPage(t *testing.T) {
	b := newBatchAPI(t)
	for i, status := range []string{"FAILED", "SUBMITTED", "SUCCEEDED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"} {
		b.jobs["rk-61000000000001-u"] = append(b.jobs["rk-61000000000001-u"], map[string]any{"jobId": fmt.Sprintf("j%d", i), "jobName": "x", "status": status})
	}
	got, err := b.launcher().Lookup(t.Context(), batchRef)
	if want := []string{"j1", "j3", "j4", "j5", "j6"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	other := batchRef
	other.ExecutionID++
	if got, err := b.launcher().Lookup(t.Context(), other); err != nil || len(got) != 0 {
		t.Errorf("another execution: got %v, %v", got, err)
	}
}

func TestBatchLookupFailsRatherThanSayThatNothingLives(t *testing.T) {
	b := newBatchAPI(t)
	b.refuse("listjobs", "ServerException")
	l := b.launcher()
	if got, err := l.Lookup(t.Context(), batchRef); err == nil {
		t.Errorf("got %v", got)
	}
	b.refuse("listjobs", "ServerException")
	if err := l.Stop(t.Context(), batchRef, "", "too long"); err == nil || len(b.ended) != 0 {
		t.Errorf("stop: got %v, %v", b.ended, err)
	}
}

func TestBatchStopsTheJobOrAllOfAnUnclaimedExecution(t *testing.T) {
	b := newBatchAPI(t)
	l := b.launcher()
	if err := l.Stop(t.Context(), batchRef, "job-9", "too long"); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(b.ended, []string{"job-9: too long"}) || b.calls["listjobs"] != 0 {
		t.Errorf("the claiming job: got %v, calls %v", b.ended, b.calls)
	}
	for _, id := range []string{"a", "b"} {
		b.jobs["rk-61000000000001-u"] = append(b.jobs["rk-61000000000001-u"], map[string]any{"jobId": id, "jobName": "x", "status": "RUNNABLE"})
	}
	b.ended = nil
	b.answers["terminatejob"] = []func(http.ResponseWriter){fails(400, "ClientException")}
	err := l.Stop(t.Context(), batchRef, "", "too long")
	if err == nil || !strings.Contains(err.Error(), "job a") || !slices.Equal(b.ended, []string{"a: too long", "b: too long"}) {
		t.Errorf("unclaimed: got %v, %v, want both asked and the error of the first", b.ended, err)
	}
}

// Execution ids are unique in their project alone.
func TestBatchNeverMeetsTheJobOfAnotherProjectsNamesake(t *testing.T) {
	b := newBatchAPI(t)
	l := b.launcher()
	other := batchRef
	other.TenantID, other.ProjectUID = "rival", "u2" // with the same execution id
	if _, err := l.Launch(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if jobs, err := l.Lookup(t.Context(), batchRef); err != nil || len(jobs) != 0 {
		t.Errorf("got %v, %v, want none of another project's", jobs, err)
	}
	if err := l.Stop(t.Context(), batchRef, "", "cancelled"); err != nil || len(b.ended) != 0 {
		t.Errorf("%v was stopped, %v", b.ended, err)
	}
}
