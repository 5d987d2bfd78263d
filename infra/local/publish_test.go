package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestStackSaysWhereItIsWhileItServes(t *testing.T) {
	inRoot(t)
	data := filepath.Join(t.TempDir(), "data")
	file := filepath.Join(data, publishedFile)
	// What a stack left that was killed.
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, options{data: data}, map[string]string{"PATH": os.Getenv("PATH")})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got published
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if got.API != s.url || got.Database == "" || got.PID != os.Getpid() ||
		got.Tables["PROJECTS_TABLE"] != "ProjectsTable" || got.Tables["TENANTS_TABLE"] != "TenantsTable" || got.Tables["SESSIONS_TABLE"] != "SessionsTable" || got.Tables["SWEEPS_TABLE"] != "SweepsTable" {
		t.Errorf("got %s", text)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the end: got %v, want no file", err)
	}
}
