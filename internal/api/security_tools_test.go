package api_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"rekindle/internal/api"
	"rekindle/internal/project"
)

// codeOfAnswer asks a function for what docs/openapi.yaml says another answers.
func (l *login) codeOfAnswer(h *api.Handler, c call) project.Code {
	l.t.Helper()
	out, err := h.Invoke(l.t.Context(), []byte(jsonOf(l.t, events.APIGatewayV2HTTPRequest{
		RouteKey: c.route, Headers: c.headers, PathParameters: c.params, Body: c.body,
	})))
	var resp events.APIGatewayV2HTTPResponse
	if err == nil {
		err = json.Unmarshal(out, &resp)
	}
	var refusal struct{ Code project.Code }
	if err == nil {
		err = json.Unmarshal([]byte(resp.Body), &refusal)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return refusal.Code
}

var testFunction = regexp.MustCompile(`(?m)^func (Test\w+|Fuzz\w+)\(`)

// testsOf returns the names of the tests of a folder.
func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testFunction.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
	}
	return names
}

// listener accepts connections at a URL, and tells how many there were.
func listener(t *testing.T) (url string, asked func() int64) {
	t.Helper()
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := at.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() { at.Close(); <-done })
	return "http://" + at.Addr().String() + "/", n.Load
}
