package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rekindle/internal/project"
)

var update = flag.Bool("update", false, "write the cases that the portal's rules are held to")

// ruleCase is a project, and what the server says of running and restarting it;
// "" where it may. The portal's tests hold canRunProject and canRestartProject
// to it.
type ruleCase struct {
	Status       project.Status       `json:"status"`
	Subscription project.Subscription `json:"subscription"`
	Code         string               `json:"code"` // none, assigned, revoked
	Texts        [3]string            `json:"texts"`
	Run          string               `json:"run"`
	Restart      string               `json:"restart"`
}

func ruleCases() []ruleCase {
	var cases []ruleCase
	add := func(c ruleCase) {
		p := &project.Project{Status: c.Status, Name: c.Texts[0], Description: c.Texts[1], Objectives: c.Texts[2]}
		if c.Code != "none" {
			p.ActivationCode = "hash"
		}
		if c.Code == "revoked" {
			p.ActivationCodeRevokedAt = time.Unix(1, 0)
		}
		sentence := func(event project.Event) string {
			if err := project.CheckStart(event, p, &project.Tenant{Subscription: c.Subscription}); err != nil {
				return err.Error()
			}
			return ""
		}
		c.Run, c.Restart = sentence(project.Run), sentence(project.Restart)
		if !slices.Contains(cases, c) {
			cases = append(cases, c)
		}
	}
	subscriptions := []project.Subscription{
		project.Active, project.Trialing, project.NoSubscription, project.PastDue, project.Canceled, project.Unpaid, project.Suspended, "paused",
	}
	for _, status := range project.Statuses {
		for _, subscription := range subscriptions {
			for _, code := range []string{"assigned", "none", "revoked"} {
				for missing := range 8 {
					// A status that nothing starts from is refused before anything else.
					if started := status == project.Running || status == project.Completed; started && missing != 0 && missing != 7 {
						continue
					}
					texts := [3]string{"n", "d", "o"}
					for i := range texts {
						if missing>>i&1 == 1 {
							texts[i] = ""
						}
					}
					add(ruleCase{Status: status, Subscription: subscription, Code: code, Texts: texts})
				}
			}
		}
	}
	// What counts as white space is not the same in every language.
	for _, blank := range []string{" \t\n\v\f\r", "\u0085\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000", "\ufeff", "\u200b", " x "} {
		for i := range 3 {
			texts := [3]string{"n", "d", "o"}
			texts[i] = blank
			add(ruleCase{Status: project.Failed, Subscription: project.Active, Code: "assigned", Texts: texts})
		}
	}
	return cases
}

// TestPortalsRulesAreHeldToTheServersSentences keeps the file that the portal's
// tests read current. After a change of the checks: go test ./infra/local -run
// PortalsRules -update.
func TestPortalsRulesAreHeldToTheServersSentences(t *testing.T) {
	var want bytes.Buffer
	want.WriteString("[\n")
	for i, c := range ruleCases() {
		if i > 0 {
			want.WriteString(",\n")
		}
		line, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		want.Write(line)
	}
	want.WriteString("\n]\n")
	path := filepath.Join("..", "..", "portal", "src", "lib", "rules.cases.json")
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the server says: run this test with -update, and mend portal/src/lib/rules.ts until its test passes", path)
	}
}
