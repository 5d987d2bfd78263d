package main

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/batch/types"

	"rekindle/internal/launch"
	"rekindle/internal/project"
)

// invocations invokes each function, each time with the data as at the
// beginning. One at a time: the emulator in a container takes no two.
func (b *bench) invocations(t *testing.T) {
	for _, c := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"run starts a pending project", func(t *testing.T) {
			body := b.invoke(t, "RunFunction", "run.json", nil).wants(t, 200,
				`{"success":true,"message":"Project execution started successfully","status":"running"}`)
			b.started(t, "pending-site", 1, body)
		}},
		{"restart starts a failed project", func(t *testing.T) {
			body := b.invoke(t, "RestartFunction", "restart.json", nil).wants(t, 200,
				`{"success":true,"message":"Project execution restarted successfully","status":"running"}`)
			b.started(t, "failing-site", 2, body)
		}},
		{"restart refuses a completed project", func(t *testing.T) {
			b.invoke(t, "RestartFunction", "restart.json", onProject("finished-site")).wants(t, 400,
				`{"code":"project_not_failed","detail":"Only failed projects can be restarted. Current status: completed","status":"completed"}`)
			if p := b.project(t, "finished-site"); p.Status != project.Completed || p.ExecutionID != 100003 || p.Version != 1 {
				t.Errorf("got %s, execution %d, version %d, want it as it was: completed, 100003, 1", p.Status, p.ExecutionID, p.Version)
			}
		}},
		{"status tells of a running project", func(t *testing.T) {
			b.invoke(t, "StatusFunction", "status.json", nil).wants(t, 200,
				`{"project_id":"stuck-site","execution_status":"running","execution_id":100001,"attempt":1,"can_run":false,"can_restart":false}`)
		}},
		{"status refuses a caller without a session", func(t *testing.T) {
			b.invoke(t, "StatusFunction", "status.json", func(e map[string]any) {
				delete(e["headers"].(map[string]any), "x-session-token")
			}).wants(t, 401, `{"code":"session_missing"}`)
		}},
		{"projects lists", func(t *testing.T) {
			body := b.invoke(t, "ProjectsFunction", "project-list.json", nil).wants(t, 200, `{"next_cursor":null}`)
			list, _ := body["projects"].([]any)
			if len(list) != 1 || list[0].(map[string]any)["project_id"] != "failing-site" {
				t.Errorf("got %v, want failing-site alone", body["projects"])
			}
		}},
		{"projects creates", func(t *testing.T) {
			b.invoke(t, "ProjectsFunction", "project-create.json", nil).wants(t, 201,
				`{"project_id":"spring-sale","name":"Spring sale","execution_status":"pending","attempt":0}`)
			if p := b.project(t, "spring-sale"); p.Objectives != "Home\nOffers" {
				t.Errorf("the objectives are %q, want those of the event", p.Objectives)
			}
		}},
		{"projects cancels", func(t *testing.T) {
			b.invoke(t, "ProjectsFunction", "project-cancel.json", nil).wants(t, 200, `{"success":true,"message":"Project execution cancelled","status":"failed"}`)
			b.isFailed(t, "cancelled")
		}},
		{"projects extends", func(t *testing.T) {
			b.invoke(t, "ProjectsFunction", "project-extend.json", nil).wants(t, 200, `{"success":true,"message":"Project execution extended","execution_id":100004}`)
			if p := b.project(t, "long-site"); p.Extension != 6*time.Hour {
				t.Errorf("it is extended by %s, want 6 hours", p.Extension)
			}
		}},
		{"auth takes the request for a login code", func(t *testing.T) {
			// The template names no SES to send it by but AWS's own, and no sender
			// until one is given. So it says in its log what is missing.
			a := b.invoke(t, "AuthFunction", "auth-otp-request.json", nil)
			a.wants(t, 200, `{"message":"If the account exists, a login code is on its way","expires_in_seconds":600}`)
			if want := "OTP_SENDER is empty"; !strings.Contains(a.log, want) {
				t.Errorf("the log has no %q:\n%s", want, a.log)
			}
		}},
		{"worker takes a claim, a heartbeat and a result", func(t *testing.T) {
			grant := b.invoke(t, "WorkerFunction", "worker-claim.json", nil).wants(t, 200,
				`{"execution_id":100001,"attempt":1,"tenant_id":"demo","project_id":"stuck-site","name":"Autumn campaign","heartbeat_seconds":30}`)
			if got, want := grant["report_token"], eventToken(t, "worker-heartbeat.json"); got != want {
				t.Errorf("the report token is %v, want that of the heartbeat's event, %s", got, want)
			}
			b.invoke(t, "WorkerFunction", "worker-heartbeat.json", nil).wants(t, 200, `{}`)
			if p := b.project(t, "stuck-site"); p.Progress.Percent != 40 || p.Progress.Message != "Generating pages" {
				t.Errorf("the progress is %+v, want 40 and Generating pages", p.Progress)
			}
			b.invoke(t, "WorkerFunction", "worker-result.json", nil).wants(t, 200, `{"status":"completed"}`)
			if p := b.project(t, "stuck-site"); p.Status != project.Completed {
				t.Errorf("the project is %s, want completed", p.Status)
			}
		}},
		{"cleanup tells what it would do", func(t *testing.T) {
			b.invoke(t, "CleanupFunction", "cleanup-dry-run.json", nil).receipt(t, `{"dry_run":true,"shards":16,"nominated":1,"complete":true}`)
			if p := b.project(t, "stuck-site"); p.Status != project.Running || p.Version != 1 {
				t.Errorf("got %s, version %d, want it as it was: running, 1", p.Status, p.Version)
			}
		}},
		{"cleanup fails what has been running for too long", func(t *testing.T) {
			b.invoke(t, "CleanupFunction", "cleanup.json", nil).receipt(t, `{"dry_run":false,"shards":16,"nominated":1,"failed":1,"complete":true}`)
			b.isFailed(t, "24 hours")
			store, err := b.store()
			if err != nil {
				t.Fatal(err)
			}
			if r, err := store.GetReceipt(t.Context(), b.project(t, "stuck-site").SweepID); err != nil || r.Failed != 1 || r.EndedAt.IsZero() {
				t.Errorf("the receipt of the sweep that the project names: %+v, %v", r, err)
			}
		}},
		{"settle fails the project whose job has failed", func(t *testing.T) {
			a := b.invoke(t, "SettleFunction", "settle-failed.json", nil)
			if string(a.payload) != "null" {
				t.Errorf("got %s, want null\n%s", a.payload, a.log)
			}
			b.isFailed(t, "ran out of memory")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.reset(t)
			c.test(t)
		})
	}
}

