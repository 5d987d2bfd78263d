package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
)

// answer is what a call to the deployed API brought.
type answer struct {
	what    string
	status  int
	header  http.Header
	body    map[string]any
	raw     string
	journey *journey
}

func (a *answer) text(name string) string { s, _ := a.body[name].(string); return s }

func (a *answer) number(name string) int64 {
	n, _ := a.body[name].(json.Number)
	i, _ := n.Int64()
	return i
}

// is asserts the status, and what members of the answer are, as they print.
func (a *answer) is(status int, members ...string) *answer {
	a.journey.assertions++
	if a.status != status {
		a.journey.problem("%s: got %d %.400s, want %d", a.what, a.status, a.raw, status)
		return a
	}
	for i := 0; i < len(members); i += 2 {
		a.journey.assertions++
		if got := fmt.Sprint(a.body[members[i]]); got != members[i+1] {
			a.journey.problem("%s: %s is %q, want %q", a.what, members[i], got, members[i+1])
		}
	}
	return a
}

// journey is what drives the stack.
type journey struct {
	*rehearsal
	ctx        context.Context
	client     *http.Client
	base       string
	store      *dynamo.Store // of the operator, who may do everything
	ctl        string        // rekindlectl
	codes      []string      // unused activation codes
	assertions int
}

// call calls the API by its own host name, as callers do.
func (j *journey) call(method, path, session string, body any, headers ...string) *answer {
	a := &answer{what: method + " " + path, journey: j, body: map[string]any{}}
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			panic(err) // the journey's own values
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(j.ctx, method, j.base+path, in)
	if err != nil {
		panic(err) // the journey's own path
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if session != "" {
		req.Header.Set("X-Session-Token", session)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return j.do(a, req)
}

func (j *journey) do(a *answer, req *http.Request) *answer {
	resp, err := j.client.Do(req)
	if err != nil {
		a.raw = err.Error()
		return a
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		a.raw = err.Error()
		return a
	}
	a.status, a.header, a.raw = resp.StatusCode, resp.Header, string(raw)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&a.body) != nil {
		a.body = map[string]any{}
	}
	return a
}

// put uses a presigned URL, as a runner does.
func (j *journey) put(what, url string, body []byte) *answer {
	a := &answer{what: what, journey: j}
	req, err := http.NewRequestWithContext(j.ctx, http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		a.raw = err.Error()
		return a
	}
	return j.do(a, req)
}

// admin calls one of AWS's JSON services as the emulator's administrator.
func (j *journey) admin(service, target string, body any) (*answer, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return j.adminDo(service, http.MethodPost, "/", raw, "X-Amz-Target", target, "Content-Type", "application/x-amz-json-1.0")
}

func (j *journey) adminDo(service, method, path string, body []byte, headers ...string) (*answer, error) {
	req, err := http.NewRequestWithContext(j.ctx, method, j.cloud.emulator.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// The emulator does not check the signature of its administrator's key.
	req.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/20260101/%s/%s/aws4_request, SignedHeaders=host, Signature=0", accessKey, region, service))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	a := j.do(&answer{what: service + " " + path, journey: j, body: map[string]any{}}, req)
	if a.status >= 300 || a.status == 0 {
		return a, fmt.Errorf("the administrator's %s of %s: %d %.300s", method, service, a.status, a.raw)
	}
	return a, nil
}

// invoke invokes a function's alias, as EventBridge and operators do.
func (j *journey) invoke(function string, payload any) *answer {
	raw, err := json.Marshal(payload)
	if err != nil {
		panic(err) // the journey's own values
	}
	name := j.stack.Functions[function].Name
	if aliases := j.stack.Functions[function].Aliases; len(aliases) > 0 {
		name += ":" + aliases[0]
	}
	a, err := j.adminDo("lambda", http.MethodPost, "/2015-03-31/functions/"+name+"/invocations", raw)
	if err == nil && a.header.Get("X-Amz-Function-Error") != "" {
		err = errors.New(a.raw)
	}
	j.must("invoking "+function, err)
	return a
}

// operator runs rekindlectl against the stack, with the names that the stack's
// outputs and resources give.
func (j *journey) operator(out any, args ...string) {
	c := exec.CommandContext(j.ctx, j.ctl, append(args, "--json")...)
	c.Env = []string{
		"AWS_ENDPOINT_URL=" + j.cloud.emulator.String(), "AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + accessKey,
		"PROJECTS_TABLE=" + j.stack.Outputs["ProjectsTableName"], "TENANTS_TABLE=" + j.stack.Outputs["TenantsTableName"],
		"SESSIONS_TABLE=" + j.stack.Outputs["SessionsTableName"], "SWEEPS_TABLE=" + j.stack.Outputs["SweepsTableName"], "CLEANUP_FUNCTION=" + j.stack.Functions["CleanupFunction"].Name,
		"HASHING_SECRET=" + j.stack.Secrets["HashingSecret"], "HOME=" + j.folder,
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	raw, err := c.Output()
	if err == nil && out != nil {
		err = json.Unmarshal(raw, out)
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	j.must("rekindlectl "+strings.Join(args, " "), err)
}

// container runs the last job's container: the runner, with the environment that
// the submission gave it.
func (j *journey) container() {
	job := j.cloud.engine.last()
	c := exec.CommandContext(j.ctx, filepath.Join(j.folder, "runner"))
	c.Env = []string{
		// The API's host name has no DNS record here; the emulator takes this too.
		"REKINDLE_API_URL=" + j.cloud.emulator.String() + "/_aws/execute-api/" + j.stack.Resources[ofType(j.template, "AWS::ApiGatewayV2::Api")[0]].ID,
		"REKINDLE_EXECUTION_TOKEN=" + job.Token, "PROJECT_COMMAND=" + job.Command, "AWS_BATCH_JOB_ID=" + job.ID,
		"PATH=" + j.folder, "TMPDIR=" + j.folder,
	}
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		err = nil // what its exit code says is in the project's status, too
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	j.must("running the runner", err)
}

// must asserts that something worked.
func (j *journey) must(what string, err error) {
	j.assertions++
	if err != nil {
		j.problem("%s: %v", what, err)
	}
}

// that asserts.
func (j *journey) that(ok bool, format string, args ...any) {
	j.assertions++
	if !ok {
		j.problem(format, args...)
	}
}

// part runs a part of the journey and prints a line about it.
func (j *journey) part(name string, f func()) {
	assertions, before := j.assertions, len(j.problems)
	f()
	j.say("%s: %d assertions, %d failed", name, j.assertions-assertions, len(j.problems)-before)
}

func (r *rehearsal) newJourney(ctx context.Context) (*journey, error) {
	j := &journey{rehearsal: r, ctx: ctx}
	dial := &net.Dialer{}
	// The API's own host name has no DNS record here.
	j.client = &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.Contains(address, ".execute-api.") {
				address = r.cloud.emulator.Host
			}
			return dial.DialContext(ctx, network, address)
		},
	}}
	api := ofType(r.template, "AWS::ApiGatewayV2::Api")[0]
	j.base = "http://" + r.stack.Resources[api].ID + ".execute-api." + r.cloud.emulator.Host
	env := map[string]string{
		"AWS_REGION": region, "AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": accessKey, dynamo.EndpointSetting: r.cloud.emulator.String(),
	}
	db, err := dynamo.ClientFromEnv(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		return nil, err
	}
	j.store = dynamo.New(db, dynamo.Tables{
		Projects: r.stack.Outputs["ProjectsTableName"], Tenants: r.stack.Outputs["TenantsTableName"], Sessions: r.stack.Outputs["SessionsTableName"],
		Sweeps: r.stack.Outputs["SweepsTableName"],
	})
	j.ctl = filepath.Join(r.folder, "rekindlectl")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", r.folder, "./infra/rekindlectl", "./infra/runner", "./infra/sample").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building rekindlectl, runner and sample: %w: %s", err, out)
	}
	// As the image names it, and the parameter ProjectCommand.
	return j, os.Rename(filepath.Join(r.folder, "sample"), filepath.Join(r.folder, "rekindle-sample"))
}

