package dynamo

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"rekindle/internal/project"
)

// conditions is a database that keeps the condition of each write, and answers
// that all is done.
type conditions struct{ seen []string }

func (c *conditions) RoundTrip(r *http.Request) (*http.Response, error) {
	var in struct{ ConditionExpression string }
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	if in.ConditionExpression != "" {
		c.seen = append(c.seen, in.ConditionExpression)
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Crc32": {"2745614147"}},
		Body: io.NopCloser(strings.NewReader("{}")), Request: r,
	}, nil
}

// depthOf is how deep an expression's brackets go.
func depthOf(expression string) (deepest int) {
	depth := 0
	for _, r := range expression {
		switch r {
		case '(':
			depth++
			deepest = max(deepest, depth)
		case ')':
			depth--
		}
	}
	return deepest
}

// Each level of brackets multiplies the time that the local database takes to
// read a condition: eight terms in pairs take it a third of a second, side by
// side not a thousandth of that.
func TestConditionsAreNotNestedBeyondWhatTheySay(t *testing.T) {
	db := &conditions{}
	client, err := ClientFromEnv(func(name string) (string, bool) {
		v, ok := map[string]string{
			"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", EndpointSetting: "http://database",
		}[name]
		return v, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	o := client.Options()
	o.HTTPClient.(*http.Client).Transport = db
	s := New(client, Tables{Projects: "P", Tenants: "T", Sessions: "S"})
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ref := project.Ref{Key: project.Key{TenantID: "acme", ProjectID: "site"}, ProjectUID: "uid", ExecutionID: 77}
	p := &project.Project{Key: ref.Key, UID: ref.ProjectUID, Version: 3, Status: project.Failed, ExecutionID: 76, Attempt: 1}
	start := project.Start{Project: p, Event: project.Restart, ExecutionID: 77, At: now, Token: "token", Output: "/out"}
	tenant := &project.Tenant{ID: "acme", TrialSlot: &project.TrialSlot{ProjectID: "other", ProjectUID: "uid", ExecutionID: 5, Token: "t"}}
	// What comes of them does not matter: the database has nothing.
	for _, write := range []func(){
		func() { _, _ = s.Start(t.Context(), start) },
		func() { _, _ = s.TakeTrialSlot(t.Context(), tenant, start) },
		func() {
			_, _ = s.Settle(t.Context(), project.Settlement{Ref: ref, Event: project.Fail, Error: "x", At: now, Token: "t", Runner: "r", StartedAt: now, HeartbeatAt: now, Unclaimed: true})
		},
		func() { _, _ = s.Claim(t.Context(), ref, project.Claim{RunnerID: "r", JobID: "j"}, now) },
		func() { _, _ = s.Heartbeat(t.Context(), ref, "r", nil, now) },
		func() {
			_ = s.KeepLate(t.Context(), ref, "r", project.Late{Outcome: project.OutcomeFailed, ReceivedAt: now})
		},
		func() { _, _ = s.EditProject(t.Context(), p, project.Draft{Name: "n"}, false, "t") },
		func() { _ = s.DeleteProject(t.Context(), p, tenant) },
		func() { _, _ = s.giveCode(t.Context(), p, &heldCode{}) },
		func() { _, _ = s.takeCode(t.Context(), p, "hash", now) },
		func() { _, _ = s.reserve(t.Context(), "acme", project.Quota{Limit: 10}, now) },
		func() { _, _ = s.TryLogin(t.Context(), "acme", now, "t") },
	} {
		before := len(db.seen)
		write()
		if len(db.seen) == before {
			t.Error("a write has no condition")
		}
	}
	for _, condition := range db.seen {
		// Alternatives of conjunctions of terms with a function's argument. None
		// of these begins with an alternative: two brackets are a pair of a pair.
		if d := depthOf(condition); d > 4 || strings.HasPrefix(condition, "((") {
			t.Errorf("%d levels of brackets, want at most 4, and terms side by side: %s", d, condition)
		}
	}
}
