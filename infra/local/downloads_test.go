package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rekindle/internal/output"
	"rekindle/internal/project"
)

func TestDownloadsAreServedBesideTheGateway(t *testing.T) {
	hasher, err := project.NewHasher(strings.Repeat("h", 32))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ref := project.Ref{Key: project.Key{TenantID: "acme", ProjectID: "site"}, ProjectUID: "uid", ExecutionID: 77}
	if err := os.MkdirAll(filepath.Join(dir, "output", "acme", "uid", "77"), 0o755); err != nil {
		t.Fatal(err)
	}
	outputs, err := output.NewLocal(output.LocalConfig{OutputDir: filepath.Join(dir, "output"), DataDir: dir, URL: "http://stack", Hasher: hasher})
	if err != nil {
		t.Fatal(err)
	}
	link, err := outputs.Download(t.Context(), ref, "site.zip")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := withDownloads(outputs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for path, want := range map[string]int{
		u.Path: 200, "/downloads/forged": 404, "/downloads/": 404,
		"/downloads": http.StatusTeapot, "/api/downloads/x": http.StatusTeapot, "/%64ownloads/x": http.StatusTeapot,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("%s: got %d, want %d", path, w.Code, want)
		}
	}
}
