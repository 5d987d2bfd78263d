package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"rekindle/internal/secretwatch"
	"rekindle/internal/template"
)

// echo is a function that answers with its name and the event that it got.
type echo string

func (e echo) Invoke(_ context.Context, payload []byte) ([]byte, error) {
	switch e {
	case "Fails":
		return nil, errors.New("it broke: secret")
	case "Panics":
		panic("secret")
	case "Garbles":
		return []byte(`"no answer"`), nil
	}
	body, err := json.Marshal(map[string]any{"function": e, "event": json.RawMessage(payload)})
	if err != nil {
		return nil, err
	}
	return json.Marshal(events.APIGatewayV2HTTPResponse{
		StatusCode: 201, Body: string(body),
		Headers: map[string]string{"content-type": "application/json", "access-control-allow-origin": "https://evil.example"},
	})
}

func stack(t *testing.T) *httptest.Server {
	t.Helper()
	functions := map[string]*function{}
	for _, n := range []string{"Run", "Status", "Fails", "Panics", "Garbles"} {
		functions[n] = &function{name: n, handler: echo(n), timeout: time.Minute}
	}
	functions["Hangs"] = &function{name: "Hangs", handler: hang{}, timeout: time.Nanosecond}
	routes := []template.Route{
		{Method: "POST", Path: "/api/projects/{project_id}/run", Function: "Run"},
		{Method: "GET", Path: "/fails", Function: "Fails"},
		{Method: "GET", Path: "/panics", Function: "Panics"},
		{Method: "GET", Path: "/garbles", Function: "Garbles"},
		{Method: "GET", Path: "/hangs", Function: "Hangs"},
		{Path: "$default", Function: "Status"},
	}
	cors := template.CORS{
		AllowOrigins: []string{"https://portal.example"}, AllowHeaders: []string{"X-Session-Token", "Idempotency-Key"},
		AllowMethods: []string{"GET", "POST"}, ExposeHeaders: []string{"ETag", "Retry-After"}, MaxAge: 600,
	}
	s := httptest.NewServer(newGateway(t.Context(), routes, cors, functions, secretwatch.New(slog.DiscardHandler)))
	t.Cleanup(s.Close)
	return s
}

// hang is a function that never ends by itself.
type hang struct{}

func (hang) Invoke(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done()
	select {}
}

type echoed struct {
	Function string
	Event    events.APIGatewayV2HTTPRequest
}

