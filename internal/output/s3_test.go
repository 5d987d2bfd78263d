package output_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"rekindle/internal/output"
	"rekindle/internal/output/s3test"
	"rekindle/internal/project"
)

func newBucket(t *testing.T) (*s3test.Bucket, *output.S3) {
	t.Helper()
	b := s3test.New(t, "outputs", func() time.Time { return noon })
	b.PageSize = 2
	s, err := output.NewS3(b.Env, "s3://outputs/kept/", func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	return b, s
}

func TestS3Tail(t *testing.T) {
	b, s := newBucket(t)
	long := strings.Repeat("0123456789abcde\n", 20_000)
	b.Put("kept/acme/uid/77/stdout.log", "a\nb\nc")
	b.Put("kept/acme/uid/77/stderr.log", "")
	b.Put("kept/acme/uid/78/stderr.log", long)
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
	b.Hook = func(string, int) s3test.Fault { return http.StatusForbidden }
	if _, err := s.Tail(t.Context(), ref, output.Stdout, 2); err == nil || project.CodeOf(err) == project.CodeUnavailable {
		t.Errorf("access denied: got %v", err)
	}
}

func TestS3Download(t *testing.T) {
	b, s := newBucket(t)
	if _, err := s.Download(t.Context(), ref, "site.zip"); project.CodeOf(err) != project.CodeOutputMissing {
		t.Errorf("got %v, want %s", err, project.CodeOutputMissing)
	}
	b.Put("kept/acme/uid/77/output.zip", "zip!")
	link, err := s.Download(t.Context(), ref, "site.zip")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link.URL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Path != "/outputs/kept/acme/uid/77/output.zip" || !strings.HasPrefix(link.URL, b.URL) || q.Get("X-Amz-Expires") != "900" ||
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
	b.Hook = func(string, int) s3test.Fault { return http.StatusServiceUnavailable }
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
		b.Put(key, "x")
	}
	for i := range 5 {
		b.Put(fmt.Sprintf("kept/acme/uid/%d/output.zip", 77+i), "x")
	}
	for range 2 { // the second time there is nothing
		if err := s.Remove(t.Context(), "acme", "uid"); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(kept)
	if got := b.Keys(); !slices.Equal(got, kept) || b.Calls("ListObjectsV2") != 4 {
		t.Errorf("after %d pages there are %v, want %v", b.Calls("ListObjectsV2"), got, kept)
	}
	for _, ids := range [][2]string{{"acme", ""}, {"", "uid"}, {"acme", ".."}, {"acme", "a/b"}} {
		if err := s.Remove(t.Context(), ids[0], ids[1]); err == nil {
			t.Errorf("%q was removed", ids)
		}
	}
	b.Put("kept/acme/uid/77/locked", "x")
	b.Locked = []string{"kept/acme/uid/77/locked"}
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
