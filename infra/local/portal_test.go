package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// portalStack is a portal before a handler that answers as the API does.
func portalStack(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"code":"route_not_found"}`)
	})
	s := httptest.NewServer(withPortal(dir, api))
	t.Cleanup(s.Close)
	return s
}

// builtPortal is a folder with a portal in it, beside a file that is none of it.
func builtPortal(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "dist")
	for name, text := range map[string]string{
		"dist/index.html": "<!doctype html>page", "dist/favicon.svg": "<svg/>",
		"dist/assets/index-abc.js": "script", "dist/assets/index-abc.css": "style", "dist/.hidden.js": "hidden", "secret.txt": "secret",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret.txt", filepath.Join(dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func bodyOf(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestPortalServesItsFilesAndItsAddresses(t *testing.T) {
	s := portalStack(t, builtPortal(t))
	const page, html = "<!doctype html>page", "text/html; charset=utf-8"
	for target, want := range map[string]struct{ body, kind, cache string }{
		"/":                                     {page, html, "no-cache"},
		"/?x=1":                                 {page, html, "no-cache"},
		"/index.html":                           {page, html, "no-cache"},
		"/login":                                {page, html, "no-cache"},
		"/login?next=%2Fprojects%2Fa":           {page, html, "no-cache"},
		"/projects/price-list_2":                {page, html, "no-cache"},
		"/projects/price-list/status":           {page, html, "no-cache"},
		"/projects/api/status":                  {page, html, "no-cache"},
		"/apiary":                               {page, html, "no-cache"},
		"/favicon.svg":                          {"<svg/>", "image/svg+xml", "no-cache"},
		"/assets/index-abc.js":                  {"script", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		"/assets/index-abc.css":                 {"style", "text/css; charset=utf-8", "public, max-age=31536000, immutable"},
		"/assets/index-abc.css?v=../secret.txt": {"style", "text/css; charset=utf-8", "public, max-age=31536000, immutable"},
	} {
		resp := raw(t, s, "GET", target)
		body := bodyOf(t, resp)
		if resp.StatusCode != 200 || body != want.body {
			t.Errorf("%s: got %d %q, want 200 %q", target, resp.StatusCode, body, want.body)
		}
		if got := resp.Header.Get("Content-Type"); got != want.kind {
			t.Errorf("%s: got type %q, want %q", target, got, want.kind)
		}
		if got := resp.Header.Get("Cache-Control"); got != want.cache {
			t.Errorf("%s: got Cache-Control %q, want %q", target, got, want.cache)
		}
		for name, value := range portalHeaders {
			if got := resp.Header.Get(name); got != value {
				t.Errorf("%s: got %s %q, want %q", target, name, got, value)
			}
		}
	}
}

func TestPortalAllowsNoInlineScriptOrStyle(t *testing.T) {
	policy := portalHeaders["Content-Security-Policy"]
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || !strings.HasPrefix(policy, "default-src 'none'; ") {
		t.Errorf("got %q", policy)
	}
}

func TestPortalLeavesTheAPIsPathsAlone(t *testing.T) {
	s := portalStack(t, builtPortal(t))
	for _, target := range []string{
		"/api", "/api/", "/api/tenant/projects", "/api/x.js", "/API/tenant", "/api/../index.html", "/downloads/x", "/2015-03-31/functions/F/invocations",
		"//api/tenant/projects", "/x/../api/tenant/projects", "/projects//x", "/projects/", "/./login", "/projects/%2e%2e/x", "/%61pi/tenant", "/.hidden.js", "/assets/.x",
		"/..%2fsecret.txt", "/assets/../../secret.txt", `/a\..\secret.txt`,
	} {
		resp := raw(t, s, "GET", target)
		if body := bodyOf(t, resp); resp.StatusCode != 404 || body != `{"code":"route_not_found"}` {
			t.Errorf("%s: got %d %q, want the API's answer", target, resp.StatusCode, body)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if resp := raw(t, s, method, "/projects"); resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s /projects: got %d %s, want the API's answer", method, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
	}
}

func TestPortalServesNothingOutsideItsFolder(t *testing.T) {
	s := portalStack(t, builtPortal(t))
	for _, target := range []string{"/link.txt", "/secret.txt", "/assets/index-old.js", "/nothing.html"} {
		resp := raw(t, s, "GET", target)
		if body := bodyOf(t, resp); resp.StatusCode == 200 || strings.Contains(body, "secret") || strings.Contains(body, "page") {
			t.Errorf("%s: got %d %q, want no file", target, resp.StatusCode, body)
		}
		if got := resp.Header.Get("Cache-Control"); strings.Contains(got, "immutable") {
			t.Errorf("%s: what is not there is cached: %s", target, got)
		}
	}
	// A folder has no listing: its address is one of the portal's pages.
	if body := bodyOf(t, raw(t, s, "GET", "/assets")); strings.Contains(body, "index-abc") {
		t.Errorf("the folder is listed: %q", body)
	}
}

func TestPortalAnswersWhatHasNotChangedWithoutABody(t *testing.T) {
	s := portalStack(t, builtPortal(t))
	first := raw(t, s, "GET", "/")
	if resp := raw(t, s, "GET", "/", "If-Modified-Since: "+first.Header.Get("Last-Modified")); resp.StatusCode != 304 {
		t.Errorf("got %d, want 304", resp.StatusCode)
	}
	if resp := raw(t, s, "HEAD", "/"); resp.StatusCode != 200 || resp.ContentLength == 0 {
		t.Errorf("HEAD: got %d with %d bytes", resp.StatusCode, resp.ContentLength)
	}
}

func TestPortalThatIsNotBuiltSaysHow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dist")
	s := portalStack(t, dir)
	for _, target := range []string{"/", "/projects/a"} {
		resp := raw(t, s, "GET", target)
		if body := bodyOf(t, resp); resp.StatusCode != 404 || !strings.Contains(body, "make portal") {
			t.Errorf("%s: got %d %q, want what to do", target, resp.StatusCode, body)
		}
	}
	// It is there as soon as it is built.
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("page"), 0o600); err != nil {
		t.Fatal(err)
	}
	if body := bodyOf(t, raw(t, s, "GET", "/")); body != "page" {
		t.Errorf("after the build: got %q", body)
	}
}
