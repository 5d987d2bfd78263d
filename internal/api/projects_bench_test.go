package api_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"rekindle/internal/api"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
)

// thousand is the projects function over a real database that holds a thousand
// projects of tenant acme, with texts of some size. Only their oldest mentions a
// needle.
func thousand(b *testing.B) *api.Handler {
	b.Helper()
	db := dynamotest.Open(b)
	now := time.Now()
	var wg sync.WaitGroup
	for part := range 10 {
		wg.Go(func() {
			for i := part * 100; i < part*100+100; i++ {
				p := &project.Project{
					Key: key(fmt.Sprintf("p%03d", i)), UID: project.NewToken(), Version: 1, Status: project.Pending,
					Name: "Site", Description: "A site", Objectives: strings.Repeat("An objective of some length.\n", 40),
					CreatedAt: now.Add(time.Duration(i) * time.Second),
				}
				if i == 0 {
					p.Objectives += "needle"
				}
				if _, err := db.PutProject(b.Context(), p); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	sess := &project.Session{TokenHash: project.Hash(sessionToken), TenantID: "acme", ExpiresAt: now.Add(project.SessionLife), LastSeen: now}
	if _, err := db.PutSession(b.Context(), sess, now); err != nil {
		b.Fatal(err)
	}
	hasher, err := project.NewHasher(strings.Repeat("h", 32))
	if err != nil {
		b.Fatal(err)
	}
	return api.NewProjects(db, &engine{}, hasher, api.ProjectsConfig{Timeout: project.DefaultTimeout}, api.Options{Log: slog.New(slog.DiscardHandler)})
}

func BenchmarkListOfAThousandProjects(b *testing.B) {
	h := thousand(b)
	for name, query := range map[string]map[string]string{
		"page":   {},
		"search": {"search": "needle"},
		"status": {"status": "failed"},
	} {
		b.Run(name, func(b *testing.B) {
			event := events.APIGatewayV2HTTPRequest{
				Version: "2.0", RouteKey: "GET " + allProjects, QueryStringParameters: query,
				Headers: map[string]string{"x-session-token": sessionToken},
			}
			payload, err := json.Marshal(event)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				out, err := h.Invoke(b.Context(), payload)
				if err != nil || !strings.Contains(string(out), `"statusCode":200`) {
					b.Fatalf("%v %.300s", err, out)
				}
			}
		})
	}
}
