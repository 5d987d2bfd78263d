package output_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rekindle/internal/output"
	"rekindle/internal/project"
)

// bucket is an S3 that knows the four calls that are needed, and fails the test
// at any other.
type bucket struct {
	t       *testing.T
	url     string
	mu      sync.Mutex
	objects map[string]string
	fail    func(r *http.Request) int // a status to answer with; 0 for none
	pages   int                       // that were listed
}

const pageSize = 2

func newBucket(t *testing.T) (*bucket, *output.S3) {
	t.Helper()
	b := &bucket{t: t, objects: map[string]string{}}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	b.url = server.URL
	env := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t",
		"AWS_ENDPOINT_URL_S3": server.URL,
	}
	s, err := output.NewS3(func(name string) (string, bool) { v, ok := env[name]; return v, ok }, "s3://outputs/kept/", func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	return b, s
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=k/") || r.Header.Get("X-Amz-Security-Token") != "t" {
		b.t.Errorf("%s %s is not signed", r.Method, r.URL)
	}
	if b.fail != nil {
		if status := b.fail(r); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	name, inBucket := strings.CutPrefix(r.URL.Path, "/outputs/")
	if !inBucket && r.URL.Path != "/outputs" {
		b.t.Errorf("%s %s is not in the bucket", r.Method, r.URL)
	}
	if !inBucket {
		name = ""
	}
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodHead && name != "":
		text, ok := b.objects[name]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	case r.Method == http.MethodGet && name != "":
		b.get(w, r, name)
	case r.Method == http.MethodGet && query.Get("list-type") == "2":
		b.list(w, query)
	case r.Method == http.MethodPost && query.Has("delete"):
		b.remove(w, r)
	default:
		b.t.Errorf("unexpected: %s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusBadRequest)
	}
}

func (b *bucket) get(w http.ResponseWriter, r *http.Request, name string) {
	if r.Header.Get("Range") != "bytes=-262144" {
		b.t.Errorf("range is %q", r.Header.Get("Range"))
	}
	text, ok := b.objects[name]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<Error><Code>NoSuchKey</Code></Error>")
	case text == "":
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		fmt.Fprint(w, "<Error><Code>InvalidRange</Code></Error>")
	default:
		w.WriteHeader(http.StatusPartialContent)
		fmt.Fprint(w, text[max(0, len(text)-256<<10):])
	}
}

func (b *bucket) list(w http.ResponseWriter, query url.Values) {
	b.pages++
	var keys []string
	for key := range b.objects {
		if strings.HasPrefix(key, query.Get("prefix")) && key > query.Get("continuation-token") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	more := len(keys) > pageSize
	keys = keys[:min(len(keys), pageSize)]
	fmt.Fprintf(w, "<ListBucketResult><IsTruncated>%t</IsTruncated>", more)
	if more {
		fmt.Fprintf(w, "<NextContinuationToken>%s</NextContinuationToken>", keys[len(keys)-1])
	}
	for _, key := range keys {
		fmt.Fprintf(w, "<Contents><Key>%s</Key></Contents>", key)
	}
	fmt.Fprint(w, "</ListBucketResult>")
}

func (b *bucket) remove(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Quiet  bool
		Object []struct{ Key string }
	}
	if err := xml.NewDecoder(r.Body).Decode(&in); err != nil || !in.Quiet || len(in.Object) == 0 {
		b.t.Errorf("deleting %+v: %v", in, err)
	}
	if r.Header.Get("Content-Md5") == "" && r.Header.Get("X-Amz-Checksum-Crc32") == "" {
		b.t.Error("deleting without a checksum, which S3 refuses")
	}
	fmt.Fprint(w, "<DeleteResult>")
	for _, o := range in.Object {
		if strings.HasSuffix(o.Key, "locked") {
			fmt.Fprintf(w, "<Error><Key>%s</Key><Code>AccessDenied</Code></Error>", o.Key)
			continue
		}
		delete(b.objects, o.Key)
	}
	fmt.Fprint(w, "</DeleteResult>")
}

