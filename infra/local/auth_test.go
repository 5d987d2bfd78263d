package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestStackSignsInByTheMailInItsFolder(t *testing.T) {
	seed, data := inRoot(t), t.TempDir()
	s := start(t, options{data: data, seed: seed}, nil)
	if status, out := s.call("POST", "/api/tenant/auth/otp/request", `{"tenant_slug":"demo"}`); status != 200 {
		t.Fatalf("asking for a code: %d %v", status, out)
	}
	files, err := filepath.Glob(filepath.Join(data, "mail", "*.txt"))
	if err != nil || len(files) != 1 {
		t.Fatalf("mails: %v, %v, want one", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`(?m)^\d{6}\b`).FindString(string(text))
	status, out := s.call("POST", "/api/tenant/auth/otp/verify", `{"tenant_slug":"demo","code":"`+code+`"}`)
	if token, _ := out["session_token"].(string); status != 200 || !strings.HasPrefix(token, "demo.") {
		t.Errorf("with the code %q: %d %v", code, status, out)
	}
	s.logs.mu.Lock()
	defer s.logs.mu.Unlock()
	if log := strings.Join(s.logs.lines, "\n"); code == "" || strings.Contains(log, code) {
		t.Errorf("the log has the code %q:\n%s", code, log)
	}
}
