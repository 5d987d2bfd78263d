package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"

	"rekindle/internal/project"
)

func TestTheEmulatorIsTheOneThatIsPinned(t *testing.T) {
	t.Chdir("../..")
	module, err := emulatorModule()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(module, "github.com/aws/aws-lambda-runtime-interface-emulator/") || !strings.Contains(module, "@v") {
		t.Errorf("got %q, want a package of the emulator with its version", module)
	}
}

func TestAnEmulatorThatIsNotPinnedIsAnError(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll(filepath.Dir(emulatorFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(emulatorFile, []byte("rie=example.com/rie\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if module, err := emulatorModule(); err == nil {
		t.Errorf("got %q, want an error", module)
	}
}

func TestTheRelayNotesTheFirstRequestForAnInvocationAlone(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, r.URL.Path) }))
	defer api.Close()
	r, err := openRelay(strings.TrimPrefix(api.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}()
	client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	call := func(method, path string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.address()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if text, err := io.ReadAll(resp.Body); err != nil || string(text) != method+path {
			t.Errorf("got %s, %v, want the API's answer", text, err)
		}
	}
	const next = "/2018-06-01/runtime/invocation/next"
	call(http.MethodGet, "/2018-06-01/runtime/other")
	call(http.MethodPost, next)
	if _, asked := r.asked(); asked {
		t.Error("something else was taken for a request for an invocation")
	}
	call(http.MethodGet, next)
	first, asked := r.asked()
	if !asked {
		t.Error("a request for an invocation was not seen")
	}
	call(http.MethodGet, next)
	if again, _ := r.asked(); !again.Equal(first) {
		t.Errorf("got %s, want the first, %s", again, first)
	}
}

func TestAClosedRelayEndsItsConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	r, err := openRelay(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprint(c, "hello\n"); err != nil {
		t.Fatal(err)
	}
	other := <-accepted
	defer other.Close()
	if line, err := bufio.NewReader(other).ReadString('\n'); err != nil || line != "hello\n" {
		t.Errorf("got %q, %v", line, err)
	}
	if err := r.close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	// Which of the two ends it gets, the system decides.
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after it was closed: got %v, want the end", err)
	}
}

func TestTheEngineTakesEveryJobAndKnowsNone(t *testing.T) {
	endpoint, stop, err := serveEngine()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	}()
	client := batch.New(batch.Options{
		Region: "eu-central-1", BaseEndpoint: &endpoint,
		Credentials: aws.AnonymousCredentials{}, RetryMaxAttempts: 1,
	})
	job, err := client.SubmitJob(t.Context(), &batch.SubmitJobInput{JobName: aws.String("rk-1-u"), JobQueue: aws.String("q"), JobDefinition: aws.String("d")})
	if err != nil || aws.ToString(job.JobId) == "" || aws.ToString(job.JobName) != "rk-1-u" {
		t.Errorf("submitting: got %+v, %v, want a job of that name", job, err)
	}
	jobs, err := client.ListJobs(t.Context(), &batch.ListJobsInput{JobQueue: aws.String("q")})
	if err != nil || len(jobs.JobSummaryList) != 0 {
		t.Errorf("listing: got %+v, %v, want none", jobs, err)
	}
	if _, err := client.TerminateJob(t.Context(), &batch.TerminateJobInput{JobId: aws.String("j"), Reason: aws.String("r")}); err != nil {
		t.Errorf("terminating: %v", err)
	}
	if _, err := client.CancelJob(t.Context(), &batch.CancelJobInput{JobId: aws.String("j"), Reason: aws.String("r")}); err == nil {
		t.Error("a call that Rekindle does not make was answered")
	}
}

func TestColdRowsHaveMediansSpreadAndTheRatio(t *testing.T) {
	ms := time.Millisecond
	rows := coldRows("status", []string{"rekindle", "fastapi-boto3"}, map[string][]coldStart{
		"rekindle":      {{10 * ms, 5 * ms, ms}, {12 * ms, 8 * ms, ms}, {30 * ms, 10 * ms, 2 * ms}},
		"fastapi-boto3": {{500 * ms, 100 * ms, ms}, {100 * ms, 100 * ms, ms}, {400 * ms, 100 * ms, ms}},
	})
	if len(rows) != 2 {
		t.Fatalf("got %d rows, want 2", len(rows))
	}
	for unit, want := range map[string]float64{
		"init-ns": 12e6, "first-ns": 8e6, "cold-ns": 20e6, "cold-min-ns": 15e6, "cold-max-ns": 40e6, "warm-ns": 1e6, timesPeer: 25, goalTimes: 10,
	} {
		if got, _ := rows[0].get(unit); got != want {
			t.Errorf("%s: got %v, want %v", unit, got, want)
		}
	}
	if _, has := rows[1].get(timesPeer); has {
		t.Error("the peer is compared with itself")
	}
}

func TestAnswersOfFunctionsAreJudged(t *testing.T) {
	for _, c := range []struct {
		answer string
		check  func([]byte) error
		good   bool
	}{
		{`{"statusCode":200,"body":"{}"}`, isOK, true},
		{`{"statusCode":502,"body":"{}"}`, isOK, false},
		{`{"statusCode":200,"body":""}`, isOK, false},
		{`{"errorMessage":"x","errorType":"y"}`, isOK, false},
		{`{"failed":1}`, failedOne, true},
		{`{"failed":0}`, failedOne, false},
		{"null\n", isNull, true},
		{`{"errorType":"Runtime.ExitError"}`, isNull, false},
	} {
		if err := c.check([]byte(c.answer)); (err == nil) != c.good {
			t.Errorf("%s: got %v, want it right: %t", c.answer, err, c.good)
		}
	}
}

// Every function is measured, and each is called with an event that there is.
func TestEveryFunctionHasItsColdStart(t *testing.T) {
	t.Chdir("../..")
	folders, err := os.ReadDir("functions")
	if err != nil {
		t.Fatal(err)
	}
	measured := map[string]bool{}
	for _, f := range coldFunctions {
		measured[f.name] = true
		if _, err := os.Stat(filepath.Join("infra", "events", f.event)); err != nil {
			t.Error(err)
		}
	}
	for _, f := range folders {
		if !measured[f.Name()] {
			t.Errorf("functions/%s is not measured", f.Name())
		}
	}
}

func TestAColdProjectIsUnclaimedAndOfItsOwnExecution(t *testing.T) {
	p := coldProject(7, project.Running, time.Now().Add(-time.Hour))
	if a := p.Attempts[p.ExecutionID]; p.ExecutionID != executionOf(7) || len(p.Attempts) != 1 || a.ExecutionID != p.ExecutionID || a.RunnerID != "" || !p.ClaimedAt.IsZero() {
		t.Errorf("got %+v, want execution %d alone, unclaimed", p, executionOf(7))
	}
	if p := coldProject(8, project.Pending, time.Now()); p.ExecutionID != 0 || p.Status != project.Pending {
		t.Errorf("got %+v, want it pending, without an execution", p)
	}
}
