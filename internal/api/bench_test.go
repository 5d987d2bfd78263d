package api_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"rekindle/internal/api"
	"rekindle/internal/dynamo"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
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

func statusEvent(b *testing.B) []byte {
	b.Helper()
	event := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "GET /api/tenant/projects/{project_id}/status",
		Headers:        map[string]string{"x-session-token": sessionToken, "host": "api.example.com", "accept": "*/*", "user-agent": "bench"},
		PathParameters: map[string]string{"project_id": "site"},
	}
	event.RequestContext.RequestID = "req-1"
	payload, err := json.Marshal(event)
	if err != nil {
		b.Fatal(err)
	}
	return payload
}

func measure(b *testing.B, h *api.Handler) {
	payload := statusEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		out, err := h.Invoke(context.Background(), payload)
		if err != nil || len(out) < 300 {
			b.Fatalf("%v %s", err, out)
		}
	}
}

var quiet = api.Options{Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)}

// BenchmarkStatusHandler is a status request without database and client.
func BenchmarkStatusHandler(b *testing.B) {
	measure(b, api.NewStatus(memory{
		session: &project.Session{TenantID: "acme", ExpiresAt: noon.Add(time.Hour), LastSeen: noon},
		tenant:  &project.Tenant{ID: "acme", Subscription: project.Active},
		p: &project.Project{
			Key: key("site"), UID: "u", Name: "N", Description: "D", Objectives: "O", ActivationCode: "h", Status: project.Failed,
			ExecutionID: 77, Attempt: 1, StartedAt: noon, CompletedAt: noon, Error: "it broke",
			Attempts: map[int64]project.Attempt{77: {ExecutionID: 77, Number: 1, StartedAt: noon, CompletedAt: noon, Outcome: project.OutcomeFailed, Error: "it broke"}},
		},
	}, project.DefaultTimeout, quiet))
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
