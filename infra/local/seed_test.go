package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rekindle/internal/project"
)

var seedNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestShippedSeedHasAProjectInEachState(t *testing.T) {
	s, err := readSeed("seed.json", seedNow)
	if err != nil {
		t.Fatal(err)
	}
	byStatus := map[project.Status]*project.Project{}
	for _, p := range s.projects {
		byStatus[p.Status] = p
		if p.TenantID != "demo" || p.ActivationCode == "" || p.Objectives == "" {
			t.Errorf("%s: got %+v", p.ProjectID, p)
		}
	}
	for _, status := range project.Statuses {
		if byStatus[status] == nil {
			t.Errorf("no %s project", status)
		}
	}
	if p := byStatus[project.Running]; !p.StartedAt.Equal(seedNow.Add(-25 * time.Hour)) {
		t.Errorf("running since %s, want 25 hours ago", p.StartedAt)
	}
	if len(s.tenants) != 1 || s.tenants[0].Subscription != project.Active || len(s.sessions) != 1 || s.sessions[0].TokenHash != project.Hash("demo.rekindle-demo-session") {
		t.Errorf("got %+v %+v", s.tenants, s.sessions)
	}
}

func TestSeedLeavesOutWhatIsAbsent(t *testing.T) {
	s, err := parseSeed([]byte(`{"projects":[{"tenant_id":"t","project_id":"p"},{"tenant_id":"t","project_id":"r","execution_status":"running"}]}`), seedNow)
	if err != nil {
		t.Fatal(err)
	}
	p := s.projects[0]
	if p.Status != project.Pending || p.Name != "" || p.ActivationCode != "" || p.ExecutionID != 0 || !p.StartedAt.IsZero() || len(p.Attempts) != 0 {
		t.Errorf("got %+v", p)
	}
	if !s.projects[1].StartedAt.Equal(seedNow) {
		t.Errorf("a running project without a start: got %s, want now, or no sweep would find it", s.projects[1].StartedAt)
	}
}

func TestSeedTimes(t *testing.T) {
	for text, want := range map[string]time.Time{
		"-25h":                      seedNow.Add(-25 * time.Hour),
		"1h30m":                     seedNow.Add(90 * time.Minute),
		"2026-01-02T03:04:05Z":      time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02T03:04:05+02:00": time.Date(2026, 1, 2, 1, 4, 5, 0, time.UTC),
		"":                          {},
	} {
		if got, err := seedTime("f", text, seedNow, time.Time{}); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
}

func TestBrokenSeedIsNamedByFileAndField(t *testing.T) {
	for text, want := range map[string]string{
		`{"tenants":[{"tenant_id":"../up"}]}`:                 `tenants[0].tenant_id: "../up" has other characters`,
		`{"projects":[{"tenant_id":"a/b","project_id":"p"}]}`: `projects[0].tenant_id: "a/b" has other characters`,
		``:                              `ends too early`,
		`{`:                             `ends too early`,
		"{\n\"tenants\": [\n}":          `line 3: not valid JSON`,
		`{}{}`:                          `something follows`,
		`[]`:                            `a JSON object is wanted, not an array`,
		`{"tenants":[7]}`:               `tenants[0]: a JSON object is wanted, not a number`,
		`{"tenants":[{"name":true}]}`:   `tenants[0].name: it can't be true or false`,
		`{"users":[]}`:                  `unknown field "users"`,
		`{"tenants":{}}`:                `tenants: it can't be an object`,
		`{"tenants":[{"name":"x"}]}`:    `tenants[0].tenant_id: it is missing`,
		`{"tenants":[{"tenant_id":7}]}`: `tenants[0].tenant_id: it can't be a number`,
		`{"tenants":[{"tenant_id":"t","subscription_state":"gold"}]}`:                            `tenants[0].subscription_state: "gold" is not one of`,
		`{"tenants":[{"tenant_id":"t","session_token":"secret"}]}`:                               `tenants[0].session_token: it must read t.secret`,
		`{"sessions":[{"tenant_id":"t","session_token":"u.x"}]}`:                                 `sessions[0].session_token: it must read t.secret`,
		`{"sessions":[{"tenant_id":"t","session_token":"t.x","expires_at":"soon"}]}`:             `sessions[0].expires_at: "soon" is neither`,
		`{"projects":[{"tenant_id":"t","project_id":"ok"},{"tenant_id":"t","project_id":"No"}]}`: `projects[1].project_id: A project id is`,
		`{"projects":[{"tenant_id":"t","project_id":"p","execution_status":"paused"}]}`:          `projects[0].execution_status: "paused" is not one of`,
		`{"projects":[{"tenant_id":"t","project_id":"p","execution_started_at":"yesterday"}]}`:   `projects[0].execution_started_at: "yesterday" is neither`,
		`{"projects":[{"tenant_id":"t","project_id":"p","execution_id":9007199254740992}]}`:      `projects[0].execution_id: 9007199254740992 is not`,
		`{"projects":[{"tenant_id":"t","project_id":"p","attempt":-1}]}`:                         `projects[0].attempt: -1 is negative`,
		`{"projects":[{"tenant_id":"t","project_id":"p","version":3}]}`:                          `projects[0]: unknown field "version"`,
		`{"projects":[{"project_id":"p"}]}`:                                                      `projects[0].tenant_id: it is missing`,
	} {
		path := filepath.Join(t.TempDir(), "seed.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readSeed(path, seedNow)
		if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\ngot  %v\nwant %s: …%s", text, err, path, want)
		}
	}
}
