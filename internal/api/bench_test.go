package api_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"rekindle/internal/api"
	"rekindle/internal/dynamo"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
	"rekindle/internal/token"
)

// canned answers every request with one body, as a database without latency.
type canned string

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return dynamotest.Answer(200, string(c)), nil
}

// memory answers from values: a handler without the client either.
type memory struct {
	session *project.Session
	p       *project.Project
	tenant  *project.Tenant
}

func (m memory) Load(context.Context, string, project.Key) (*project.Session, *project.Project, *project.Tenant, error) {
	return m.session, m.p, m.tenant, nil
}
func (m memory) TouchSession(context.Context, string, time.Time) error { return nil }
func (m memory) TakeTrialSlot(context.Context, *project.Tenant, project.Start) (*project.Project, error) {
	return m.p, nil
}
func (m memory) Start(context.Context, project.Start) (*project.Project, error) { return m.p, nil }
func (m memory) Settle(context.Context, project.Settlement) (*project.Project, error) {
	return m.p, nil
}
func (m memory) Claim(context.Context, project.Ref, project.Claim, time.Time) (*project.Project, error) {
	return m.p, nil
}
func (m memory) Heartbeat(context.Context, project.Ref, string, *project.Progress, time.Time) (*project.Project, error) {
	return m.p, nil
}
func (m memory) KeepLate(context.Context, project.Ref, string, project.Late) error { return nil }
func (m memory) Get(context.Context, project.Key) (*project.Project, error)        { return m.p, nil }

// remembered is a tenant with a project in some status.
func remembered(status project.Status) memory {
	m := memory{
		session: &project.Session{TenantID: "acme", ExpiresAt: noon.Add(time.Hour), LastSeen: noon},
		tenant:  &project.Tenant{ID: "acme", Subscription: project.Active},
		p:       &project.Project{Key: key("site"), UID: "u", Name: "N", Description: "D", Objectives: "O", ActivationCode: "h", Status: status},
	}
	if status != project.Pending {
		m.p.ExecutionID, m.p.Attempt, m.p.StartedAt = 77, 1, noon
		a := project.Attempt{ExecutionID: 77, Number: 1, StartedAt: noon}
		if status == project.Failed {
			m.p.CompletedAt, m.p.Error = noon, "it broke"
			a.CompletedAt, a.Outcome, a.Error = noon, project.OutcomeFailed, "it broke"
		}
		m.p.Attempts = map[int64]project.Attempt{77: a}
	}
	return m
}

func measure(b *testing.B, h *api.Handler) {
	measureCall(b, h, eventOf(b, action("status", "site")), 300)
}

// measureCall measures a call whose answer has so many bytes at least.
func measureCall(b *testing.B, h *api.Handler, payload []byte, least int) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		out, err := h.Invoke(context.Background(), payload)
		if err != nil || len(out) < least || !strings.HasPrefix(string(out), `{"statusCode":200,`) {
			b.Fatalf("%v %s", err, out)
		}
	}
}

var quiet = api.Options{Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)}

// BenchmarkStatusHandler is a status request without database and client.
func BenchmarkStatusHandler(b *testing.B) {
	measure(b, api.NewStatus(remembered(project.Failed), project.DefaultTimeout, quiet))
}

// idle is an engine that forgets at once what it was asked.
type idle struct{}

func (idle) Launch(context.Context, project.Ref) (string, error)   { return "job-1", nil }
func (idle) Lookup(context.Context, project.Ref) ([]string, error) { return nil, nil }

// BenchmarkRunHandler is a run without database, client and engine.
func BenchmarkRunHandler(b *testing.B) {
	measureCall(b, api.NewRun(remembered(project.Pending), idle{}, "/out", quiet), eventOf(b, action("run", "site")), 200)
}

// BenchmarkRestartHandler is a restart without database, client and engine.
func BenchmarkRestartHandler(b *testing.B) {
	measureCall(b, api.NewRestart(remembered(project.Failed), idle{}, "/out", quiet), eventOf(b, action("restart", "site")), 200)
}

// BenchmarkHeartbeatHandler is a heartbeat with its progress, the commonest of
// all calls, without database and client: its token is checked.
func BenchmarkHeartbeatHandler(b *testing.B) {
	keys, err := token.NewKeyring(strings.Repeat("k", token.MinSecret))
	if err != nil {
		b.Fatal(err)
	}
	m := remembered(project.Running)
	h := api.NewWorker(m, api.WorkerConfig{Keys: keys, Timeout: project.DefaultTimeout, Heartbeat: 30 * time.Second}, quiet)
	event := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "POST /api/worker/executions/{execution_id}/heartbeat", PathParameters: map[string]string{"execution_id": "77"},
		Headers: map[string]string{"authorization": "Bearer " + keys.Mint(token.Report, m.p.Ref(), "runner-1"), "content-type": "application/json"},
		Body:    `{"progress":{"percent":40,"message":"Generating pages"}}`,
	}
	payload, err := json.Marshal(event)
	if err != nil {
		b.Fatal(err)
	}
	measureCall(b, h, payload, 100)
}

