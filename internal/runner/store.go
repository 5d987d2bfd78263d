package runner

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"time"
)

// store sends to presigned URLs. Such a URL is a permission: it stands in no log
// and no error.
type store struct {
	http  *http.Client
	stall time.Duration
}

func newStore(cfg Config) *store {
	return &store{
		// No timeout: how long a part takes is the network's to say. It has to
		// make headway.
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         (&net.Dialer{Timeout: cfg.RequestTimeout}).DialContext,
				MaxIdleConns:        2,
				IdleConnTimeout:     30 * time.Second,
				TLSHandshakeTimeout: cfg.RequestTimeout,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		stall: cfg.Stall,
	}
}

// storeRefusal is an answer of the store that is no success.
type storeRefusal struct {
	status int
	code   string // S3's word, may be empty
}

func (r *storeRefusal) Error() string {
	if r.code == "" {
		return fmt.Sprintf("the store answered with status %d", r.status)
	}
	return fmt.Sprintf("the store answered with status %d, %s", r.status, r.code)
}

// passes says whether the store was only slow or busy.
func (r *storeRefusal) passes() bool {
	return r.status >= 500 || r.status == http.StatusRequestTimeout || r.status == http.StatusTooManyRequests || r.code == "RequestTimeout"
}

var errStalled = errors.New("the upload made no headway")

// put sends data to a URL, with a checksum that the store holds it to.
func (s *store) put(ctx context.Context, address string, data []byte) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(s.stall, func() { cancel(errStalled) })
	defer stalled.Stop()
	body := &watched{bytes.NewReader(data), func() { stalled.Reset(s.stall) }}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address, body)
	if err != nil {
		return errors.New("the store's address is not one")
	}
	req.ContentLength = int64(len(data))
	sum := md5.Sum(data)
	req.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
	req.Header.Set("User-Agent", "rekindle-runner")
	res, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("send to the store: %w", unaddressed(ctx, err))
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if res.StatusCode/100 == 2 {
		return nil // an answer that was cut off is one all the same
	}
	refused := &storeRefusal{status: res.StatusCode}
	if err == nil {
		refused.code = storeCode(answer)
	}
	return refused
}

// unaddressed takes the URL out of an error, and says why the request was ended.
func unaddressed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var with *url.Error
	if errors.As(err, &with) {
		return with.Err
	}
	return err
}

var codeForm = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

// storeCode returns S3's word for its refusal, empty where there is none.
func storeCode(answer []byte) string {
	var said struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
	}
	if xml.Unmarshal(answer, &said) != nil || !codeForm.MatchString(said.Code) {
		return ""
	}
	return said.Code
}

// watched tells of each reading.
type watched struct {
	io.Reader
	read func()
}

func (w *watched) Read(p []byte) (int, error) {
	w.read()
	return w.Reader.Read(p)
}
