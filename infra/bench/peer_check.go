package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"rekindle/infra/prove/rig"
)

// expectation is a request, and what every system must answer to it.
type expectation struct {
	name   string
	call   rig.Call
	status int
	want   map[string]any // members of the answer; numbers are float64
}

// projectCall is a request about a project by its tenant.
func projectCall(method, tenant, id, verb string) rig.Call {
	return rig.Call{Method: method, Path: "/api/tenant/projects/" + id + "/" + verb, Session: sessionToken(tenant, "")}
}

// with changes a call's session, key and body where they are given.
func (x expectation) with(session, key string, body any) expectation {
	if session != "" {
		x.call.Session = session
	}
	x.call.Key, x.call.Body = key, body
	return x
}

func expect(method, id, verb string, status int, code, detail string) expectation {
	x := expectation{
		name: method + " " + id + "/" + verb, call: projectCall(method, peerTenant, id, verb), status: status, want: map[string]any{"code": code},
	}
	if detail != "" {
		x.want["detail"] = detail
	}
	return x
}

// refusals and answers that Rekindle and the peer have in common, on the projects
// of newSeed.
func expectations() []expectation {
	get, post := http.MethodGet, http.MethodPost
	missing := expect(get, "check-failed", "status", 401, "session_missing", "Session token required: send it in the X-Session-Token header")
	missing.call.Session = ""
	late := expect(post, "check-late", "run", 400, "subscription_past_due", "Your subscription is past due: settle the open invoice to create and run projects")
	failed := expectation{name: "status of a failed project", call: projectCall(get, peerTenant, "check-failed", "status"), status: 200, want: map[string]any{
		"project_id": "check-failed", "name": "Corporate site", "execution_status": "failed", "execution_id": 1000.0, "attempt": 1.0,
		"execution_error": small.failure, "claimed_at": nil, "heartbeat_at": nil, "times_out_at": nil, "output_folder_path": nil,
		"progress": map[string]any{"percent": 0.0, "message": ""}, "can_run": false, "can_restart": true, "blocked_reason": nil, "blocked_code": nil,
	}}
	return []expectation{
		missing,
		expect(get, "check-failed", "status", 401, "session_invalid", "Unknown session token: please sign in").with(peerTenant+".nobody's", "", nil),
		expect(get, "check-failed", "status", 401, "session_expired", "Session expired: please sign in again").with(sessionToken(peerTenant, "-expired"), "", nil),
		expect(get, "check-failed", "status", 401, "session_idle", "Session expired after 30 minutes without use: please sign in again").with(sessionToken(peerTenant, "-idle"), "", nil),
		expect(get, "none", "status", 404, "project_not_found", "Project not found"),
		expect(post, "none", "restart", 404, "project_not_found", "Project not found"),
		expect(get, "check-late", "status", 404, "project_not_found", "Project not found"), // another tenant's
		expect(post, "No-Slug", "run", 400, "project_id_invalid", ""),
		expect(post, "check-completed", "restart", 400, "project_not_failed", "Only failed projects can be restarted. Current status: completed"),
		expect(post, "check-running", "restart", 400, "project_not_failed", "Only failed projects can be restarted. Current status: running"),
		expect(post, "check-completed", "run", 400, "project_not_pending", "Only pending projects can be run. Current status: completed"),
		expect(post, "check-failed", "run", 400, "project_failed_use_restart", "Only pending projects can be run. Current status: failed. Use restart to run it again"),
		expect(post, "check-failed", "restart", 400, "body_invalid", "").with("", "", map[string]any{"expected_atempt": 1}),
		expect(post, "check-failed", "restart", 409, "attempt_differs", "The project is at attempt 1 with status failed, not at the attempt that you expected").
			with("", "", map[string]any{"expected_attempt": 7}),
		late.with(sessionToken(lateTenant, ""), "", nil),
		failed,
	}
}

// check holds a system to the expectations, and then has it run and restart. It
// fails at the first answer that is not as it must be.
func (s *system) check(ctx context.Context) error {
	client := rig.NewClient(s.url, 1)
	for _, x := range expectations() {
		if _, err := x.holds(ctx, client); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for verb, message := range map[string]string{
		"run": "Project execution started successfully", "restart": "Project execution restarted successfully",
	} {
		id := map[string]string{"run": "check-pending", "restart": "check-failed"}[verb]
		x := expectation{
			name: verb, call: projectCall(http.MethodPost, peerTenant, id, verb), status: 200,
			want: map[string]any{"success": true, "message": message, "status": "running"},
		}.with("", "key of "+id, nil)
		var started, again, status struct {
			ExecutionID int64  `json:"execution_id"`
			Output      string `json:"output_folder_path"`
			Attempt     int    `json:"attempt"`
		}
		seen := expectation{name: "status after " + verb, call: projectCall(http.MethodGet, peerTenant, id, "status"), status: 200}
		for _, step := range []struct {
			expectation
			into any
		}{{x, &started}, {x, &again}, {seen, &status}} {
			body, err := step.holds(ctx, client)
			if err == nil {
				err = json.Unmarshal(body, step.into)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		attempt := map[string]int{"run": 1, "restart": 2}[verb]
		if started.ExecutionID <= 1000 || started.Output == "" || started != again || status.ExecutionID != started.ExecutionID || status.Attempt != attempt {
			return fmt.Errorf("%s: %s was answered with %+v, its repetition with %+v, the status then with %+v", s.name, verb, started, again, status)
		}
	}
	return nil
}

// holds makes the call and compares. The answer is returned.
func (x expectation) holds(ctx context.Context, client *rig.Client) ([]byte, error) {
	answer, err := client.Do(ctx, x.call)
	if err != nil {
		return nil, err
	}
	var got map[string]any
	if err := answer.Into(&got); err != nil {
		return nil, fmt.Errorf("%s: %w", x.name, err)
	}
	wrong := differs(x.want, got)
	if answer.Status != x.status {
		wrong = errors.Join(fmt.Errorf("the status is %d, want %d", answer.Status, x.status), wrong)
	}
	if wrong != nil {
		return nil, fmt.Errorf("%s: answered with %s: %w", x.name, answer.Body, wrong)
	}
	return answer.Body, nil
}

// differs says which of the wanted members an answer does not have.
func differs(want, got map[string]any) error {
	var wrong []error
	for name, w := range want {
		if g, there := got[name]; !there || !reflect.DeepEqual(g, w) {
			wrong = append(wrong, fmt.Errorf("%s is %v, want %v", name, g, w))
		}
	}
	return errors.Join(wrong...)
}
