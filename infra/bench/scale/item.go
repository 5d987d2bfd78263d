package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"rekindle/internal/dynamo"
	"rekindle/internal/project"
	"rekindle/internal/template"
)

// attributes is an item as it goes over the wire: by name, each value with its
// type.
type attributes = map[string]json.RawMessage

// bytesOf returns an item's size by DynamoDB's rules, in bytes: names and
// values in UTF-8, a byte for two digits of a number and one more, three bytes
// for a list or map and one for each of its members.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func bytesOf(item attributes) (int, error) {
	sum := 0
	for name, value := range item {
		n, err := valueBytes(value)
		if err != nil {
			return 0, fmt.Errorf("attribute %s: %w", name, err)
		}
		sum += len(name) + n
	}
	return sum, nil
}

func valueBytes(raw json.RawMessage) (int, error) {
	var v struct {
		S, N, B    *string
		BOOL, NULL *bool
		M          attributes
		L          []json.RawMessage
		SS, NS, BS []string
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return 0, err
	}
	switch {
	case v.S != nil:
		return len(*v.S), nil
	case v.N != nil:
		return numberBytes(*v.N), nil
	case v.B != nil:
		b, err := base64.StdEncoding.DecodeString(*v.B)
		return len(b), err
	case v.BOOL != nil, v.NULL != nil:
		return 1, nil
	case v.M != nil:
		n, err := bytesOf(v.M)
		return n + 3 + len(v.M), err
	case v.L != nil:
		sum := 3 + len(v.L)
		for _, member := range v.L {
			n, err := valueBytes(member)
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	}
	return 0, fmt.Errorf("a type that the model has no rule for: %s", raw)
}

// numberBytes is a byte for two significant digits, and one more.
func numberBytes(n string) int {
	digits := strings.Trim(strings.Trim(strings.ReplaceAll(n, ".", ""), "-"), "0")
	size := (len(digits)+1)/2 + 1
	if strings.HasPrefix(n, "-") {
		size++
	}
	return size
}

// writeUnits are what a write of so many bytes costs: one for each KB begun.
func writeUnits(bytes int) int { return max(1, (bytes+1023)/1024) }

// readUnits are what a strongly consistent read costs: one for each 4 KB begun.
func readUnits(bytes int) int { return max(1, (bytes+4095)/4096) }

// call is one request to DynamoDB.
type call struct {
	Item                     attributes
	IndexName                string
	UpdateExpression         string
	ProjectionExpression     string
	ExpressionAttributeNames map[string]string
}

// recorder answers each call of the store with nothing, and keeps it.
type recorder struct{ calls []call }

// RoundTrip is the http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	var c call
	if err := json.NewDecoder(req.Body).Decode(&c); err != nil {
		return nil, err
	}
	r.calls = append(r.calls, c)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader("{}")), Request: req,
	}, nil
}

