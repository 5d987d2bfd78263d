package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// callWithin is how long a call may take: more than a function may (20 seconds).
const callWithin = 30 * time.Second

// Client calls a stack's API.
type Client struct {
	url  string
	http *http.Client
}

// NewClient makes a client that keeps up to conns connections.
func NewClient(url string, conns int) *Client {
	return &Client{url: url, http: &http.Client{
		Timeout:   callWithin,
		Transport: &http.Transport{MaxIdleConns: conns, MaxIdleConnsPerHost: conns},
	}}
}

// Call is one request. Session and Bearer, Key, IfMatch and Body may be empty.
type Call struct {
	Method, Path string
	Session      string // X-Session-Token
	Bearer       string // Authorization
	Key          string // Idempotency-Key
	IfMatch      string
	Body         any
}

// Answer is what came of it.
type Answer struct {
	Status     int
	ETag       string
	RetryAfter string
	Body       []byte
}

// Code is the refusal's code; empty where there is none.
func (a Answer) Code() string {
	var body struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.Body, &body)
	return body.Code
}

// Into decodes the answer's body.
func (a Answer) Into(v any) error {
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fmt.Errorf("an answer of %d that is not the JSON it should be: %w", a.Status, err)
	}
	return nil
}

// Do makes a call. Its error is that no whole answer came: nobody knows whether
// the call was heard.
func (c *Client) Do(ctx context.Context, call Call) (Answer, error) {
	var body io.Reader
	if call.Body != nil {
		text, err := json.Marshal(call.Body)
		if err != nil {
			return Answer{}, fmt.Errorf("encoding a request: %w", err)
		}
		body = strings.NewReader(string(text))
	}
	req, err := http.NewRequestWithContext(ctx, call.Method, c.url+call.Path, body)
	if err != nil {
		return Answer{}, fmt.Errorf("making a request: %w", err)
	}
	for name, value := range map[string]string{
		"X-Session-Token": call.Session, "Idempotency-Key": call.Key, "If-Match": call.IfMatch,
	} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if call.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+call.Bearer)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	// The transport would send some requests again by itself; a proof decides
	// that for itself.
	req.GetBody = nil
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{}, fmt.Errorf("%s %s: %w", call.Method, call.Path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("%s %s: %w", call.Method, call.Path, err)
	}
	return Answer{resp.StatusCode, resp.Header.Get("ETag"), resp.Header.Get("Retry-After"), text}, nil
}

// Status is what the proofs read of a project's status.
type Status struct {
	ProjectID   string    `json:"project_id"`
	Status      string    `json:"execution_status"`
	ExecutionID int64     `json:"execution_id"`
	Attempt     int       `json:"attempt"`
	ClaimedAt   string    `json:"claimed_at"`
	CompletedAt string    `json:"execution_completed_at"`
	Error       string    `json:"execution_error"`
	Attempts    []Attempt `json:"attempts"`
}

// Attempt is one of its attempts.
type Attempt struct {
	ExecutionID int64  `json:"execution_id"`
	Attempt     int    `json:"attempt"`
	Outcome     string `json:"outcome"`
	Error       string `json:"error"`
	StartedAt   string `json:"started_at"`
	CompletedAt string `json:"completed_at"`
	Late        *struct {
		Outcome string `json:"outcome"`
	} `json:"late_result"`
}

// Of returns the attempt of an execution.
func (s Status) Of(executionID int64) (Attempt, bool) {
	for _, a := range s.Attempts {
		if a.ExecutionID == executionID {
			return a, true
		}
	}
	return Attempt{}, false
}

// Started is the answer to run and restart.
type Started struct {
	ExecutionID int64  `json:"execution_id"`
	Status      string `json:"status"`
	Output      string `json:"output_folder_path"`
}

// Summary is a project in a list.
type Summary struct {
	ProjectID string `json:"project_id"`
	Status    string `json:"execution_status"`
	Attempt   int    `json:"attempt"`
	Version   int64  `json:"version"`
}

// List reads all of a tenant's projects, page after page.
func (c *Client) List(ctx context.Context, session string) ([]Summary, error) {
	var all []Summary
	cursor := ""
	for {
		path := "/api/tenant/projects?limit=100"
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		answer, err := c.Do(ctx, Call{Method: http.MethodGet, Path: path, Session: session})
		if err != nil {
			return nil, err
		}
		if answer.Status != http.StatusOK {
			return nil, fmt.Errorf("the list was answered with %d %s", answer.Status, answer.Body)
		}
		var page struct {
			Projects []Summary `json:"projects"`
			Next     string    `json:"next_cursor"`
		}
		if err := answer.Into(&page); err != nil {
			return nil, err
		}
		all = append(all, page.Projects...)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}