// raw sends a request line as it is, which http.Client would tidy up.
func raw(t *testing.T, s *httptest.Server, method, target string, headers ...string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\n%s\r\n", method, target, strings.Join(append(headers, ""), "\r\n"))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func echoOf(t *testing.T, resp *http.Response) echoed {
	t.Helper()
	var e echoed
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestGatewayTakesPathsAsTheyCome(t *testing.T) {
	s := stack(t)
	for target, want := range map[string]struct{ function, id string }{
		"/api/projects/site/run":           {"Run", "site"},
		"/api/projects/a%2Fb/run":          {"Run", "a/b"},
		"/api/projects/a%252Fb/run":        {"Run", "a%2Fb"},
		"/api/projects/%00/run":            {"Run", "\x00"},
		"/api/projects/../run":             {"Run", ".."},
		"/api/projects/a;b/run":            {"Run", "a;b"},
		"/api/projects/%C5%BC/run":         {"Run", "ż"},
		"/api/projects/site/run/":          {"Status", ""},
		"/api/projects//run":               {"Status", ""},
		"//api/projects/site/run":          {"Status", ""},
		"/x/../api/projects/site/run":      {"Status", ""},
		"/api/projects/a/b/run":            {"Status", ""},
		"/API/projects/site/run":           {"Status", ""},
		"/":                                {"Status", ""},
		"/api/projects/site/run?a=1&a=2&b": {"Run", "site"},
	} {
		resp := raw(t, s, "POST", target)
		if resp.StatusCode != 201 {
			t.Errorf("%s: got %d", target, resp.StatusCode)
			continue
		}
		e := echoOf(t, resp)
		if e.Function != want.function || e.Event.PathParameters["project_id"] != want.id {
			t.Errorf("%s: got %s %q, want %s %q", target, e.Function, e.Event.PathParameters["project_id"], want.function, want.id)
		}
		if wantKey := map[string]string{"Run": "POST /api/projects/{project_id}/run", "Status": "$default"}[want.function]; e.Event.RouteKey != wantKey {
			t.Errorf("%s: route key %q, want %q", target, e.Event.RouteKey, wantKey)
		}
	}
	for _, target := range []string{"/api/projects/%zz/run", "/api/projects/%ff/run"} {
		if resp := raw(t, s, "POST", target); resp.StatusCode != 400 {
			t.Errorf("%s: got %d, want 400", target, resp.StatusCode)
		}
	}
	if e := echoOf(t, raw(t, s, "GET", "/api/projects/site/run")); e.Function != "Status" {
		t.Errorf("another method: got %s, want the default route", e.Function)
	}
}

func TestGatewayMakesTheEventOfAPIGateway(t *testing.T) {
	s := stack(t)
	resp := raw(t, s, "POST", "/api/projects/site/run?a=1&a=2&b=%20", "X-Session-Token: one", "x-session-token: two", "Cookie: a=1; b=2", "User-Agent: test")
	e := echoOf(t, resp).Event
	if e.Version != "2.0" || e.Headers["x-session-token"] != "one,two" || e.QueryStringParameters["a"] != "1,2" || e.QueryStringParameters["b"] != " " ||
		e.RawQueryString != "a=1&a=2&b=%20" || len(e.Cookies) != 2 || e.Headers["cookie"] != "" || e.Headers["host"] != "127.0.0.1" ||
		e.RequestContext.HTTP.Method != "POST" || e.RequestContext.HTTP.SourceIP != "127.0.0.1" || e.RequestContext.HTTP.UserAgent != "test" ||
		e.RequestContext.RequestID == "" || e.RequestContext.RequestID != resp.Header.Get("Apigw-Requestid") || e.RequestContext.Stage != "$default" {
		t.Errorf("got %+v", e)
	}
}

func TestGatewayHandsBodiesOver(t *testing.T) {
	s := stack(t)
	for _, c := range []struct {
		contentType, body string
		base64            bool
	}{
		{"application/json", `{"a":1}`, false},
		{"application/json; charset=utf-8", `{}`, false},
		{"text/plain", "x", false},
		{"application/problem+json", "{}", false},
		{"application/octet-stream", "x", true},
		{"application/x-www-form-urlencoded", "a=1", true},
		{"", "x", true},
		{"application/json", "\xff", true},
		{"application/json", "", false},
	} {
		req, err := http.NewRequest("POST", s.URL+"/api/projects/site/run", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.contentType != "" {
			req.Header.Set("Content-Type", c.contentType)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		e := echoOf(t, resp).Event
		resp.Body.Close()
		if e.IsBase64Encoded != c.base64 || (!c.base64 && e.Body != c.body) {
			t.Errorf("%q %q: got %q, base64 %t", c.contentType, c.body, e.Body, e.IsBase64Encoded)
		}
	}
}

func TestGatewayRefusesWhatIsTooLarge(t *testing.T) {
	s := stack(t)
	resp, err := http.Post(s.URL+"/api/projects/site/run", "application/json", io.LimitReader(zeros{}, maxPayload+1))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("a body over 10 MB: got %d, want 413", resp.StatusCode)
	}
	if resp := raw(t, s, "GET", "/", "X-Big: "+strings.Repeat("x", maxHeaderBytes)); resp.StatusCode != 431 {
		t.Errorf("headers over 10,240 bytes: got %d, want 431", resp.StatusCode)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestGatewayHidesAFunctionsFailure(t *testing.T) {
	s := stack(t)
	for path, want := range map[string]int{"/fails": 500, "/panics": 500, "/garbles": 500, "/hangs": 503} {
		resp := raw(t, s, "GET", path, "Origin: https://portal.example")
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want || strings.Contains(string(body), "secret") {
			t.Errorf("%s: got %d %s, want %d", path, resp.StatusCode, body, want)
		}
		if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "https://portal.example" {
			t.Errorf("%s: allowed origin %q on an error", path, got)
		}
	}
}

// (aws/serverless-application-model 3054, 717, 1983)
func TestGatewayAnswersPreflightsWithoutCredentials(t *testing.T) {
	s := stack(t)
	resp := raw(t, s, "OPTIONS", "/api/projects/site/run", "Origin: https://portal.example",
		"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-session-token,idempotency-key")
	if resp.StatusCode/100 != 2 {
		t.Errorf("got %d, want 2xx", resp.StatusCode)
	}
	for _, h := range []string{"x-session-token", "idempotency-key"} {
		if !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), h) {
			t.Errorf("allowed headers: got %q, want %s among them", resp.Header.Get("Access-Control-Allow-Headers"), h)
		}
	}
	if resp.Header.Get("Access-Control-Allow-Origin") != "https://portal.example" || resp.Header.Get("Access-Control-Allow-Methods") != "GET,POST" {
		t.Errorf("got %v", resp.Header)
	}
	if got := raw(t, s, "OPTIONS", "/", "Origin: https://evil.example", "Access-Control-Request-Method: POST").Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("another origin: allowed %q", got)
	}
}

func TestGatewayAloneSetsCORS(t *testing.T) {
	s := stack(t)
	for origin, want := range map[string]string{"https://portal.example": "https://portal.example", "https://evil.example": "", "": ""} {
		var headers []string
		if origin != "" {
			headers = append(headers, "Origin: "+origin)
		}
		resp := raw(t, s, "POST", "/api/projects/site/run", headers...)
		if got := resp.Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("origin %q: got %q, want %q", origin, got, want)
		}
	}
}

