// Package dynamotest opens a store over a real DynamoDB server for a test: the
// tables of template.yaml, under names of the test's own, and a wire between
// client and server on which replies can be lost.
package dynamotest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/dynalite/dynalitetest"
	"rekindle/internal/dynamo"
	"rekindle/internal/dynamo/schema"
	"rekindle/internal/project"
	"rekindle/internal/template"
)

// DB is a store over tables of its own.
type DB struct {
	*dynamo.Store
	Client *dynamodb.Client
	Tables dynamo.Tables
	Wire   *Wire
}

var prefixes atomic.Int64

// Endpoint returns the server that the tests use: dynalite, or moto where
// REKINDLE_TEST_DATABASE says so.
func Endpoint(t testing.TB) string {
	t.Helper()
	switch name := os.Getenv("REKINDLE_TEST_DATABASE"); name {
	case "", "dynalite":
		return dynalitetest.ForTest(t)
	case "moto":
		return motoEndpoint(t)
	default:
		t.Fatalf("REKINDLE_TEST_DATABASE is %q: it is dynalite or moto", name)
		return ""
	}
}

// Open makes the tables and the store.
func Open(t testing.TB) *DB {
	t.Helper()
	endpoint := Endpoint(t)
	env := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		dynamo.EndpointSetting: endpoint,
	}
	wire := &Wire{next: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(wire.next.CloseIdleConnections)
	client, err := dynamo.ClientFromEnv(
		func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		func(o *dynamodb.Options) {
			o.HTTPClient = &http.Client{Transport: wire}
			o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
				r.MaxAttempts, r.MaxBackoff, r.RateLimiter = 4, time.Millisecond, unlimited{}
			})
		})
	if err != nil {
		t.Fatal(err)
	}
	prefix := fmt.Sprintf("t%d-%d-", os.Getpid(), prefixes.Add(1))
	tmpl, err := template.Open(filepath.Join(Root(t), "template.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tmpl.Tables {
		if err := schema.Create(t.Context(), client, table, prefix+table.LogicalID); err != nil {
			t.Fatal(err)
		}
	}
	tables := dynamo.Tables{
		Projects: prefix + "ProjectsTable", Tenants: prefix + "TenantsTable", Sessions: prefix + "SessionsTable", Sweeps: prefix + "SweepsTable",
	}
	return &DB{Store: dynamo.New(client, tables), Client: client, Tables: tables, Wire: wire}
}

// Root returns the folder of go.mod.
func Root(t testing.TB) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the test's folder")
		}
	}
}

// unlimited lets a test retry as often as it likes: the client's retry quota is
// meant for a process's whole life.
type unlimited struct{}

func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (unlimited) AddTokens(uint) error { return nil }

// Insert puts a project, as it stands.
func (db *DB) Insert(t testing.TB, p *project.Project) *project.Project {
	t.Helper()
	if inserted, err := db.PutProject(t.Context(), p); err != nil || !inserted {
		t.Fatalf("inserting project %s: inserted %t, %v", p.ProjectID, inserted, err)
	}
	return p
}

// Read returns a project as it is, failing the test if it is not there.
func (db *DB) Read(t testing.TB, key project.Key) *project.Project {
	t.Helper()
	p, err := db.Get(context.WithoutCancel(t.Context()), key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Item returns a project's raw item; nil if there is none.
func (db *DB) Item(t testing.TB, key project.Key) map[string]types.AttributeValue {
	t.Helper()
	out, err := db.Client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &db.Tables.Projects, ConsistentRead: aws.Bool(true), Key: keyOf(key),
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Item
}

// Delete removes a project.
func (db *DB) Delete(t testing.TB, key project.Key) {
	t.Helper()
	if _, err := db.Client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &db.Tables.Projects, Key: keyOf(key)}); err != nil {
		t.Fatal(err)
	}
}

func keyOf(key project.Key) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"tenant_id":  &types.AttributeValueMemberS{Value: key.TenantID},
		"project_id": &types.AttributeValueMemberS{Value: key.ProjectID},
	}
}

// Nominated returns what the index holds, of every shard.
func (db *DB) Nominated(t testing.TB, before time.Time) []project.Candidate {
	t.Helper()
	var all []project.Candidate
	for shard := range project.Shards {
		for page, err := range db.RunningSince(t.Context(), shard, before) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, page...)
		}
	}
	return all
}

// Wire carries the client's requests to the server. Its hooks are asked for
// each request, by its operation ("UpdateItem") and its number among those of
// that operation since the last Reset, from 1.
type Wire struct {
	next *http.Transport

	mu    sync.Mutex
	calls map[string]int
	hook  Hook
}

// Hook may answer a request in the server's stead, before or after calling next.
type Hook func(operation string, number int, next func() (*http.Response, error)) (*http.Response, error)

// ErrLost is the connection that broke.
var ErrLost = errors.New("the connection was lost")

// Set installs a hook, and starts counting anew. Nil removes it.
func (w *Wire) Set(h Hook) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook, w.calls = h, nil
}

// Calls returns how many requests were made of each operation since Set.
func (w *Wire) Calls() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[string]int, len(w.calls))
	for k, v := range w.calls {
		out[k] = v
	}
	return out
}

// LoseReply makes the server apply the n-th request of an operation, and loses
// its answer.
func (w *Wire) LoseReply(operation string, n int) {
	w.Set(func(op string, number int, next func() (*http.Response, error)) (*http.Response, error) {
		resp, err := next()
		if op == operation && number == n && err == nil {
			return Drop(resp)
		}
		return resp, err
	})
}

// Lost returns what a client sees of a connection that broke: an error that the
// SDK retries.
func Lost() error { return &lost{} }

// Drop loses an answer that the server gave.
func Drop(resp *http.Response) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return nil, Lost()
}

// lost is what a client sees of a connection that broke while it waited: an
// error that the SDK retries.
type lost struct{}

func (*lost) Error() string   { return ErrLost.Error() }
func (*lost) Unwrap() error   { return ErrLost }
func (*lost) Temporary() bool { return true }
func (*lost) Timeout() bool   { return true }

// RoundTrip is the http.RoundTripper.
func (w *Wire) RoundTrip(r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	w.mu.Lock()
	if w.calls == nil {
		w.calls = map[string]int{}
	}
	w.calls[operation]++
	number, hook := w.calls[operation], w.hook
	w.mu.Unlock()
	next := func() (*http.Response, error) { return w.next.RoundTrip(r) }
	if hook == nil {
		return next()
	}
	return hook(operation, number, next)
}

// Answer makes a response in the server's stead.
func Answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(bytes.NewReader([]byte(body))), ContentLength: int64(len(body)),
	}
}
