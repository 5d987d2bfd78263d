package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"rekindle/internal/dynalite"
	"rekindle/internal/dynamo"
	"rekindle/internal/dynamo/schema"
	"rekindle/internal/template"
)

// database is a local database of a section's own, with the template's tables,
// and a store over it whose requests are metered.
type database struct {
	server *dynalite.Server
	wire   *http.Transport
	meter  *meter
	client *dynamodb.Client
	store  *dynamo.Store
	tables map[string]template.Table // by name, which is the logical id
}

const (
	projectsTable = "ProjectsTable"
	tenantsTable  = "TenantsTable"
	sessionsTable = "SessionsTable"
	sweepsTable   = "SweepsTable"
)

// openDatabase starts one. With an empty folder it keeps its data in memory.
// Exact is the meter's.
func openDatabase(ctx context.Context, folder string, exact bool) (*database, error) {
	t, err := template.Open("template.yaml", nil)
	if err != nil {
		return nil, fmt.Errorf("the bench is called in the module's folder: %w", err)
	}
	server, err := dynalite.Start(ctx, folder)
	if err != nil {
		return nil, err
	}
	d := &database{server: server, wire: &http.Transport{MaxIdleConnsPerHost: 64}, tables: map[string]template.Table{}}
	for _, table := range t.Tables {
		d.tables[table.LogicalID] = table
	}
	d.meter = &meter{next: d.wire, tables: d.tables, exact: exact}
	settings := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", dynamo.EndpointSetting: server.Endpoint(),
	}
	d.client, err = dynamo.ClientFromEnv(
		func(name string) (string, bool) { v, set := settings[name]; return v, set },
		// No overall limit: under load the local database is slower than DynamoDB.
		func(o *dynamodb.Options) { o.HTTPClient = &http.Client{Transport: d.meter} },
	)
	for _, table := range t.Tables {
		if err == nil {
			err = schema.Create(ctx, d.client, table, table.LogicalID)
		}
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.store = dynamo.New(d.client, dynamo.Tables{Projects: projectsTable, Tenants: tenantsTable, Sessions: sessionsTable, Sweeps: sweepsTable})
	d.meter.reset()
	return d, nil
}

func (d *database) close() error {
	d.wire.CloseIdleConnections()
	return d.server.Close()
}

// noon is when everything happens that is not about time.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
