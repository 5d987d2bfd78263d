package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxAnswer is how many bytes of an answer are read. The largest is a grant:
// what a database item of 400 KB holds, of which JSON may write each byte as
// six.
const maxAnswer = 4 << 20

// refusal is an answer of the API that asking again does not change.
type refusal struct {
	Status int    `json:"-"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the API answered %d %s: %s", r.Status, r.Code, r.Detail)
}

// refused returns the status of the [refusal] in err's chain, or 0.
func refused(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.Status
	}
	return 0
}

// final is an error that trying again does not change, though it is none of the
// API's refusals. It is a sentence for tenants.
type final struct{ sentence string }

func (f *final) Error() string { return f.sentence }

// isFinal says whether trying again is of no use.
func isFinal(err error) bool {
	var f *final
	return refused(err) != 0 || errors.As(err, &f)
}

// client makes the worker calls for one execution.
type client struct {
	http       *http.Client
	executions string // the address that the calls of the execution start with
	retryFirst time.Duration
	retryMost  time.Duration
	log        *slog.Logger
}

func newClient(cfg Config, executionID int64) *client {
	return &client{
		http: &http.Client{
			Timeout: cfg.RequestTimeout,
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				ForceAttemptHTTP2:   true,
				MaxIdleConns:        2,
				IdleConnTimeout:     90 * time.Second,
				TLSHandshakeTimeout: cfg.RequestTimeout,
			},
			// The token is for the configured address and no other.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		executions: strings.TrimRight(cfg.APIURL, "/") + "/api/worker/executions/" + strconv.FormatInt(executionID, 10),
		retryFirst: cfg.RetryFirst,
		retryMost:  cfg.RetryMost,
		log:        cfg.Logger,
	}
}

// post makes one call and decodes its answer into out. A 4xx is a [refusal].
// Whatever else goes wrong may pass: the network, a 5xx, 408 and 429, and what
// is not our API's way of speaking (a redirect, a page where JSON belongs) and
// comes from something in front of it.
func (c *client) post(ctx context.Context, call, token string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode %s: %w", call, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.executions+"/"+call, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make %s: %w", call, err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "rekindle-runner")
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("send %s: %w", call, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("read the answer to %s: %w", call, err)
	}
	if len(answer) > maxAnswer {
		return fmt.Errorf("the answer to %s is larger than %d bytes", call, maxAnswer)
	}
	switch s := res.StatusCode; {
	case s/100 == 2:
		if err := json.Unmarshal(answer, out); err != nil {
			return fmt.Errorf("decode the answer to %s: %w", call, err)
		}
		return nil
	case s/100 == 4 && s != http.StatusTooManyRequests && s != http.StatusRequestTimeout:
		r := &refusal{}
		_ = json.Unmarshal(answer, r) // a gateway's own page has no detail; the status says enough
		r.Status = s
		return r
	default:
		return fmt.Errorf("%s was answered with status %d", call, s)
	}
}

// retry repeats do until it succeeds, its error is final, or until or ctx is
// done; it is tried once in any case. It returns do's last error.
func (c *client) retry(ctx context.Context, until <-chan struct{}, do func() error) error {
	wait := c.retryFirst
	for {
		err := do()
		if err == nil || isFinal(err) {
			return err
		}
		pause := wait - rand.N(wait/2+1) // so that runners that lost the API together don't come back together
		c.log.Warn("a call failed and is made again", "error", err, "retry_in_ms", pause.Milliseconds())
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-until:
			timer.Stop()
			return err
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		wait = min(2*wait, c.retryMost)
	}
}
