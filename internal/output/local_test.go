package output_test

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rekindle/internal/output"
	"rekindle/internal/project"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ref  = project.Ref{Key: project.Key{TenantID: "acme", ProjectID: "site"}, ProjectUID: "uid", ExecutionID: 77}
)

// place is a Local over temporary folders, with a clock that only the test
// moves.
type place struct {
	t *testing.T
	*output.Local
	out, data string
	now       atomic.Int64 // milliseconds
}

func newPlace(t *testing.T) *place {
	t.Helper()
	dir := t.TempDir()
	p := &place{t: t, out: filepath.Join(dir, "output"), data: filepath.Join(dir, "data")}
	p.now.Store(noon.UnixMilli())
	p.Local = p.open(strings.Repeat("h", 32))
	return p
}

func (p *place) open(key string) *output.Local {
	p.t.Helper()
	hasher, err := project.NewHasher(key)
	if err != nil {
		p.t.Fatal(err)
	}
	l, err := output.NewLocal(output.LocalConfig{
		OutputDir: p.out, DataDir: p.data, URL: "http://stack", Hasher: hasher,
		Now: func() time.Time { return time.UnixMilli(p.now.Load()).UTC() },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

func folder(r project.Ref) string {
	return filepath.Join(r.TenantID, r.ProjectUID, strconv.FormatInt(r.ExecutionID, 10))
}

func (p *place) write(path, text string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// wrote puts a file in an execution's output.
func (p *place) wrote(r project.Ref, name, text string) {
	p.t.Helper()
	p.write(filepath.Join(p.out, folder(r))+"/"+name, text)
}

func (p *place) symlink(target, name string) {
	p.t.Helper()
	if err := os.Symlink(target, filepath.Join(p.out, folder(ref), name)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) link(r project.Ref) project.Link {
	p.t.Helper()
	link, err := p.Download(p.t.Context(), r, "site.zip")
	if err != nil {
		p.t.Fatal(err)
	}
	return link
}

func get(t *testing.T, h http.Handler, method, url string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, url, nil))
	return w.Result()
}

// fetch returns the zip's files in their order, and what is in them.
func (p *place) fetch(link project.Link) (names []string, texts map[string]string) {
	p.t.Helper()
	resp := get(p.t, p, http.MethodGet, link.URL)
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("got %d, %v: %s", resp.StatusCode, err, body)
	}
	if int64(len(body)) != link.Size {
		p.t.Errorf("the zip has %d bytes, the link says %d", len(body), link.Size)
	}
	z, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		p.t.Fatal(err)
	}
	texts = map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			p.t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			p.t.Fatal(err)
		}
		names, texts[f.Name] = append(names, f.Name), string(text)
	}
	return names, texts
}

func TestDownloadHasTheFilesInOrder(t *testing.T) {
	p := newPlace(t)
	p.wrote(ref, "index.html", "home")
	p.wrote(ref, "pages/b.html", "b")
	p.wrote(ref, "pages/a.html", "a")
	link := p.link(ref)
	if want := noon.Add(5 * time.Minute); !link.ExpiresAt.Equal(want) || link.Name != "site.zip" || !strings.HasPrefix(link.URL, "http://stack/downloads/") {
		t.Errorf("got %+v", link)
	}
	names, texts := p.fetch(link)
	if want := []string{"index.html", "pages/a.html", "pages/b.html"}; !slices.Equal(names, want) || texts["pages/a.html"] != "a" || texts["index.html"] != "home" {
		t.Errorf("got %v, %v", names, texts)
	}
}

func TestDownloadLeavesOutSecretsAndLogs(t *testing.T) {
	p := newPlace(t)
	for _, name := range []string{".env", ".env.local", "prod.env", "Prod.ENV", ".git/config", "a/.hidden/x", "run.log", "RUN.LOG", "a/.ssh", "kept/env", "kept/log.txt"} {
		p.wrote(ref, name, "x")
	}
	if names, _ := p.fetch(p.link(ref)); !slices.Equal(names, []string{"kept/env", "kept/log.txt"}) {
		t.Errorf("got %v", names)
	}
}