// idle makes a session that was last used so long ago that its next use is
// recorded.
func (j *journey) idle(tenant string) string {
	token, now := project.NewSessionToken(tenant), time.Now().UTC()
	_, err := j.store.PutSession(j.ctx, &project.Session{
		TokenHash: project.Hash(token), TenantID: tenant, ExpiresAt: now.Add(time.Hour), LastSeen: now.Add(-10 * time.Minute),
	}, now)
	j.must("making a session that has idled", err)
	return token
}

// remove deletes an item under the functions' feet.
func (j *journey) remove(table string, key map[string]string) {
	typed := map[string]any{}
	for k, v := range key {
		typed[k] = map[string]string{"S": v}
	}
	_, err := j.admin("dynamodb", "DynamoDB_20120810.DeleteItem", map[string]any{"TableName": j.stack.Outputs[table], "Key": typed})
	j.must("removing an item", err)
}

// age moves the start of a running execution back by 25 hours.
func (j *journey) age(tenant, id string) {
	_, err := j.admin("dynamodb", "DynamoDB_20120810.UpdateItem", map[string]any{
		"TableName":        j.stack.Outputs["ProjectsTableName"],
		"Key":              map[string]any{"tenant_id": map[string]string{"S": tenant}, "project_id": map[string]string{"S": id}},
		"UpdateExpression": "SET execution_started_at = :then",
		"ExpressionAttributeValues": map[string]any{
			":then": map[string]string{"S": time.Now().UTC().Add(-25 * time.Hour).Format("2006-01-02T15:04:05.000Z")},
		},
	})
	j.must("ageing an execution", err)
}
