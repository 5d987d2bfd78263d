package output_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/output"
	"rekindle/internal/output/s3test"
	"rekindle/internal/project"
)

const megabyte = 1 << 20

// store is an S3 to upload to: s3test's, or moto's where REKINDLE_TEST_DATABASE
// says so.
type store struct {
	*output.S3
	t    *testing.T
	fake *s3test.Bucket // nil with moto
	now  time.Time      // of the fake's clock and the signer's
}

func newStore(t *testing.T) *store {
	t.Helper()
	s := &store{t: t, now: noon}
	clock := func() time.Time { return s.now }
	lookup := func(name string) (string, bool) { return s.fake.Env(name) }
	if os.Getenv("REKINDLE_TEST_DATABASE") == "moto" {
		endpoint := dynamotest.Endpoint(t)
		clock = time.Now // moto's is the system's
		env := map[string]string{"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL_S3": endpoint}
		lookup = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
		client := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &endpoint, UsePathStyle: true, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "k", SecretAccessKey: "s"}, nil
		})})
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("outputs")}); err != nil && !exists(err) {
			t.Fatal(err)
		}
	} else {
		s.fake = s3test.New(t, "outputs", clock)
		s.fake.PageSize, s.fake.Unlisted = 2, true
	}
	var err error
	if s.S3, err = output.NewS3(lookup, "s3://outputs/kept", clock); err != nil {
		t.Fatal(err)
	}
	return s
}

func exists(err error) bool {
	var refused interface {
		error
		ErrorCode() string
	}
	return errors.As(err, &refused) && refused.ErrorCode() == (&types.BucketAlreadyOwnedByYou{}).ErrorCode()
}

// onlyFake skips what moto does not have.
func (s *store) onlyFake(what string) {
	s.t.Helper()
	if s.fake == nil {
		s.t.Skipf("moto does not %s", what)
	}
}

// execution is another one for each test, for moto's bucket is all tests'.
func execution(t *testing.T) project.Ref {
	r := ref
	r.ProjectUID = strings.NewReplacer("/", "-").Replace(t.Name())
	return r
}

func (s *store) begin(r project.Ref) string {
	s.t.Helper()
	id, err := s.BeginUpload(s.t.Context(), r)
	if err != nil || id == "" {
		s.t.Fatalf("got the upload %q, %v", id, err)
	}
	return id
}

