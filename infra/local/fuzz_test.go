package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"rekindle/internal/project"
)

// A seed file is read or refused with a sentence of one line. What is read can
// be stored, and nothing in it would be running for ever.
func FuzzSeed(f *testing.F) {
	shipped, err := os.ReadFile("seed.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(shipped), `{}`, `[]`, `null`, ``, `{"tenants":[{}]}`, `{"projects":[{"tenant_id":"a","project_id":"b"}]}`,
		`{"projects":[{"tenant_id":"a","project_id":"b","execution_status":"running","execution_started_at":"-25h","execution_id":7}]}`,
		`{"projects":[{"tenant_id":"a","project_id":"b","execution_status":"running","execution_started_at":"0001-01-01T00:00:00Z"}]}`,
		`{"sessions":[{"tenant_id":"a","session_token":"a.b","expires_at":"24h","last_seen":"2026-01-01T00:00:00+02:00"}]}`,
	} {
		f.Add([]byte(seed))
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseSeed(text, now)
		if err != nil {
			if says := err.Error(); says == "" || strings.ContainsAny(says, "\n\r") {
				t.Errorf("%q: the error is %q", text, says)
			}
			return
		}
		for _, p := range s.projects {
			if project.CheckProjectID(p.ProjectID) != nil || !tenantIDForm.MatchString(p.TenantID) || p.UID == "" {
				t.Errorf("%q: got key %+v, uid %q", text, p.Key, p.UID)
			}
			if p.Status == project.Running && p.StartedAt.IsZero() {
				t.Errorf("%q: %s is running and has no start: no sweep would ever find it", text, p.ProjectID)
			}
			for _, at := range []time.Time{p.StartedAt, p.CompletedAt} {
				if at.Year() < 0 || at.Year() > 9999 {
					t.Errorf("%q: %s is no time that RFC 3339 can write", text, at)
				}
			}
		}
		for _, x := range s.sessions {
			if x.TenantID == "" || len(x.TokenHash) != 64 {
				t.Errorf("%q: got session %+v", text, x)
			}
		}
	})
}
