// Package s3test is an S3 for tests, with one bucket. It knows the calls that
// outputs need, fails the test at any other, and is no more forgiving than S3:
// it checks every signature, the length and the checksum that was signed, and
// the parts of an upload.
package s3test

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The credentials that the bucket takes.
const (
	Region       = "eu-central-1"
	accessKey    = "k"
	secretKey    = "s"
	sessionToken = "t"
)

// Fault is what goes wrong with a call. A positive one is the status that it is
// answered with, unheard.
type Fault int

// The other faults.
const (
	None      Fault = 0
	Lose      Fault = -1 // the call is applied, and the connection drops instead of the answer
	Cut       Fault = -2 // the connection drops in the middle of the call's body
	LateError Fault = -3 // an error in an answer that began as 200, as CompleteMultipartUpload has it; nothing is applied
)

// Bucket is an S3 with one bucket. Set its fields before it is used.
type Bucket struct {
	URL  string // of the service, for AWS_ENDPOINT_URL_S3
	Name string
	// PageSize is how many entries a list's page has, 1,000 if not set.
	PageSize int
	// Unlisted is a caller without leave to list, who is told 403 of an object
	// that is not there.
	Unlisted bool
	// Forgetful keeps the sizes of objects and parts alone.
	Forgetful bool
	// Hook may make a call go wrong; n counts those of the operation from 1. It
	// may wait, too.
	Hook func(operation string, n int) Fault
	// Locked are the keys that can't be deleted.
	Locked []string

	t   testing.TB
	now func() time.Time

	mu      sync.Mutex
	objects map[string]content
	uploads map[string]*upload
	calls   map[string]int
}

// content is an object or a part.
type content struct {
	text string // empty if the bucket is forgetful
	size int64
	etag string
}

type upload struct {
	key   string
	parts map[int]content
}

// New starts a bucket that judges presigned URLs by a clock; nil is the
// system's. What an SDK signs itself it signs by the system's clock, so only the
// signature of that is checked.
func New(t testing.TB, name string, now func() time.Time) *Bucket {
	if now == nil {
		now = time.Now
	}
	b := &Bucket{
		Name: name, t: t, now: now, objects: map[string]content{}, uploads: map[string]*upload{},
		calls: map[string]int{},
	}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	b.URL = server.URL
	return b
}

// Env is the environment of a client of the bucket.
func (b *Bucket) Env(name string) (string, bool) {
	env := map[string]string{
		"AWS_REGION": Region, "AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": sessionToken,
		"AWS_ENDPOINT_URL_S3": b.URL,
	}
	v, ok := env[name]
	return v, ok
}

// Put puts an object there.
func (b *Bucket) Put(key, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = content{text: text, size: int64(len(text))}
}

// Object returns an object's text, and whether it is there.
func (b *Bucket) Object(key string) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[key]
	return o.text, ok
}

// Size returns an object's size in bytes, -1 if it is not there.
func (b *Bucket) Size(key string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o, ok := b.objects[key]; ok {
		return o.size
	}
	return -1
}

// Keys returns the keys of the objects, sorted.
func (b *Bucket) Keys() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.objects))
}

// Calls returns how many calls of an operation came.
func (b *Bucket) Calls(operation string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[operation]
}

// refusal is an error of S3.
type refusal struct {
	status        int
	code, message string
	more          string // members of its own, as XML
}

func refuse(status int, code, message string) *refusal {
	return &refusal{status: status, code: code, message: message}
}

