package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
)

// The store writes projects one at a time, and the local database takes a
// thousand or two a second. Where hundreds of thousands are needed, one is
// written in the store's own form, and fill.mjs copies it into the database's
// folder while the database does not run.

// scribe is a store's client that goes nowhere: it remembers what would have been
// written.
type scribe struct{ wrote json.RawMessage }

// RoundTrip keeps the item of a PutItem, and answers that it was written.
func (s *scribe) RoundTrip(r *http.Request) (*http.Response, error) {
	var in struct{ Item json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	s.wrote = in.Item
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), ContentLength: 2}, nil
}

// storedForm is a project as the store would write it.
func storedForm(ctx context.Context, p *project.Project) (json.RawMessage, error) {
	s := &scribe{}
	settings := map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
	client, err := dynamo.ClientFromEnv(
		func(name string) (string, bool) { v, set := settings[name]; return v, set },
		func(o *dynamodb.Options) { o.HTTPClient = &http.Client{Transport: s} },
	)
	if err != nil {
		return nil, err
	}
	if _, err := dynamo.New(client, dynamo.Tables{Projects: projectsTable}).PutProject(ctx, p); err != nil {
		return nil, err
	}
	if s.wrote == nil {
		return nil, errors.New("the store wrote a project otherwise than by PutItem")
	}
	return s.wrote, nil
}

// copies says which copies of a project there are to be: those numbered from one
// number on and before another.
type copies struct {
	of       *project.Project
	prefix   string // of tenants and projects
	from, to int
}

// fill writes copies of projects into the folder of a database that does not
// run. Those that are there are written over.
func fill(ctx context.Context, folder string, all ...copies) error {
	for _, c := range all {
		if c.from == c.to {
			continue
		}
		item, err := storedForm(ctx, c.of)
		if err != nil {
			return err
		}
		plan, err := json.Marshal(map[string]any{
			"path": folder, "table": projectsTable, "item": item, "prefix": c.prefix, "from": c.from, "to": c.to,
			// A tenant may have a thousand projects. The shards are even, as
			// those of many projects are by their hashes.
			"tenants": max(1, c.to/100), "shards": project.Shards,
		})
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "node", filepath.Join("infra", "bench", "fill.mjs"))
		cmd.Stdin = bytes.NewReader(plan)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("filling the database: %w: %s", err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