func invokeFunction(t *testing.T, s *httptest.Server, name, payload string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("POST", s.URL+"/2015-03-31/functions/"+name+"/invocations", strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestInvokeAPI(t *testing.T) {
	s := stack(t)
	for _, c := range []struct {
		name, function, payload string
		headers                 []string
		status                  int
		failed, contains        string
	}{
		{"by logical id", "Run", `{"a":1}`, nil, 200, "", `\"event\":{\"a\":1}`},
		{"empty payload", "Run", ``, nil, 200, "", `\"event\":{}`},
		{"with a qualifier", "Run:live", `{}`, nil, 200, "", "Run"},
		{"by ARN", "arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3ARun", `{}`, nil, 200, "", "Run"},
		{"a function that fails", "Fails", `{}`, nil, 200, "Unhandled", `{"errorMessage":"it broke: secret","errorType":"errorString"}`},
		{"one that panics", "Panics", `{}`, nil, 200, "Unhandled", `Runtime.Panic`},
		{"one that hangs", "Hangs", `{}`, nil, 200, "Unhandled", `Task timed out`},
		{"an unknown function", "Nothing", `{}`, nil, 404, "", "Function not found: Nothing"},
		{"no JSON", "Run", `{`, nil, 400, "", "Could not parse request body into json"},
		{"a dry run", "Run", `{}`, []string{"X-Amz-Invocation-Type", "DryRun"}, 204, "", ""},
		{"an event", "Run", `{}`, []string{"X-Amz-Invocation-Type", "Event"}, 202, "", ""},
		{"a web page", "Run", `{}`, []string{"Origin", "https://evil.example"}, 403, "", "not by web pages"},
		{"a name that resolves here", "Run", `{}`, []string{"Host", "evil.example"}, 403, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := invokeFunction(t, s, c.function, c.payload, c.headers...)
			if resp.StatusCode != c.status || resp.Header.Get("X-Amz-Function-Error") != c.failed || !strings.Contains(body, c.contains) {
				t.Errorf("got %d %q %s, want %d %q %s", resp.StatusCode, resp.Header.Get("X-Amz-Function-Error"), body, c.status, c.failed, c.contains)
			}
		})
	}
}

// counter counts the payloads that a function is invoked with.
type counter chan []byte

func (c counter) Invoke(_ context.Context, payload []byte) ([]byte, error) {
	c <- payload
	return nil, nil
}

func TestSchedulesFireAfterAFullPeriodAndNeverAtStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := make(counter, 10)
	ticks := make(chan time.Time)
	var (
		mu      sync.Mutex
		periods []time.Duration
		stopped int
	)
	started := make(chan struct{})
	fake := func(d time.Duration) (<-chan time.Time, func()) {
		mu.Lock()
		defer mu.Unlock()
		periods = append(periods, d)
		close(started)
		return ticks, func() { mu.Lock(); stopped++; mu.Unlock() }
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runSchedules(ctx, []template.Schedule{{Function: "Cleanup", Every: time.Hour}},
			map[string]*function{"Cleanup": {name: "Cleanup", handler: calls, timeout: time.Minute}}, fake, secretwatch.New(slog.DiscardHandler))
	}()
	<-started
	if len(calls) != 0 {
		t.Error("fired at start-up")
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ticks <- at
	payload := string(<-calls)
	if !strings.Contains(payload, `"detail-type":"Scheduled Event"`) || !strings.Contains(payload, `"time":"2026-03-01T12:00:00Z"`) {
		t.Errorf("payload: %s", payload)
	}
	cancel()
	<-done
	if len(periods) != 1 || periods[0] != time.Hour || stopped != 1 || len(calls) != 0 {
		t.Errorf("periods %v, stopped %d, further calls %d", periods, stopped, len(calls))
	}
}