// put sends data to a presigned URL and returns the status of the answer.
func put(t *testing.T, url string, data []byte, headers ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// send sends one part.
func (s *store) send(r project.Ref, id string, part int, data []byte) {
	s.t.Helper()
	link, err := s.SignPart(s.t.Context(), r, project.UploadPart{UploadID: id, Part: part, Bytes: int64(len(data))})
	if err != nil {
		s.t.Fatal(err)
	}
	sum := md5.Sum(data)
	if status := put(s.t, link.URL, data, "Content-MD5", base64.StdEncoding.EncodeToString(sum[:])); status != http.StatusOK {
		s.t.Fatalf("part %d was answered with %d", part, status)
	}
}

func (s *store) complete(r project.Ref, id string, parts int, bytes int64) error {
	return s.CompleteUpload(s.t.Context(), r, project.UploadComplete{UploadID: id, Parts: parts, Bytes: bytes}, 100*megabyte)
}

func TestPartsBecomeTheZip(t *testing.T) {
	s, r := newStore(t), execution(t)
	id := s.begin(r)
	part := bytes.Repeat([]byte("0123456789abcdef"), 5*megabyte/16)
	// Out of order, and one twice: the last of a number stands.
	for _, n := range []int{2, 4, 1, 2, 3} {
		s.send(r, id, n, part)
	}
	s.send(r, id, 5, []byte("end"))
	want := int64(4*len(part) + 3)
	for range 2 { // the second time its answer was lost
		if err := s.complete(r, id, 5, want); err != nil {
			t.Fatal(err)
		}
	}
	link, err := s.Download(t.Context(), r, "site.zip")
	if err != nil || link.Size != want {
		t.Fatalf("got %d bytes, %v; want %d", link.Size, err, want)
	}
	resp, err := http.Get(link.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(got, append(bytes.Repeat(part, 4), "end"...)) {
		t.Errorf("got %d, %d bytes, %v", resp.StatusCode, len(got), err)
	}
}

func TestUploadThatIsNotCompleteIsRefused(t *testing.T) {
	s, r := newStore(t), execution(t)
	id := s.begin(r)
	part := make([]byte, 5*megabyte)
	s.send(r, id, 1, part)
	s.send(r, id, 3, []byte("end"))
	size := int64(len(part) + 3)
	for name, c := range map[string]struct {
		parts int
		bytes int64
	}{"too many parts": {3, size}, "too few parts": {1, size}, "too many bytes": {2, size + 1}, "a gap": {2, size}} {
		if err := s.complete(r, id, c.parts, c.bytes); project.CodeOf(err) != project.CodeUploadIncomplete {
			t.Errorf("%s: got %v, want %s", name, err, project.CodeUploadIncomplete)
		}
	}
	if _, err := s.Download(t.Context(), r, "x.zip"); err == nil {
		t.Error("there is a zip all the same")
	}
}

func TestSmallPartsAreRefusedAsS3Does(t *testing.T) {
	s, r := newStore(t), execution(t)
	id := s.begin(r)
	s.send(r, id, 1, []byte("small"))
	s.send(r, id, 2, []byte("end"))
	if err := s.complete(r, id, 2, 8); project.CodeOf(err) != project.CodeUploadIncomplete {
		t.Errorf("got %v, want %s", err, project.CodeUploadIncomplete)
	}
}

func TestUploadOverTheLimitIsRefused(t *testing.T) {
	s, r := newStore(t), execution(t)
	id := s.begin(r)
	s.send(r, id, 1, make([]byte, megabyte+1))
	err := s.CompleteUpload(t.Context(), r, project.UploadComplete{UploadID: id, Parts: 1, Bytes: megabyte + 1}, megabyte)
	if project.CodeOf(err) != project.CodeOutputTooLarge || err.Error() != "The output is larger than 1 MB" {
		t.Errorf("got %v", err)
	}
}

func TestUploadOfAnotherExecutionIsUnknown(t *testing.T) {
	s, r := newStore(t), execution(t)
	s.onlyFake("look at an upload's key")
	id := s.begin(r)
	s.send(r, id, 1, []byte("theirs"))
	other := r
	other.ExecutionID++
	if err := s.complete(other, id, 1, 6); project.CodeOf(err) != project.CodeUploadUnknown {
		t.Errorf("completing: got %v, want %s", err, project.CodeUploadUnknown)
	}
	link, err := s.SignPart(t.Context(), other, project.UploadPart{UploadID: id, Part: 1, Bytes: 4})
	if err != nil {
		t.Fatal(err)
	}
	if status := put(t, link.URL, []byte("mine")); status != http.StatusNotFound {
		t.Errorf("a part: got %d, want 404", status)
	}
	if err := s.complete(r, "no-such-upload", 1, 6); project.CodeOf(err) != project.CodeUploadUnknown {
		t.Errorf("an unknown one: got %v, want %s", err, project.CodeUploadUnknown)
	}
	if err := s.complete(r, id, 1, 6); err != nil {
		t.Error(err)
	}
	// A zip of another size is not what this upload would have made.
	if err := s.complete(r, id, 1, 7); project.CodeOf(err) != project.CodeUploadUnknown {
		t.Errorf("of another size: got %v, want %s", err, project.CodeUploadUnknown)
	}
}

// The URL alone is a runner's permission: it is for so many bytes, for a while.
func TestSignedURLBindsItsLengthAndTime(t *testing.T) {
	s, r := newStore(t), execution(t)
	id := s.begin(r)
	link, err := s.SignPart(t.Context(), r, project.UploadPart{UploadID: id, Part: 1, Bytes: 4})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link.URL)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); q.Get("X-Amz-SignedHeaders") != "content-length;host" || q.Get("X-Amz-Expires") != "900" || q.Get("uploadId") != id || q.Get("partNumber") != "1" {
		t.Errorf("got %s", u)
	}
	s.onlyFake("check signatures")
	if !link.ExpiresAt.Equal(noon.Add(15 * time.Minute)) {
		t.Errorf("it expires at %s", link.ExpiresAt)
	}
	for _, data := range []string{"", "123", "12345"} {
		if status := put(t, link.URL, []byte(data)); status != http.StatusForbidden && status != http.StatusLengthRequired {
			t.Errorf("%d bytes: got %d, want a refusal", len(data), status)
		}
	}
	if status := put(t, link.URL, []byte("1234"), "Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA=="); status != http.StatusBadRequest {
		t.Errorf("a wrong checksum: got %d, want 400", status)
	}
	for name, change := range map[string][2]string{"part": {"partNumber=1", "partNumber=2"}, "key": {"/77/", "/78/"}, "life": {"Expires=900", "Expires=9000"}} {
		if status := put(t, strings.Replace(link.URL, change[0], change[1], 1), []byte("1234")); status != http.StatusForbidden {
			t.Errorf("another %s: got %d, want 403", name, status)
		}
	}
	s.now = noon.Add(15*time.Minute - time.Second)
	if status := put(t, link.URL, []byte("1234")); status != http.StatusOK {
		t.Errorf("at its end: got %d, want 200", status)
	}
	s.now = noon.Add(15 * time.Minute)
	if status := put(t, link.URL, []byte("1234")); status != http.StatusForbidden {
		t.Errorf("after its end: got %d, want 403", status)
	}
	if _, err := s.SignPart(t.Context(), r, project.UploadPart{UploadID: id, Part: 1}); err == nil {
		t.Error("a URL that binds no length was signed")
	}
}