// said returns what the store sends to DynamoDB in do: one call.
func said(do func(*dynamo.Store) error) (call, error) {
	env := map[string]string{"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
	r := &recorder{}
	client, err := dynamo.ClientFromEnv(func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		func(o *dynamodb.Options) {
			o.HTTPClient, o.DisableValidateResponseChecksum = &http.Client{Transport: r}, true
		})
	if err != nil {
		return call{}, err
	}
	if err := do(dynamo.New(client, dynamo.Tables{Projects: "projects", Tenants: "tenants", Sessions: "sessions"})); err != nil {
		return call{}, err
	}
	if len(r.calls) != 1 {
		return call{}, fmt.Errorf("the store made %d calls, and not one", len(r.calls))
	}
	return r.calls[0], nil
}

// itemOf returns the item that the store makes of a project.
func itemOf(p *project.Project) (attributes, error) {
	c, err := said(func(s *dynamo.Store) error {
		_, err := s.PutProject(context.Background(), p)
		return err
	})
	return c.Item, err
}

// listed returns the attributes that the list of projects reads.
func listed() ([]string, error) {
	c, err := said(func(s *dynamo.Store) error {
		for _, err := range s.Projects(context.Background(), project.Listing{TenantID: "t"}) {
			return err
		}
		return nil
	})
	var names []string
	for placeholder := range strings.SplitSeq(c.ProjectionExpression, ", ") {
		names = append(names, c.ExpressionAttributeNames[placeholder])
	}
	return names, err
}

var (
	clause      = regexp.MustCompile(`(SET|REMOVE|ADD) `)
	placeholder = regexp.MustCompile(`#\d+`)
)

// changed returns the top-level attributes that an update changes, sorted.
func (c call) changed() []string {
	var names []string
	for line := range strings.SplitSeq(c.UpdateExpression, "\n") {
		for term := range strings.SplitSeq(clause.ReplaceAllString(line, ""), ", ") {
			// Of "#1.#2 = if_not_exists(#3, :1)" only #1.
			if p := placeholder.FindString(strings.TrimSpace(term)); p != "" && strings.HasPrefix(strings.TrimSpace(term), p) {
				names = append(names, c.ExpressionAttributeNames[p])
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// projected returns the part of an item that an index keeps, and whether it
// keeps any: an item without the index's keys has no entry.
func projected(item attributes, table template.Table, index template.Index) (attributes, bool) {
	if index.Projection == "ALL" {
		return item, true
	}
	entry := attributes{}
	for _, name := range slices.Concat([]string{table.HashKey, table.RangeKey, index.HashKey, index.RangeKey}, index.Include) {
		if value, has := item[name]; has {
			entry[name] = value
		}
	}
	_, hash := item[index.HashKey]
	_, sort := item[index.RangeKey]
	return entry, hash && sort
}

// projects is the table's keys.
var projects = template.Table{HashKey: "tenant_id", RangeKey: "project_id"}

// size is a project's size in bytes.
type size struct {
	name  string
	what  string
	item  int
	list  int // of what the list of projects reads of it
	sweep int // of its entry in the sweep's index

	attributes attributes
}

// units are what one update costs: in the table, and in the local and the
// global index. An index is written where an attribute that it has changes.
type units struct{ table, local, global int }

// inTable is what the table's own partition bears: a local index is in it.
func (u units) inTable() int { return u.table + u.local }

func (u units) all() int { return u.inTable() + u.global }

// update returns what it costs to change some attributes of the item. A change
// that adds an entry to an index or takes it away is one write of the entry.
func (s size) update(local, global template.Index, changed []string) (units, error) {
	u := units{table: writeUnits(s.item)}
	for _, i := range []struct {
		index template.Index
		to    *int
	}{{local, &u.local}, {global, &u.global}} {
		has := slices.Concat([]string{i.index.HashKey, i.index.RangeKey}, i.index.Include)
		if i.index.Projection != "ALL" && !slices.ContainsFunc(changed, func(name string) bool { return slices.Contains(has, name) }) {
			continue
		}
		n, err := s.entry(i.index)
		if err != nil {
			return u, err
		}
		*i.to = writeUnits(n)
	}
	return u, nil
}

// updates are what the store changes of a project as it runs, by attribute.
type updates struct{ start, claim, quiet, news, end []string }

// readUpdates asks the store. A heartbeat is quiet or has news of the progress.
func readUpdates() (u updates, err error) {
	p, now, ctx := sample(10, 10, 1, 0, "a"), time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC), context.Background()
	ref := p.Ref()
	for _, c := range []struct {
		to *[]string
		do func(*dynamo.Store) error
	}{
		{&u.start, func(s *dynamo.Store) error {
			_, err := s.Start(ctx, project.Start{Project: p, Event: project.Restart, ExecutionID: ref.ExecutionID + 1, At: now, Output: "o", Token: "t"})
			return err
		}},
		{&u.claim, func(s *dynamo.Store) error {
			_, err := s.Claim(ctx, ref, project.Claim{RunnerID: "r", JobID: "j"}, now)
			return err
		}},
		{&u.quiet, func(s *dynamo.Store) error {
			_, err := s.Heartbeat(ctx, ref, "r", nil, now)
			return err
		}},
		{&u.news, func(s *dynamo.Store) error {
			_, err := s.Heartbeat(ctx, ref, "r", &project.Progress{Percent: 63}, now)
			return err
		}},
		{&u.end, func(s *dynamo.Store) error {
			_, err := s.Settle(ctx, project.Settlement{Ref: ref, Event: project.Succeed, At: now, Token: "t", Runner: "r"})
			return err
		}},
	} {
		said, err := said(c.do)
		if err != nil {
			return u, err
		}
		*c.to = said.changed()
	}
	return u, nil
}

// typical is the index of the typical project in sizes.
const typical = 2

// sizes are the projects that the tables speak of.
func sizes(f *facts) ([]size, error) {
	list, err := listed()
	if err != nil {
		return nil, err
	}
	var all []size
	for _, s := range []struct {
		name, what string
		p          *project.Project
	}{
		{"small", "100 characters of objectives, its first run", sample(60, 100, 1, 0, "a")},
		{"middling", "1,000 characters, 2 attempts", sample(200, 1_000, 2, 100, "a")},
		{"typical", "3,000 characters, 4 attempts, three of them failed with a line of 150 characters", sample(400, 3_000, 4, 150, "a")},
		{"long history", fmt.Sprintf("3,000 characters, %d attempts, each with an error of %d bytes and a late result", project.MaxAttempts, project.MaxError),
			late(sample(400, 3_000, project.MaxAttempts, project.MaxError, "a"))},
		{"largest in ASCII", "every text and every attempt at its limit",
			late(sample(project.MaxDescription, project.MaxObjectives, project.MaxAttempts, project.MaxError, "a"))},
		{"largest", "the same in characters of 4 bytes",
			late(sample(project.MaxDescription, project.MaxObjectives, project.MaxAttempts, project.MaxError, "🚀"))},
	} {
		item, err := itemOf(s.p)
		if err != nil {
			return nil, err
		}
		narrow, _ := projected(item, projects, template.Index{HashKey: f.local.HashKey, RangeKey: f.local.RangeKey, Include: list})
		entry, there := projected(item, projects, f.global)
		if !there {
			return nil, fmt.Errorf("a running project has no entry in the index %s", f.global.Name)
		}
		row := size{name: s.name, what: s.what, attributes: item}
		for _, m := range []struct {
			of attributes
			to *int
		}{{item, &row.item}, {narrow, &row.list}, {entry, &row.sweep}} {
			if *m.to, err = bytesOf(m.of); err != nil {
				return nil, err
			}
		}
		all = append(all, row)
	}
	return all, nil
}

// sample is a running project whose texts have so many characters, on its n-th
// attempt, after others that failed with so many bytes of error.
func sample(description, objectives, n, errorBytes int, character string) *project.Project {
	const id = "0123456789abcdefghijkl" // as long as project.NewToken's
	began := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	p := &project.Project{
		Key: project.Key{TenantID: "example-company", ProjectID: "price-list-of-spring"}, UID: id, Version: int64(4 * n),
		Name: "Price list of spring", Description: strings.Repeat(character, description), Objectives: strings.Repeat(character, objectives),
		CreatedAt: began.Add(-24 * time.Hour), WrittenBy: id, ActivationCode: project.Hash(id), ActivationCodeHint: "LQG3",
		Status: project.Running, Attempt: n, Progress: project.Progress{Percent: 62, Message: "Generating the pages of the catalogue"},
		Attempts: map[int64]project.Attempt{},
	}
	if objectives == project.MaxObjectives {
		p.Name = strings.Repeat(character, project.MaxName)
		p.Progress.Message = strings.Repeat("a", project.MaxProgressMessage)
	}
	for i := range n {
		at := began.Add(time.Duration(i) * time.Hour)
		execution := at.Sub(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)).Milliseconds()<<10 + 1
		a := project.Attempt{
			ExecutionID: execution, Number: i + 1, StartedAt: at, ClaimedAt: at.Add(time.Minute),
			Output:   fmt.Sprintf("s3://rekindle-prod-outputbucket-1a2b3c4d5e6f/%s/%s/%d/", p.TenantID, id, execution),
			RunnerID: id, JobID: "01234567-89ab-cdef-0123-456789abcdef", StartedBy: id, KeyHash: project.Hash(id), Operation: project.Restart,
		}
		if i < n-1 {
			a.CompletedAt, a.Outcome = at.Add(30*time.Minute), project.OutcomeFailed
			a.Error, a.SettledBy = strings.Repeat("e", errorBytes), "runner:"+id
		} else {
			p.ExecutionID, p.StartedAt, p.ClaimedAt, p.HeartbeatAt, p.Output = execution, at, a.ClaimedAt, at.Add(20*time.Minute), a.Output
		}
		p.Attempts[execution] = a
	}
	return p
}

// late gives each attempt that has ended a late result, with the longest error.
func late(p *project.Project) *project.Project {
	for id, a := range p.Attempts {
		if a.Outcome != "" {
			a.Late = &project.Late{Outcome: project.OutcomeFailed, Error: a.Error, ReceivedAt: a.CompletedAt.Add(time.Hour)}
			p.Attempts[id] = a
		}
	}
	return p
}
