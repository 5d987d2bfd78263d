package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rekindle/internal/project"
)

// instant is a DynamoDB that answers at once, and keeps nothing: a project whose
// id begins with "run-" is pending, any other has failed once, and so many are
// stuck. The real one is no bottleneck either; the local one, a single thread of
// Node.js, is.
type instant struct {
	now      time.Time
	stuck    int
	projects sync.Map // the JSON of the items that were asked for, by id
}

// instantRequest is what it reads of a request.
type instantRequest struct {
	RequestItems map[string]struct {
		Keys []map[string]struct{ S string }
	}
	Key                       map[string]struct{ S string }
	ReturnValues              string
	Limit                     int
	ExclusiveStartKey         map[string]struct{ S string }
	ExpressionAttributeValues map[string]map[string]any
}

// answer returns the body of the answer to an operation.
func (d *instant) answer(operation string, body []byte) ([]byte, error) {
	var in instantRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("the instant database can't read a request: %w", err)
	}
	switch operation {
	case "BatchGetItem":
		return d.batch(in)
	case "UpdateItem":
		if in.ReturnValues != "ALL_NEW" {
			return []byte("{}"), nil
		}
		p, err := d.item(in.Key["project_id"].S)
		return slices.Concat([]byte(`{"Attributes":`), p, []byte("}")), err
	case "GetItem":
		p, err := d.item(in.Key["project_id"].S)
		return slices.Concat([]byte(`{"Item":`), p, []byte("}")), err
	case "PutItem":
		return []byte("{}"), nil
	case "Query":
		return json.Marshal(d.query(in))
	}
	return nil, fmt.Errorf("the instant database knows no %s", operation)
}

// batch answers the read of a session, a project and a tenant.
func (d *instant) batch(in instantRequest) ([]byte, error) {
	out := []byte(`{"UnprocessedKeys":{},"Responses":{`)
	first := true
	for table, wanted := range in.RequestItems {
		if len(wanted.Keys) != 1 {
			return nil, fmt.Errorf("the instant database is asked for %d items of %s", len(wanted.Keys), table)
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		key := wanted.Keys[0]
		out = fmt.Appendf(out, "%q:[", table)
		switch table {
		case sessionsTable:
			out = fmt.Appendf(out, `{"token_hash":{"S":%q},"tenant_id":{"S":%q},"expires_at":{"S":%q},"last_seen":{"S":%q}}`,
				key["token_hash"].S, peerTenant, wireTime(d.now.Add(project.SessionLife)), wireTime(d.now))
		case tenantsTable:
			out = fmt.Appendf(out, `{"tenant_id":{"S":%q},"record":{"S":"tenant"},"subscription_state":{"S":"active"}}`, key["tenant_id"].S)
		case projectsTable:
			p, err := d.item(key["project_id"].S)
			if err != nil {
				return nil, err
			}
			out = append(out, p...)
		default:
			return nil, fmt.Errorf("the instant database knows no table %s", table)
		}
		out = append(out, ']')
	}
	return append(out, "}}"...), nil
}

// item is the JSON of a project.
func (d *instant) item(id string) ([]byte, error) {
	if text, there := d.projects.Load(id); there {
		return text.([]byte), nil
	}
	text, err := json.Marshal(d.project(id))
	if err == nil {
		d.projects.Store(id, text)
	}
	return text, err
}

// project is the item of a project of the peer's tenant.
func (d *instant) project(id string) map[string]any {
	p := map[string]any{
		"tenant_id": map[string]any{"S": peerTenant}, "project_id": map[string]any{"S": id}, "project_uid": map[string]any{"S": "uid-" + id},
		"version": map[string]any{"N": "3"}, "name": map[string]any{"S": "Corporate site"},
		"description": map[string]any{"S": small.description}, "objectives": map[string]any{"S": small.objectives},
		"activation_code_hash": map[string]any{"S": project.Hash(id)}, "attempt": map[string]any{"N": "0"},
		"execution_status": map[string]any{"S": string(project.Pending)}, "attempts": map[string]any{"M": map[string]any{}},
	}
	if strings.HasPrefix(id, "run-") {
		return p
	}
	started, ended := map[string]any{"S": wireTime(d.now.Add(-25 * time.Hour))}, map[string]any{"S": wireTime(d.now.Add(-24 * time.Hour))}
	p["execution_status"] = map[string]any{"S": string(project.Failed)}
	p["execution_id"], p["attempt"] = map[string]any{"N": "1000"}, map[string]any{"N": "1"}
	p["execution_started_at"], p["execution_completed_at"], p["execution_error"] = started, ended, map[string]any{"S": small.failure}
	p["attempts"] = map[string]any{"M": map[string]any{"1000": map[string]any{"M": map[string]any{
		"number": map[string]any{"N": "1"}, "started_at": started, "completed_at": ended, "operation": map[string]any{"S": "run"},
		"outcome": map[string]any{"S": string(project.OutcomeFailed)}, "error": map[string]any{"S": small.failure},
	}}}}
	return p
}

// instantPage is about how many of the index's entries fill a megabyte.
const instantPage = 4000

// query answers a query of one shard of the index of running projects: the stuck
// ones are spread over the shards evenly.
func (d *instant) query(in instantRequest) map[string]any {
	shard := -1
	for _, v := range in.ExpressionAttributeValues {
		if s, _ := v["S"].(string); strings.HasPrefix(s, "running#") {
			shard, _ = strconv.Atoi(strings.TrimPrefix(s, "running#"))
		}
	}
	first := 0
	if from := in.ExclusiveStartKey["project_id"].S; from != "" {
		_, number, _ := strings.Cut(from, "-")
		first, _ = strconv.Atoi(number)
		first++
	}
	all := d.stuck / project.Shards
	if shard < d.stuck%project.Shards {
		all++
	}
	page := instantPage
	if in.Limit > 0 {
		page = min(page, in.Limit)
	}
	items := []map[string]any{}
	for n := first; n < min(first+page, all); n++ {
		items = append(items, map[string]any{
			"tenant_id": map[string]any{"S": stuckTenant}, "project_id": map[string]any{"S": fmt.Sprintf("stuck-%d", n)},
			"status_shard": map[string]any{"S": fmt.Sprintf("running#%02d", shard)}, "execution_id": map[string]any{"N": "1000"},
			"execution_started_at": map[string]any{"S": wireTime(d.now.Add(-25 * time.Hour))},
		})
	}
	out := map[string]any{"Items": items, "Count": len(items), "ScannedCount": len(items)}
	if first+len(items) < all {
		out["LastEvaluatedKey"] = items[len(items)-1]
	}
	return out
}

// wireTime is a time as the items have it.
func wireTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// RoundTrip makes it a transport, for a client in this process.
func (d *instant) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	out, err := d.answer(operation, body)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, ContentLength: int64(len(out)),
		Body: io.NopCloser(bytes.NewReader(out)), Request: r,
	}, nil
}

func (d *instant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	out, err := d.answer(operation, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_, _ = w.Write(out) // nobody is left to tell if the client has gone
}

// serve serves a stand-in for a part of AWS on a free port of this machine.
func serve(h http.Handler) (endpoint string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("a stand-in for AWS: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		_ = server.Serve(l) // ends by Close
		close(ended)
	}()
	return "http://" + l.Addr().String(), func() error {
		err := server.Close()
		<-ended
		return err
	}, nil
}
