package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// recorder stands between one function and AWS: it notes each call, as IAM judges
// it, and hands it on as it came, signature and all.
type recorder struct {
	function string
	cloud    *cloud
	server   *http.Server
	url      string

	mu     sync.Mutex
	calls  []call
	before map[string]func() // by operation, once
	denied []string
}

// cloud is what lies behind the recorders.
type cloud struct {
	account, region string
	emulator        *url.URL
	engine          *engine
	mails           *mailbox
}

func (c *cloud) arn(service, rest string) string {
	return "arn:aws:" + service + ":" + c.region + ":" + c.account + ":" + rest
}

// record starts a recorder on a port of its own.
func record(function string, c *cloud) (*recorder, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{function: function, cloud: c, url: "http://" + l.Addr().String(), before: map[string]func(){}}
	r.server = &http.Server{Handler: r}
	go r.server.Serve(l) //nolint:errcheck // it ends with the process
	return r, nil
}

// beforeNext has f done before the next call of an operation, such as
// "dynamodb:UpdateItem", is handed on: what happens in between.
func (r *recorder) beforeNext(operation string, f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before[operation] = f
}

// take returns what was recorded.
func (r *recorder) take() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// scope finds the service in a signature's scope: key/date/region/service/.
var scope = regexp.MustCompile(`Credential=[^/,]+/\d{8}/[^/]+/([a-z0-9-]+)/aws4_request`)

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	signed := req.Header.Get("Authorization")
	if signed == "" {
		signed = "Credential=" + req.URL.Query().Get("X-Amz-Credential") // a presigned URL
	}
	service := ""
	if m := scope.FindStringSubmatch(signed); m != nil {
		service = m[1]
	}
	calls, err := r.read(service, req, body)
	if err != nil {
		http.Error(w, "the rehearsal does not know this call: "+err.Error(), http.StatusNotImplemented)
		r.mu.Lock()
		r.denied = append(r.denied, fmt.Sprintf("%s makes a call that the recorder does not know: %v: teach infra/rehearse/record.go its action and resource", r.function, err))
		r.mu.Unlock()
		return
	}
	r.mu.Lock()
	r.calls = append(r.calls, calls...)
	var hook func()
	if len(calls) > 0 {
		hook = r.before[calls[0].Action]
		delete(r.before, calls[0].Action)
	}
	r.mu.Unlock()
	if hook != nil {
		hook()
	}
	switch service {
	case "batch":
		r.cloud.engine.ServeHTTP(w, req)
		return
	case "ses":
		// The emulator judges SendEmail on "*" and without its condition keys.
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"MessageId":"1"}`)
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = r.cloud.emulator.Scheme, r.cloud.emulator.Host
			p.Out.Host = p.In.Host // it is signed
			// The recorder stands for AWS's endpoints, which are reached by TLS. The
			// bucket's policy denies everything else.
			p.Out.Header.Set("X-Forwarded-Proto", "https")
		},
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusBadRequest {
				text, err := io.ReadAll(resp.Body)
				if err != nil {
					return err
				}
				resp.Body = io.NopCloser(bytes.NewReader(text))
				if bytes.Contains(text, []byte("AccessDenied")) {
					r.mu.Lock()
					denial := fmt.Sprintf("%s was denied %v by the emulator: %.400s", r.function, calls, bytes.ReplaceAll(text, []byte("\n"), nil))
					if !slices.Contains(r.denied, denial) {
						r.denied = append(r.denied, denial)
					}
					r.mu.Unlock()
				}
			}
			return nil
		},
	}
	proxy.ServeHTTP(w, req)
}

// read says what a request asks for.
func (r *recorder) read(service string, req *http.Request, body []byte) ([]call, error) {
	c := r.cloud
	switch service {
	case "dynamodb":
		return readDynamo(c, req, body)
	case "s3":
		return readS3(req, body)
	case "batch":
		return readBatch(c, req, body)
	case "ses":
		return r.readMail(req, body)
	}
	return nil, fmt.Errorf("%s %s of service %q", req.Method, req.URL.Path, service)
}

func readDynamo(c *cloud, req *http.Request, body []byte) ([]call, error) {
	_, operation, ok := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	var in struct {
		TableName, IndexName string
		RequestItems         map[string]json.RawMessage
	}
	if err := json.Unmarshal(body, &in); err != nil || !ok {
		return nil, fmt.Errorf("DynamoDB's %q: %v", req.Header.Get("X-Amz-Target"), err)
	}
	if in.TableName != "" {
		in.RequestItems = map[string]json.RawMessage{in.TableName: nil}
	}
	var all []call
	for _, table := range slices.Sorted(maps.Keys(in.RequestItems)) {
		resource := c.arn("dynamodb", "table/"+table)
		if in.IndexName != "" {
			resource += "/index/" + in.IndexName
		}
		all = append(all, call{Action: "dynamodb:" + operation, Resource: resource})
	}
	return all, nil
}

// readS3 reads a request whose path begins with the bucket. The actions are those
// of the service authorization reference: a HeadObject asks for s3:GetObject, and
// what makes an object of parts for s3:PutObject.
func readS3(req *http.Request, body []byte) ([]call, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	query := req.URL.Query()
	resource := "arn:aws:s3:::" + bucket
	one := func(action string) ([]call, error) { return []call{{Action: "s3:" + action, Resource: resource}}, nil }
	if key == "" {
		switch {
		case req.Method == http.MethodGet && (query.Has("list-type") || len(query) == 0):
			return one("ListBucket")
		case req.Method == http.MethodPost && query.Has("delete"):
			var in struct {
				Object []struct{ Key string }
			}
			if err := xml.Unmarshal(body, &in); err != nil {
				return nil, fmt.Errorf("S3's DeleteObjects: %w", err)
			}
			var all []call
			for _, o := range in.Object {
				all = append(all, call{Action: "s3:DeleteObject", Resource: resource + "/" + o.Key})
			}
			return all, nil
		}
		return nil, fmt.Errorf("S3's %s of a bucket with %v", req.Method, query)
	}
	resource += "/" + key
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		if query.Has("uploadId") {
			return one("ListMultipartUploadParts")
		}
		return one("GetObject")
	case http.MethodPut, http.MethodPost:
		return one("PutObject")
	case http.MethodDelete:
		if query.Has("uploadId") {
			return one("AbortMultipartUpload")
		}
		return one("DeleteObject")
	}
	return nil, fmt.Errorf("S3's %s of an object", req.Method)
}

func readBatch(c *cloud, req *http.Request, body []byte) ([]call, error) {
	var in struct{ JobQueue, JobDefinition, JobId string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("Batch's %s: %w", req.URL.Path, err)
	}
	named := func(kind, name string) string {
		if strings.HasPrefix(name, "arn:") {
			return name
		}
		return c.arn("batch", kind+"/"+name)
	}
	switch req.URL.Path {
	case "/v1/submitjob":
		definition := named("job-definition", in.JobDefinition)
		all := []call{{Action: "batch:SubmitJob", Resource: named("job-queue", in.JobQueue)}, {Action: "batch:SubmitJob", Resource: definition}}
		if !regexp.MustCompile(`:\d+$`).MatchString(definition) {
			// AWS does not say which of the two it asks for where no revision is
			// named.
			all = append(all, call{Action: "batch:SubmitJob", Resource: definition + ":1"})
		}
		return all, nil
	case "/v1/listjobs":
		return []call{{Action: "batch:ListJobs", Resource: "*"}}, nil
	case "/v1/terminatejob":
		return []call{{Action: "batch:TerminateJob", Resource: c.arn("batch", "job/"+in.JobId)}}, nil
	}
	return nil, fmt.Errorf("Batch's %s", req.URL.Path)
}

func (r *recorder) readMail(req *http.Request, body []byte) ([]call, error) {
	var in struct {
		FromEmailAddress string
		Destination      struct{ ToAddresses []string }
		Content          struct {
			Simple struct {
				Body struct{ Text struct{ Data string } }
			}
		}
	}
	if err := json.Unmarshal(body, &in); err != nil || req.URL.Path != "/v2/email/outbound-emails" {
		return nil, fmt.Errorf("SES's %s: %v", req.URL.Path, err)
	}
	r.cloud.mails.put(in.Content.Simple.Body.Text.Data)
	return []call{{
		Action: "ses:SendEmail", Resource: r.cloud.arn("ses", "identity/"+in.FromEmailAddress),
		Keys: map[string]string{"ses:FromAddress": in.FromEmailAddress},
	}}, nil
}

// mailbox keeps the last mail.
type mailbox struct {
	mu   sync.Mutex
	text string
}

func (m *mailbox) put(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = text
}

func (m *mailbox) last() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text
}
