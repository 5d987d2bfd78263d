package template

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A template is read, or refused with one line that names its file.
func FuzzOpen(f *testing.F) {
	shipped, err := os.ReadFile(deployed)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(shipped), "", "Resources: []", "Resources: {A: {Type: AWS::DynamoDB::Table}}", "a: &a [*a]", "\x00", "Parameters: {A: {Type: String}}",
		"Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: !Sub [a]}}}",
		"Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: !If [x]}}}",
		"Conditions: {A: !Not [!Condition A]}\nResources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: !If [A, b, c]}}}",
		"Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: a, Timeout: -1, Events: {E: {Type: Schedule, Properties: {Schedule: rate(0 hours)}}}}}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "template.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Open(path, nil)
		if err != nil {
			if says := err.Error(); !strings.Contains(says, path) || strings.ContainsAny(says, "\n\r") {
				t.Errorf("%q: the error is %q", text, says)
			}
			return
		}
		for _, fn := range got.Functions {
			if fn.LogicalID == "" || fn.CodeURI == "" || fn.Timeout <= 0 || fn.MemoryMB <= 0 {
				t.Errorf("%q: got %+v", text, fn)
			}
		}
		for _, s := range got.Schedules {
			if s.Every <= 0 {
				t.Errorf("%q: a schedule fires every %s", text, s.Every)
			}
		}
	})
}
