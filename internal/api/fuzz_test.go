package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"rekindle/internal/project"
)

// nobody is a store that knows nobody.
type nobody struct{}

func (nobody) Load(context.Context, string, project.Key) (*project.Session, *project.Project, *project.Tenant, error) {
	return nil, nil, nil, nil
}
func (nobody) TouchSession(context.Context, string, time.Time) error { return nil }

// Whatever reaches a function as an event is answered, and never with a 500.
func FuzzEvent(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"routeKey":"$default"}`,
		`{"version":"2.0","routeKey":"GET /api/tenant/projects/{project_id}/status","headers":{"X-Session-Token":"a.b,a.b"},"pathParameters":{"project_id":"a/b"}}`,
		`{"routeKey":"GET /api/tenant/projects/{project_id}/status","headers":{"x-session-token":"acme.x"},"pathParameters":null,"body":"%%%","isBase64Encoded":true}`,
	} {
		f.Add([]byte(seed))
	}
	h := NewStatus(nobody{}, project.DefaultTimeout, Options{Log: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, payload []byte) {
		out, err := h.Invoke(t.Context(), payload)
		if err != nil {
			return // it was no event
		}
		var resp events.APIGatewayV2HTTPResponse
		if err := json.Unmarshal(out, &resp); err != nil || resp.StatusCode >= 500 || resp.StatusCode < 200 {
			t.Errorf("%q: got %s, %v", payload, out, err)
		}
	})
}

// A body is read or refused with a 4xx that says why.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{``, `{}`, `null`, `{"expected_attempt":1}`, `{"expected_attempt":1e9999}`, `{"expected_attempt":"1"}`, `{}{}`, `{"a`, "\xff", `[[[[`, `{"name":"x","description":"y","objectives":"z"}`} {
		f.Add(seed, false, "application/json")
		f.Add(seed, true, "")
	}
	f.Fuzz(func(t *testing.T, body string, base64 bool, contentType string) {
		req := &request{event: &events.APIGatewayV2HTTPRequest{Body: body, IsBase64Encoded: base64, Headers: map[string]string{"content-type": contentType}}}
		for name, err := range map[string]error{
			"start": second(parseStart(req)), "draft": second(parseDraft(req)), "code": second(parseActivation(req)), "cancel": second(parseCancel(req)),
		} {
			if err == nil {
				continue
			}
			if status := StatusOf(project.CodeOf(err)); status < 400 || status > 499 || err.Error() == "" {
				t.Errorf("%s of %q: got %d %v", name, body, status, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

// A cursor is accepted only if it is, to the letter, one that was given out.
func FuzzCursor(f *testing.F) {
	hasher, err := project.NewHasher(strings.Repeat("h", 32))
	if err != nil {
		f.Fatal(err)
	}
	s := &projects{hasher: hasher}
	at := project.Position{CreatedAt: time.UnixMilli(1772366400000).UTC(), ProjectID: "site"}
	good := s.cursor("acme", listInput{search: "x"}, at)
	for _, seed := range []string{good, good + "A", good[1:], ".", "", strings.Repeat("A", 2000), s.cursor("rival", listInput{search: "x"}, at), s.cursor("acme", listInput{}, at)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		in := listInput{cursor: cursor, search: "x"}
		if got, ok := s.readCursor("acme", in); ok && s.cursor("acme", in, got) != cursor {
			t.Errorf("%q was accepted as %+v", cursor, got)
		}
	})
}
