package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rekindle/internal/api"
	"rekindle/internal/output"
	"rekindle/internal/project"
	"rekindle/internal/token"
)

// sendTo PUTs data to a presigned URL and returns the status of the answer.
func (w *world) sendTo(url, data string) int {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPut, url, bytes.NewReader([]byte(data)))
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (w *world) uploading(id string) (ref project.Ref, report, uploadID string) {
	w.t.Helper()
	ref, report = w.claimed(id)
	a := w.report("upload", ref, report, "{}")
	if a.status != 200 || a.number("part_bytes") != project.PartBytes || a.number("limit_bytes") != outputLimit {
		w.t.Fatalf("upload: %d %s", a.status, a.raw)
	}
	return ref, report, fmt.Sprint(a.body["upload_id"])
}

func TestUploadOfARunnerBecomesTheDownload(t *testing.T) {
	w := newWorld(t)
	ref, report, id := w.uploading("site")
	a := w.report("upload/part", ref, report, fmt.Sprintf(`{"upload_id":%q,"part":1,"bytes":4}`, id))
	if a.status != 200 || a.body["expires_at"] != "2026-03-01T12:15:00Z" {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	url := fmt.Sprint(a.body["url"])
	if status := w.sendTo(url, "zip!!"); status != 403 {
		t.Errorf("more bytes than were told: got %d, want 403", status)
	}
	if status := w.sendTo(url, "zip!"); status != 200 {
		t.Errorf("got %d, want 200", status)
	}
	for range 2 { // the first one's answer was lost
		a = w.report("upload/complete", ref, report, fmt.Sprintf(`{"upload_id":%q,"parts":1,"bytes":4}`, id))
		if a.status != 200 || a.number("bytes") != 4 {
			t.Fatalf("got %d %s", a.status, a.raw)
		}
	}
	key := fmt.Sprintf("kept/acme/uid-site/%d/output.zip", ref.ExecutionID)
	if got, _ := w.bucket.Object(key); got != "zip!" || len(w.bucket.Keys()) != 1 {
		t.Errorf("there are %v, and %s has %q", w.bucket.Keys(), key, got)
	}
	if strings.Contains(w.logs.String(), "X-Amz") {
		t.Error("a URL was logged")
	}
}

func TestBadUploadCallsAreRefused(t *testing.T) {
	w := newWorld(t)
	ref, report, id := w.uploading("site")
	for verb, bodies := range map[string][]string{
		"upload":          {`{"bytes":1}`, `[]`},
		"upload/part":     {``, `{}`, `{"upload_id":"x","part":0,"bytes":1}`, `{"upload_id":"x","part":10001,"bytes":1}`, `{"upload_id":"x","part":1,"bytes":0}`, `{"upload_id":"x","part":1,"bytes":16777217}`, `{"upload_id":"x","part":1,"bytes":1.5}`, `{"upload_id":"","part":1,"bytes":1}`, `{"upload_id":"a\u0000","part":1,"bytes":1}`, `{"upload_id":"` + strings.Repeat("x", 1025) + `","part":1,"bytes":1}`, `{"upload_id":"x","part":1,"bytes":1,"key":"other"}`},
		"upload/complete": {``, `{}`, `{"upload_id":"x","parts":0,"bytes":1}`, `{"upload_id":"x","parts":10001,"bytes":1}`, `{"upload_id":"x","parts":1,"bytes":-1}`, `{"upload_id":"é","parts":1,"bytes":1}`, `{"upload_id":"x","parts":1,"bytes":1,"etags":[]}`},
		"heartbeat":       {`{"logs":7}`, `{"logs":{"stdout":-1}}`, `{"logs":{"stderr":262145}}`, `{"logs":{"stdin":1}}`, `{"logs":{"stdout":"1"}}`},
	} {
		for _, b := range bodies {
			w.want(w.report(verb, ref, report, b), 400, project.CodeBodyInvalid, "")
		}
		w.want(w.report(verb, ref, report, strings.Repeat(" ", 64<<10)+"{}"), 413, project.CodeBodyTooLarge, "")
	}
	part := func(n int, bytes int64) answer {
		return w.report("upload/part", ref, report, fmt.Sprintf(`{"upload_id":%q,"part":%d,"bytes":%d}`, id, n, bytes))
	}
	if a := part(3, 1); a.status != 200 {
		t.Errorf("the last byte that is allowed: got %d %s", a.status, a.raw)
	}
	w.want(part(3, 2), 400, project.CodeOutputTooLarge, "The output is larger than 32 MB")
	w.want(part(4, 1), 400, project.CodeOutputTooLarge, "")
	w.want(w.report("upload/complete", ref, report, `{"upload_id":"no-such","parts":1,"bytes":1}`), 404, project.CodeUploadUnknown, "")
	w.want(w.report("upload/complete", ref, report, fmt.Sprintf(`{"upload_id":%q,"parts":1,"bytes":1}`, id)), 400, project.CodeUploadIncomplete, "The upload is not complete: 0 parts of 0 bytes are there, not 1 of 1")
}

func TestAnUploadIsItsExecutionsAlone(t *testing.T) {
	w := newWorld(t)
	ref, report, id := w.uploading("site")
	url := fmt.Sprint(w.report("upload/part", ref, report, fmt.Sprintf(`{"upload_id":%q,"part":1,"bytes":1}`, id)).body["url"])
	if status := w.sendTo(url, "x"); status != 200 {
		t.Fatal(status)
	}
	other, otherReport := w.claimed("other")
	w.want(w.report("upload/complete", other, otherReport, fmt.Sprintf(`{"upload_id":%q,"parts":1,"bytes":1}`, id)), 404, project.CodeUploadUnknown, "")
	a := w.report("upload/part", other, otherReport, fmt.Sprintf(`{"upload_id":%q,"part":1,"bytes":1}`, id))
	if status := w.sendTo(fmt.Sprint(a.body["url"]), "y"); a.status != 200 || status != 404 {
		t.Errorf("got %d and then %d, want a URL that S3 refuses with 404", a.status, status)
	}
}

// Whatever may have ended the attempt: nothing is signed for it any more.
func TestUploadsEndWithTheAttempt(t *testing.T) {
	bodies := map[string]string{
		"upload": "{}", "upload/part": `{"upload_id":"x","part":1,"bytes":1}`, "upload/complete": `{"upload_id":"x","parts":1,"bytes":1}`,
		"heartbeat": `{"logs":{"stdout":1,"stderr":1}}`,
	}
	for name, end := range map[string]func(*world, project.Ref){
		"swept": func(w *world, ref project.Ref) {
			if _, err := w.db.Settle(w.t.Context(), project.Settlement{Ref: ref, Event: project.TimeOut, Error: "limit", At: noon, Token: "sweep"}); err != nil {
				w.t.Fatal(err)
			}
		},
		"deleted": func(w *world, ref project.Ref) { w.db.Delete(w.t, ref.Key) },
		"restarted": func(w *world, ref project.Ref) {
			if _, err := w.db.Settle(w.t.Context(), project.Settlement{Ref: ref, Event: project.Fail, Error: "x", At: noon, Token: "x"}); err != nil {
				w.t.Fatal(err)
			}
			if a := w.do(w.restart, action("restart", ref.ProjectID)); a.status != 200 {
				w.t.Fatal(a.raw)
			}
		},
	} {
		w := newWorld(t)
		ref, report := w.claimed("site")
		end(w, ref)
		before := w.db.Item(t, key("site"))
		for verb, body := range bodies {
			if a := w.report(verb, ref, report, body); a.status != 409 || a.code() != string(project.CodeAttemptClosed) {
				t.Errorf("%s, %s: got %d %s", name, verb, a.status, a.raw)
			}
		}
		if !reflect.DeepEqual(before, w.db.Item(t, key("site"))) {
			t.Errorf("%s: a refused call changed the item", name)
		}
		if n := w.bucket.Calls("CreateMultipartUpload"); n != 0 {
			t.Errorf("%s: %d uploads were begun", name, n)
		}
	}
	w := newWorld(t)
	ref, _ := w.claimed("site")
	for verb, body := range bodies {
		w.want(w.report(verb, ref, w.keys.Mint(token.Report, ref, "runner-2"), body), 409, project.CodeAttemptClosed, "")
		w.want(w.report(verb, ref, w.keys.Mint(token.Execution, ref, ""), body), 401, project.CodeTokenInvalid, "")
	}
}

func TestHeartbeatBringsLeaveToShowLogs(t *testing.T) {
	w := newWorld(t)
	ref, report := w.claimed("site")
	a := w.report("heartbeat", ref, report, `{"logs":{"stdout":6,"stderr":0}}`)
	links, _ := a.body["logs"].(map[string]any)
	if a.status != 200 || links["stderr"] != nil || links["expires_at"] != "2026-03-01T12:15:00Z" {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	if status := w.sendTo(fmt.Sprint(links["stdout"]), "hello\n"); status != 200 {
		t.Errorf("got %d, want 200", status)
	}
	if want := []string{fmt.Sprintf("kept/acme/uid-site/%d/stdout.log", ref.ExecutionID)}; !slices.Equal(w.bucket.Keys(), want) {
		t.Errorf("there are %v, want %v", w.bucket.Keys(), want)
	}
	for _, body := range []string{`{}`, `{"logs":{}}`, `{"logs":{"stdout":0,"stderr":0}}`} {
		if a := w.report("heartbeat", ref, report, body); a.status != 200 || a.body["logs"] != nil {
			t.Errorf("%s: got %d %s", body, a.status, a.raw)
		}
	}
}

func TestFoldersOfThisMachineTakeNoUploads(t *testing.T) {
	w := newWorld(t)
	w.worker = api.NewWorker(w.db, api.WorkerConfig{Keys: w.keys, Timeout: project.DefaultTimeout, Heartbeat: 30 * time.Second}, api.Options{Now: w.clock, Budget: 10 * time.Minute})
	ref, report := w.claimed("site")
	for verb, body := range map[string]string{"upload": "", "upload/part": `{"upload_id":"x","part":1,"bytes":1}`, "upload/complete": `{"upload_id":"x","parts":1,"bytes":1}`} {
		w.want(w.report(verb, ref, report, body), 400, project.CodeUploadUnsupported, "")
	}
	if a := w.report("heartbeat", ref, report, `{"logs":{"stdout":1,"stderr":1}}`); a.status != 200 || a.body["logs"] != nil {
		t.Errorf("got %d %s", a.status, a.raw)
	}
}

var _ api.Uploads = (*output.S3)(nil)