func TestS3Tail(t *testing.T) {
	b, s := newBucket(t)
	long := strings.Repeat("0123456789abcde\n", 20_000)
	b.objects["kept/acme/uid/77/stdout.log"] = "a\nb\nc"
	b.objects["kept/acme/uid/77/stderr.log"] = ""
	b.objects["kept/acme/uid/78/stderr.log"] = long
	later := ref
	later.ExecutionID = 78
	for _, c := range []struct {
		name   string
		ref    project.Ref
		stream string
		lines  int
		want   string
	}{
		{"two lines", ref, output.Stdout, 2, "b\nc"},
		{"empty", ref, output.Stderr, 2, ""},
		{"not there yet", later, output.Stdout, 2, ""},
		{"the last 256 KB", later, output.Stderr, 1_000_000, long[len(long)-256<<10:]},
		{"no uid", project.Ref{Key: ref.Key, ExecutionID: 77}, output.Stdout, 2, ""},
	} {
		if got, err := s.Tail(t.Context(), c.ref, c.stream, c.lines); err != nil || got != c.want {
			t.Errorf("%s: got %.50q, %v; want %.50q", c.name, got, err, c.want)
		}
	}
	b.fail = func(*http.Request) int { return http.StatusForbidden }
	if _, err := s.Tail(t.Context(), ref, output.Stdout, 2); err == nil || project.CodeOf(err) == project.CodeUnavailable {
		t.Errorf("access denied: got %v", err)
	}
}

func TestS3Download(t *testing.T) {
	b, s := newBucket(t)
	if _, err := s.Download(t.Context(), ref, "site.zip"); project.CodeOf(err) != project.CodeOutputMissing {
		t.Errorf("got %v, want %s", err, project.CodeOutputMissing)
	}
	b.objects["kept/acme/uid/77/output.zip"] = "zip!"
	link, err := s.Download(t.Context(), ref, "site.zip")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link.URL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Path != "/outputs/kept/acme/uid/77/output.zip" || !strings.HasPrefix(link.URL, b.url) || q.Get("X-Amz-Expires") != "900" ||
		q.Get("X-Amz-Signature") == "" || q.Get("X-Amz-SignedHeaders") != "host" || q.Get("x-amz-checksum-mode") != "" ||
		q.Get("response-content-disposition") != "attachment; filename=site.zip" || q.Get("response-content-type") != "application/zip" {
		t.Errorf("got %s", link.URL)
	}
	if link.Size != 4 || link.Name != "site.zip" || !link.ExpiresAt.Equal(noon.Add(15*time.Minute)) {
		t.Errorf("got %+v", link)
	}
}

func TestS3OutageAsksToTryAgain(t *testing.T) {
	b, s := newBucket(t)
	b.fail = func(*http.Request) int { return http.StatusServiceUnavailable }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Download(ctx, ref, "site.zip"); project.CodeOf(err) != project.CodeUnavailable {
		t.Errorf("got %v, want %s", err, project.CodeUnavailable)
	}
}

func TestS3RemovePagesToTheEnd(t *testing.T) {
	b, s := newBucket(t)
	kept := []string{"kept/acme/uid-2/77/output.zip", "kept/acme/uidx", "acme/uid/77/output.zip", "kept/rival/uid/77/output.zip"}
	for _, key := range kept {
		b.objects[key] = "x"
	}
	for i := range 5 {
		b.objects[fmt.Sprintf("kept/acme/uid/%d/output.zip", 77+i)] = "x"
	}
	for range 2 { // the second time there is nothing
		if err := s.Remove(t.Context(), "acme", "uid"); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.objects) != len(kept) || b.pages != 4 {
		t.Errorf("after %d pages there are %v", b.pages, b.objects)
	}
	for _, key := range kept {
		if _, ok := b.objects[key]; !ok {
			t.Errorf("%s is gone", key)
		}
	}
	for _, ids := range [][2]string{{"acme", ""}, {"", "uid"}, {"acme", ".."}, {"acme", "a/b"}} {
		if err := s.Remove(t.Context(), ids[0], ids[1]); err == nil {
			t.Errorf("%q was removed", ids)
		}
	}
	b.objects["kept/acme/uid/77/locked"] = "x"
	if err := s.Remove(t.Context(), "acme", "uid"); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("an object that can't be deleted: got %v", err)
	}
}

func TestS3Settings(t *testing.T) {
	env := map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	s, err := output.NewS3(lookup, "s3://outputs", nil)
	if err != nil || s == nil {
		t.Fatal(err)
	}
	for _, base := range []string{"", "s3://", "/tmp/output", "outputs"} {
		if _, err := output.NewS3(lookup, base, nil); err == nil {
			t.Errorf("%q was taken", base)
		}
	}
	env["AWS_ENDPOINT_URL_S3"] = ""
	if _, err := output.NewS3(lookup, "s3://outputs", nil); err == nil {
		t.Error("an empty endpoint was taken")
	}
}