// BenchmarkStatusThroughClient is the same through the DynamoDB client, its
// signing, encoding and decoding, with a transport that answers at once.
func BenchmarkStatusThroughClient(b *testing.B) {
	env := map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
	client, err := dynamo.ClientFromEnv(
		func(n string) (string, bool) { v, ok := env[n]; return v, ok },
		func(o *dynamodb.Options) {
			o.HTTPClient = &http.Client{Transport: canned(`{"Responses":{"S":[{"token_hash":{"S":"h"},"tenant_id":{"S":"acme"},"expires_at":{"S":"2026-03-01T13:00:00.000Z"},"last_seen":{"S":"2026-03-01T12:00:00.000Z"},"ttl":{"N":"1772370000"}}],"T":[{"tenant_id":{"S":"acme"},"record":{"S":"tenant"},"subscription_state":{"S":"active"}}],"P":[{"tenant_id":{"S":"acme"},"project_id":{"S":"site"},"project_uid":{"S":"u"},"version":{"N":"3"},"name":{"S":"N"},"description":{"S":"D"},"objectives":{"S":"O"},"activation_code_hash":{"S":"h"},"execution_status":{"S":"failed"},"execution_id":{"N":"77"},"attempt":{"N":"1"},"execution_started_at":{"S":"2026-03-01T11:00:00.000Z"},"execution_completed_at":{"S":"2026-03-01T11:30:00.000Z"},"execution_error":{"S":"it broke"},"attempts":{"M":{"77":{"M":{"number":{"N":"1"},"started_at":{"S":"2026-03-01T11:00:00.000Z"},"completed_at":{"S":"2026-03-01T11:30:00.000Z"},"outcome":{"S":"failed"},"error":{"S":"it broke"}}}}}}]},"UnprocessedKeys":{}}`)}
		})
	if err != nil {
		b.Fatal(err)
	}
	store := dynamo.New(client, dynamo.Tables{Projects: "P", Tenants: "T", Sessions: "S"})
	measure(b, api.NewStatus(store, project.DefaultTimeout, quiet))
}

// BenchmarkCalls counts the requests to DynamoDB that each call makes, on a real
// database: the number that is paid for, and waited for.
func BenchmarkCalls(b *testing.B) {
	for _, c := range []struct {
		name, verb string
		status     project.Status
		tenant     project.Subscription
	}{
		{"status", "status", project.Failed, project.Active},
		{"run", "run", project.Pending, project.Active},
		{"restart", "restart", project.Failed, project.Active},
		{"trial-run", "run", project.Pending, project.Trialing},
	} {
		b.Run(c.name, func(b *testing.B) {
			db := dynamotest.Open(b)
			if _, err := db.PutTenant(b.Context(), &project.Tenant{ID: "acme", Slug: "acme", Subscription: c.tenant}); err != nil {
				b.Fatal(err)
			}
			s := &project.Session{TokenHash: project.Hash(sessionToken), TenantID: "acme", ExpiresAt: noon.Add(time.Hour), LastSeen: noon}
			if _, err := db.PutSession(b.Context(), s, noon); err != nil {
				b.Fatal(err)
			}
			e := &engine{alive: map[int64][]string{}}
			handlers := map[string]*api.Handler{
				"run": api.NewRun(db, e, "/out", quiet), "restart": api.NewRestart(db, e, "/out", quiet), "status": api.NewStatus(db, project.DefaultTimeout, quiet),
			}
			calls, n := 0, 0
			for b.Loop() {
				b.StopTimer()
				n++
				id := "p" + strconv.Itoa(n)
				p := &project.Project{Key: key(id), UID: "u" + id, Version: 1, Name: "N", Description: "D", Objectives: "O", ActivationCode: "h", Status: c.status}
				if c.status == project.Failed {
					p.ExecutionID, p.Attempt, p.Attempts = 77, 1, map[int64]project.Attempt{77: {ExecutionID: 77, Number: 1, StartedAt: noon}}
				}
				if _, err := db.PutProject(b.Context(), p); err != nil {
					b.Fatal(err)
				}
				payload := eventOf(b, action(c.verb, id))
				db.Wire.Set(nil)
				b.StartTimer()
				out, err := handlers[c.verb].Invoke(b.Context(), payload)
				if err != nil || !strings.Contains(string(out), `"statusCode":200`) {
					b.Fatalf("%v %s", err, out)
				}
				b.StopTimer()
				for _, made := range db.Wire.Calls() {
					calls += made
				}
				if c.tenant == project.Trialing { // the next one may run too
					if _, err := db.Settle(b.Context(), project.Settlement{Ref: db.Read(b, key(id)).Ref(), Event: project.Fail, Error: "e", At: noon, Token: "t"}); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(calls)/float64(b.N), "calls/op")
		})
	}
}

func eventOf(b *testing.B, c call) []byte {
	b.Helper()
	event := events.APIGatewayV2HTTPRequest{Version: "2.0", RouteKey: c.route, Headers: c.headers, PathParameters: c.params}
	event.RequestContext.RequestID = "req-1"
	payload, err := json.Marshal(event)
	if err != nil {
		b.Fatal(err)
	}
	return payload
}