func TestDownloadFollowsNoLink(t *testing.T) {
	p := newPlace(t)
	other := project.Ref{Key: project.Key{TenantID: "rival"}, ProjectUID: "their", ExecutionID: 5}
	p.wrote(other, "secret.txt", "theirs")
	p.wrote(ref, "mine.txt", "mine")
	p.wrote(ref, "sub/x.txt", "x")
	p.symlink("/etc/passwd", "absolute")
	p.symlink("/etc", "absolute-folder")
	p.symlink("../../../"+folder(other)+"/secret.txt", "relative")
	p.symlink("../../../"+folder(other), "relative-folder")
	p.symlink("mine.txt", "inside")
	p.symlink("sub", "inside-folder")
	p.symlink(".", "loop")
	p.symlink("nowhere", "dangling")
	if err := syscall.Mkfifo(filepath.Join(p.out, folder(ref), "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if names, texts := p.fetch(p.link(ref)); !slices.Equal(names, []string{"mine.txt", "sub/x.txt"}) {
		t.Errorf("got %v", texts)
	}
}

func TestAnOutputFolderThatIsALinkIsNone(t *testing.T) {
	p := newPlace(t)
	other := project.Ref{Key: project.Key{TenantID: "rival"}, ProjectUID: "their", ExecutionID: 5}
	p.wrote(other, "secret.txt", "theirs")
	for _, at := range []string{folder(ref), filepath.Dir(folder(ref)), ref.TenantID} {
		path := filepath.Join(p.out, at)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		up := strings.Repeat("../", strings.Count(at, "/"))
		target := up + filepath.Join(strings.Split(folder(other), "/")[:strings.Count(at, "/")+1]...)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		r := ref
		if at != folder(ref) {
			r.ExecutionID = 5
			if at == ref.TenantID {
				r.ProjectUID = "their"
			}
		}
		if _, err := p.Download(t.Context(), r, "x.zip"); project.CodeOf(err) != project.CodeOutputMissing {
			t.Errorf("%s: got %v", at, err)
		}
		if err := p.Remove(t.Context(), r.TenantID, r.ProjectUID); err != nil {
			t.Errorf("%s: %v", at, err)
		}
		if _, err := os.Stat(filepath.Join(p.out, folder(other), "secret.txt")); err != nil {
			t.Fatalf("%s: what the link led to was removed: %v", at, err)
		}
		if err := os.RemoveAll(filepath.Join(p.out, ref.TenantID)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNamesAreHarmlessEverywhere(t *testing.T) {
	p := newPlace(t)
	for _, name := range []string{`a\..\..\evil`, "a_.._.._evil", `C:\boot.ini`, "line\nbreak", "bad\xffutf8", `\\host\share`, "two words.txt"} {
		p.wrote(ref, name, name)
	}
	names, texts := p.fetch(p.link(ref))
	for _, name := range names {
		if strings.ContainsAny(name, "\\:\n") || strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..") {
			t.Errorf("an entry is called %q", name)
		}
	}
	if len(names) != 7 || len(texts) != 7 {
		t.Errorf("got %q: names were lost or given twice", names)
	}
	if texts["a_.._.._evil"] != "a_.._.._evil" || texts["two words.txt"] == "" {
		t.Errorf("a harmless name was changed: %q", names)
	}
}

func TestDownloadOfALargeFile(t *testing.T) {
	p := newPlace(t)
	text := make([]byte, 2<<20)
	rand.Read(text)
	p.wrote(ref, "big.bin", string(text))
	if _, texts := p.fetch(p.link(ref)); texts["big.bin"] != string(text) {
		t.Error("the file is not the same any more")
	}
}

func TestDownloadOfNothing(t *testing.T) {
	p := newPlace(t)
	for _, r := range []project.Ref{ref, {Key: ref.Key, ProjectUID: "", ExecutionID: 77}, {Key: ref.Key, ProjectUID: "..", ExecutionID: 77}} {
		if _, err := p.Download(t.Context(), r, "x.zip"); project.CodeOf(err) != project.CodeOutputMissing {
			t.Errorf("%+v: got %v", r, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(p.out, folder(ref)), 0o755); err != nil {
		t.Fatal(err)
	}
	if names, _ := p.fetch(p.link(ref)); len(names) != 0 {
		t.Errorf("an empty output has %v", names)
	}
}

func TestConcurrentDownloadsShareOneZip(t *testing.T) {
	p := newPlace(t)
	for i := range 50 {
		p.wrote(ref, strconv.Itoa(i)+".txt", strings.Repeat("x", 10_000))
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			link, err := p.Download(t.Context(), ref, "site.zip")
			if err != nil {
				t.Error(err)
				return
			}
			resp := get(t, p, http.MethodGet, link.URL)
			if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != link.Size || resp.StatusCode != 200 {
				t.Errorf("got %d, %d bytes of %d, %v", resp.StatusCode, n, link.Size, err)
			}
		})
	}
	wg.Wait()
	if left, err := filepath.Glob(filepath.Join(p.data, "downloads", ".unfinished", "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestServedDownload(t *testing.T) {
	p := newPlace(t)
	p.wrote(ref, "a.txt", "a")
	link := p.link(ref)
	resp := get(t, p, http.MethodHead, link.URL)
	for name, want := range map[string]string{
		"Content-Type": "application/zip", "Content-Disposition": "attachment; filename=site.zip",
		"X-Content-Type-Options": "nosniff", "Content-Length": strconv.FormatInt(link.Size, 10),
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || len(body) > 0 {
		t.Errorf("HEAD: got %d with %d bytes", resp.StatusCode, len(body))
	}
	if resp := get(t, p, http.MethodPost, link.URL); resp.StatusCode != 405 || resp.Header.Get("Allow") == "" {
		t.Errorf("POST: got %d", resp.StatusCode)
	}
	evil, err := p.Download(t.Context(), ref, "../a\"\r\nSet-Cookie: x.zip")
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, p, http.MethodGet, evil.URL).Header.Get("Content-Disposition"); got != "attachment; filename=_a___Set-Cookie__x.zip" {
		t.Errorf("got %q", got)
	}
}

func TestLinksThatAreRefused(t *testing.T) {
	p := newPlace(t)
	p.wrote(ref, "a.txt", "a")
	other := ref
	other.TenantID = "rival"
	p.wrote(other, "a.txt", "theirs")
	link, theirs := p.link(ref), p.link(other)
	token, mac, _ := strings.Cut(strings.TrimPrefix(link.URL, "http://stack/downloads/"), ".")
	theirToken, _, _ := strings.Cut(strings.TrimPrefix(theirs.URL, "http://stack/downloads/"), ".")
	want := func(what string, h http.Handler, path string, status int, code string) {
		t.Helper()
		resp := get(t, h, http.MethodGet, "http://stack/downloads/"+path)
		var body struct{ Detail, Code string }
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != status || body.Code != code || body.Detail == "" {
			t.Errorf("%s: got %d %+v, %v; want %d %s", what, resp.StatusCode, body, err, status, code)
		}
	}
	want("nothing", p, "", 404, "download_unknown")
	want("no signature", p, token, 404, "download_unknown")
	want("another signature", p, token+"."+strings.Repeat("0", len(mac)), 404, "download_unknown")
	want("another tenant's ticket", p, theirToken+"."+mac, 404, "download_unknown")
	want("more behind it", p, token+"."+mac+"/x", 404, "download_unknown")
	want("another stack's key", p.open(strings.Repeat("g", 32)), token+"."+mac, 404, "download_unknown")
	p.now.Add(5*60_000 - 1)
	if resp := get(t, p, http.MethodGet, link.URL); resp.StatusCode != 200 {
		t.Errorf("just before its end: got %d", resp.StatusCode)
	}
	p.now.Add(1)
	want("expired", p, token+"."+mac, 403, "download_expired")
	p.now.Store(noon.UnixMilli())
	if err := p.Remove(t.Context(), "acme", "uid"); err != nil {
		t.Fatal(err)
	}
	want("removed", p, token+"."+mac, 404, "output_missing")
	if resp := get(t, p, http.MethodGet, theirs.URL); resp.StatusCode != 200 {
		t.Errorf("the other tenant's: got %d", resp.StatusCode)
	}
}

func TestRemoveTakesOneIncarnation(t *testing.T) {
	p := newPlace(t)
	other := ref
	other.ProjectUID = "uid-2"
	for _, r := range []project.Ref{ref, other} {
		p.wrote(r, "a.txt", "a")
		p.write(filepath.Join(p.data, "logs", folder(r), "stdout.log"), "log\n")
		p.link(r)
	}
	for range 2 { // the second time there is nothing
		if err := p.Remove(t.Context(), "acme", "uid"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Download(t.Context(), ref, "x.zip"); project.CodeOf(err) != project.CodeOutputMissing {
		t.Errorf("got %v", err)
	}
	for _, base := range []string{p.out, filepath.Join(p.data, "logs"), filepath.Join(p.data, "downloads", "by-tenant")} {
		if _, err := os.Stat(filepath.Join(base, "acme", "uid")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", base, err)
		}
	}
	if got, err := p.Tail(t.Context(), other, output.Stdout, 10); err != nil || got != "log\n" {
		t.Errorf("the other incarnation's log: %q, %v", got, err)
	}
	p.fetch(p.link(other))
	for _, ids := range [][2]string{{"acme", ""}, {"", "uid"}, {"acme", ".."}, {"..", "acme"}, {"acme", "uid-2/77"}} {
		if err := p.Remove(t.Context(), ids[0], ids[1]); err == nil {
			t.Errorf("%q was removed", ids)
		}
	}
}

func TestTail(t *testing.T) {
	p := newPlace(t)
	long := strings.Repeat("0123456789abcde\n", 20_000) // 320,000 bytes
	for _, c := range []struct {
		name, text string
		lines      int
		want       string
	}{
		{"no lines wanted", "a\nb\n", 0, ""},
		{"fewer than there are", "a\nb\nc\n", 2, "b\nc\n"},
		{"more than there are", "a\nb\n", 200, "a\nb\n"},
		{"without a last line break", "a\nb", 1, "b"},
		{"one line", "a", 1, "a"},
		{"blank lines", "a\n\n\n", 2, "\n\n"},
		{"empty", "", 5, ""},
		{"binary", "\x00\xff\n\xfe", 1, "\xfe"},
		{"the last 256 KB", long, 1_000_000, long[len(long)-256<<10:]},
	} {
		p.write(filepath.Join(p.data, "logs", folder(ref), "stderr.log"), c.text)
		if got, err := p.Tail(t.Context(), ref, output.Stderr, c.lines); err != nil || got != c.want {
			t.Errorf("%s: got %.50q, %v; want %.50q", c.name, got, err, c.want)
		}
	}
	if got, err := p.Tail(t.Context(), ref, output.Stdout, 5); err != nil || got != "" {
		t.Errorf("no log yet: got %q, %v", got, err)
	}
	if _, err := p.Tail(t.Context(), ref, "../stderr", 5); err == nil {
		t.Error("a stream that there is none of was read")
	}
	log := filepath.Join(p.data, "logs", folder(ref), "stdout.log")
	if err := os.Symlink("/etc/passwd", log); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Tail(t.Context(), ref, output.Stdout, 5); err != nil || got != "" {
		t.Errorf("a link: got %q, %v", got, err)
	}
}