func TestLogsAreShownAsTheyWereSent(t *testing.T) {
	s, r := newStore(t), execution(t)
	links, err := s.SignLogs(t.Context(), r, project.LogSizes{Stdout: 6, Stderr: 4})
	if err != nil {
		t.Fatal(err)
	}
	for url, text := range map[string]string{links.Stdout: "hello\n", links.Stderr: "why\n"} {
		if status := put(t, url, []byte(text)); status != http.StatusOK {
			t.Errorf("got %d, want 200", status)
		}
		if s.fake == nil {
			continue
		}
		if status := put(t, url, []byte(text+"more")); status != http.StatusForbidden {
			t.Errorf("more than was signed: got %d, want 403", status)
		}
	}
	for stream, want := range map[string]string{output.Stdout: "hello\n", output.Stderr: "why\n"} {
		if got, err := s.Tail(t.Context(), r, stream, 10); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", stream, got, err, want)
		}
	}
	if links, err := s.SignLogs(t.Context(), r, project.LogSizes{Stderr: 4}); err != nil || links.Stdout != "" || links.Stderr == "" {
		t.Errorf("nothing on stdout: got %+v, %v", links, err)
	}
	if links, err := s.SignLogs(t.Context(), r, project.LogSizes{}); err != nil || links != nil {
		t.Errorf("nothing at all: got %+v, %v", links, err)
	}
}

func TestLostAnswersToACompletionAreASuccess(t *testing.T) {
	s, r := newStore(t), execution(t)
	s.onlyFake("lose answers")
	for name, faults := range map[string][]s3test.Fault{
		"lost":              {s3test.Lose},
		"failed after 200":  {s3test.LateError},
		"failed, then lost": {http.StatusServiceUnavailable, s3test.Lose},
	} {
		r.ExecutionID++
		id := s.begin(r)
		s.send(r, id, 1, []byte("zip"))
		before := s.fake.Calls("CompleteMultipartUpload")
		s.fake.Hook = func(operation string, n int) s3test.Fault {
			if i := n - before - 1; operation == "CompleteMultipartUpload" && i < len(faults) {
				return faults[i]
			}
			return s3test.None
		}
		if err := s.complete(r, id, 1, 3); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOutageOfUploadsAsksToTryAgain(t *testing.T) {
	s, r := newStore(t), execution(t)
	s.onlyFake("fail")
	id := s.begin(r)
	s.fake.Hook = func(string, int) s3test.Fault { return http.StatusServiceUnavailable }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.BeginUpload(ctx, r); project.CodeOf(err) != project.CodeUnavailable {
		t.Errorf("beginning: got %v, want %s", err, project.CodeUnavailable)
	}
	err := s.CompleteUpload(ctx, r, project.UploadComplete{UploadID: id, Parts: 1, Bytes: 1}, megabyte)
	if project.CodeOf(err) != project.CodeUnavailable {
		t.Errorf("completing: got %v, want %s", err, project.CodeUnavailable)
	}
}