// ServeHTTP answers one call.
func (b *Bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation, key := b.operation(r)
	if operation == "" {
		b.t.Errorf("s3test does not know %s %s", r.Method, r.URL.Path)
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	b.mu.Lock()
	b.calls[operation]++
	n := b.calls[operation]
	b.mu.Unlock()
	fault := None
	if b.Hook != nil {
		fault = b.Hook(operation, n)
	}
	switch {
	case fault > 0:
		b.refused(w, refuse(int(fault), "Fault", "as the test wants it"))
		return
	case fault == LateError:
		fmt.Fprint(w, "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>")
		return
	case fault == Cut:
		io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		panic(http.ErrAbortHandler)
	}
	body, problem := b.read(r, operation)
	if problem == nil {
		problem = b.authenticate(r, body)
	}
	if problem == nil {
		var answer func(http.ResponseWriter)
		if answer, problem = b.apply(operation, key, r, body); problem == nil {
			if fault == Lose {
				panic(http.ErrAbortHandler)
			}
			answer(w)
			return
		}
	}
	b.refused(w, problem)
}

func (b *Bucket) refused(w http.ResponseWriter, p *refusal) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(p.status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message>%s</Error>", p.code, p.message, p.more)
}

// operation names the call that a request is, and its object.
func (b *Bucket) operation(r *http.Request) (operation, key string) {
	rest, ours := strings.CutPrefix(r.URL.Path, "/"+b.Name)
	if !ours || rest != "" && rest[0] != '/' {
		return "", ""
	}
	key = strings.TrimPrefix(rest, "/")
	query := r.URL.Query()
	switch on := key != ""; {
	case r.Method == http.MethodPost && on && query.Has("uploads"):
		return "CreateMultipartUpload", key
	case r.Method == http.MethodPost && on && query.Has("uploadId"):
		return "CompleteMultipartUpload", key
	case r.Method == http.MethodPut && on && query.Has("uploadId"):
		return "UploadPart", key
	case r.Method == http.MethodPut && on:
		return "PutObject", key
	case r.Method == http.MethodGet && on && query.Has("uploadId"):
		return "ListParts", key
	case r.Method == http.MethodGet && on:
		return "GetObject", key
	case r.Method == http.MethodHead && on:
		return "HeadObject", key
	case r.Method == http.MethodGet && query.Get("list-type") == "2":
		return "ListObjectsV2", ""
	case r.Method == http.MethodPost && query.Has("delete"):
		return "DeleteObjects", ""
	}
	return "", ""
}

// body is what a request brought.
type body struct {
	content
	md5    []byte
	sha256 string // in hex
}

// read reads the body of a call, of which large ones are not kept if the bucket
// is forgetful.
func (b *Bucket) read(r *http.Request, operation string) (body, *refusal) {
	data := operation == "PutObject" || operation == "UploadPart"
	if data && r.ContentLength < 0 {
		return body{}, refuse(http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	}
	var text strings.Builder
	sums := newSums()
	var w io.Writer = sums
	if !data || !b.Forgetful {
		w = io.MultiWriter(sums, &text)
	}
	n, err := io.Copy(w, r.Body)
	if err != nil {
		return body{}, refuse(http.StatusBadRequest, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header.")
	}
	sum := sums.md5.Sum(nil)
	return body{content{text.String(), n, `"` + hex.EncodeToString(sum) + `"`}, sum, hex.EncodeToString(sums.sha256.Sum(nil))}, nil
}

// apply does what a call asks for, and returns what writes the answer.
func (b *Bucket) apply(operation, key string, r *http.Request, in body) (func(http.ResponseWriter), *refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	query := r.URL.Query()
	var up *upload
	if id := query.Get("uploadId"); query.Has("uploadId") {
		if up = b.uploads[id]; up == nil || up.key != key {
			return nil, refuse(http.StatusNotFound, "NoSuchUpload", "The specified multipart upload does not exist.")
		}
	}
	switch operation {
	case "CreateMultipartUpload":
		id := "upload-" + strconv.Itoa(len(b.uploads)+1) + "/" + strings.Repeat("x", 40) + "+="
		b.uploads[id] = &upload{key: key, parts: map[int]content{}}
		return text("<InitiateMultipartUploadResult><UploadId>" + id + "</UploadId></InitiateMultipartUploadResult>"), nil
	case "UploadPart":
		n, err := strconv.Atoi(query.Get("partNumber"))
		if err != nil || n < 1 || n > 10_000 {
			return nil, refuse(http.StatusBadRequest, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
		}
		up.parts[n] = in.content
		return tagged(in.etag), nil
	case "CompleteMultipartUpload":
		return b.complete(query.Get("uploadId"), up, in)
	case "ListParts":
		return b.listParts(up, query), nil
	case "PutObject":
		b.objects[key] = in.content
		return tagged(in.etag), nil
	case "HeadObject", "GetObject":
		return b.get(key, r)
	case "ListObjectsV2":
		return b.list(query), nil
	}
	return b.remove(in), nil
}

func text(s string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprint(w, s)
	}
}

func tagged(etag string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.Header().Set("ETag", etag) }
}

// complete makes an object of the parts that are named.
func (b *Bucket) complete(id string, up *upload, in body) (func(http.ResponseWriter), *refusal) {
	var wanted struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := xml.Unmarshal([]byte(in.text), &wanted); err != nil || len(wanted.Part) == 0 {
		return nil, refuse(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed")
	}
	var whole content
	var all strings.Builder
	var sums []byte
	for i, want := range wanted.Part {
		if i > 0 && want.PartNumber <= wanted.Part[i-1].PartNumber {
			return nil, refuse(http.StatusBadRequest, "InvalidPartOrder", "The list of parts was not in ascending order.")
		}
		part, ok := up.parts[want.PartNumber]
		if !ok || strings.Trim(part.etag, `"`) != strings.Trim(want.ETag, `"`) {
			return nil, refuse(http.StatusBadRequest, "InvalidPart", "One or more of the specified parts could not be found.")
		}
		if i < len(wanted.Part)-1 && part.size < 5<<20 {
			return nil, refuse(http.StatusBadRequest, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
		}
		all.WriteString(part.text)
		whole.size += part.size
		sum, _ := hex.DecodeString(strings.Trim(part.etag, `"`))
		sums = append(sums, sum...)
	}
	whole.text = all.String()
	of := md5.Sum(sums)
	whole.etag = fmt.Sprintf(`"%x-%d"`, of, len(wanted.Part))
	b.objects[up.key] = whole
	b.uploads[id] = nil // gone; its number is not given again
	return text("<CompleteMultipartUploadResult><ETag>" + whole.etag + "</ETag></CompleteMultipartUploadResult>"), nil
}

type hashes struct{ md5, sha256 hash.Hash }

func (h hashes) Write(p []byte) (int, error) {
	h.md5.Write(p)
	return h.sha256.Write(p)
}