// onProject lets an event speak of another project.
func onProject(id string) func(map[string]any) {
	return func(e map[string]any) {
		old := e["pathParameters"].(map[string]any)["project_id"].(string)
		e["pathParameters"] = map[string]any{"project_id": id}
		e["rawPath"] = strings.Replace(e["rawPath"].(string), old, id, 1)
	}
}

// receipt holds a payload that is no HTTP answer to the members that it must
// have.
func (a answer) receipt(t *testing.T, members string) {
	t.Helper()
	wants(t, 200, a.payload, a.log, 200, members)
}

func (b *bench) isFailed(t *testing.T, why string) {
	t.Helper()
	if p := b.project(t, "stuck-site"); p.Status != project.Failed || !strings.Contains(p.Error, why) {
		t.Errorf("the project is %s, %q, want failed with %q", p.Status, p.Error, why)
	}
}

// started holds database and queue to the answer of a start.
func (b *bench) started(t *testing.T, projectID string, attempt int, body map[string]any) {
	t.Helper()
	id, _ := body["execution_id"].(float64)
	p := b.project(t, projectID)
	if p.Status != project.Running || p.ExecutionID != int64(id) || p.Attempt != attempt {
		t.Errorf("got %s, execution %d, attempt %d, want running, %d, %d", p.Status, p.ExecutionID, p.Attempt, int64(id), attempt)
	}
	name := strconv.FormatInt(p.ExecutionID, 10)
	if want := "s3://rekindle-output/demo/" + p.UID + "/" + name + "/"; body["output_folder_path"] != want {
		t.Errorf("output_folder_path is %v, want %s", body["output_folder_path"], want)
	}
	jobs, err := b.moto.batch().ListJobs(t.Context(), &batch.ListJobsInput{
		JobQueue: aws.String(b.env["JOB_QUEUE"]), JobStatus: types.JobStatusSucceeded,
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, j := range jobs.JobSummaryList {
		names = append(names, aws.ToString(j.JobName))
	}
	if want := launch.JobName(p.Ref()); !slices.Contains(names, want) {
		t.Errorf("the queue has had the jobs %v, want %s among them", names, want)
	}
}

// startAPI speaks HTTP to what `sam local` makes of the template's routes.
func (b *bench) startAPI(t *testing.T) {
	b.reset(t)
	a := b.serveAPI(t)
	const projects = "/api/tenant/projects/"
	a.call(t, http.MethodPost, projects+"pending-site/run", session).wants(t, 200,
		`{"success":true,"message":"Project execution started successfully","status":"running"}`)
	a.call(t, http.MethodGet, projects+"pending-site/status", session).wants(t, 200,
		`{"project_id":"pending-site","execution_status":"running","attempt":1}`)
	a.call(t, http.MethodPost, projects+"pending-site/restart", session).wants(t, 400,
		`{"code":"project_not_failed","detail":"Only failed projects can be restarted. Current status: running","status":"running"}`)
	a.call(t, http.MethodGet, projects+"pending-site/status", "").wants(t, 401, `{"code":"session_missing"}`)

	preflight := a.call(t, http.MethodOptions, projects+"pending-site/restart", "")
	for name, want := range map[string][]string{
		"Access-Control-Allow-Origin":  {"*"},
		"Access-Control-Allow-Methods": {"GET", "POST", "PUT", "DELETE", "OPTIONS"},
		"Access-Control-Allow-Headers": {"X-Session-Token", "Idempotency-Key", "If-Match", "Content-Type"},
	} {
		got := strings.FieldsFunc(preflight.header.Get(name), func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(got)
		slices.Sort(want)
		if preflight.status != http.StatusOK || !slices.Equal(got, want) {
			t.Errorf("preflight: got %d, %s: %q, want 200 and %v", preflight.status, name, got, want)
		}
	}
}

// reply is an HTTP answer.
type reply struct {
	status int
	header http.Header
	body   []byte
	log    string
}

func (r reply) wants(t *testing.T, status int, members string) {
	t.Helper()
	wants(t, r.status, r.body, r.log, status, members)
}

// call makes a request as the portal does. A container is started for it.
func (a *api) call(t *testing.T, method, path, token string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, a.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://portal.example.com")
	if method == http.MethodOptions {
		req.Header.Set("Access-Control-Request-Method", http.MethodPost)
		req.Header.Set("Access-Control-Request-Headers", "x-session-token")
	}
	if token != "" {
		req.Header.Set("X-Session-Token", token)
	}
	res, err := (&http.Client{Timeout: 2 * time.Minute}).Do(req)
	if err != nil {
		t.Fatalf("%v\n%s", err, a.log)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%v\n%s", err, a.log)
	}
	return reply{res.StatusCode, res.Header, bytes.TrimSpace(body), a.log.String()}
}
