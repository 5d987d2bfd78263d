package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"rekindle/internal/template"
)

// meter carries a client's requests to the database and counts what they cost.
// It asks the database for the capacity that it counts itself, and counts by the
// rules besides.
type meter struct {
	next   http.RoundTripper
	tables map[string]template.Table // by name
	// exact has every written item read before and after, to know what the write
	// cost in table and indexes. Writes of one item must then come one at a time.
	exact bool

	mu sync.Mutex
	// by operation and table: "UpdateItem SessionsTable". A query that looks for
	// one item alone is a "Query of one".
	used map[string]usage
}

// reset returns what was used since the last time, and begins anew.
func (m *meter) reset() map[string]usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	used := m.used
	m.used = nil
	return used
}

// total of what reset returned.
func total(used map[string]usage) usage {
	var sum usage
	for _, u := range used {
		sum = sum.plus(u)
	}
	return sum
}

func (m *meter) add(operation, table string, u usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used == nil {
		m.used = map[string]usage{}
	}
	name := operation + " " + table
	m.used[name] = m.used[name].plus(u)
}

// request is what the meter reads of one.
type request struct {
	TableName            string
	ConsistentRead       bool
	ProjectionExpression string
	Limit                int
	Key, Item            item
	RequestItems         map[string]struct {
		ConsistentRead bool
		Keys           []item
	}
}

// answer is what it reads of the answer.
type answer struct {
	Item             item
	Items            []item
	Count            int
	ScannedCount     int
	Responses        map[string][]item
	ConsumedCapacity json.RawMessage // one, or one a table
}

// RoundTrip is the http.RoundTripper.
func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := r.Body.Close(); err != nil {
		return nil, err
	}
	var in request
	var members map[string]any
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("the meter can't read a request: %w", err)
	}
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, fmt.Errorf("the meter can't read a request: %w", err)
	}
	if !metered[operation] {
		return m.next.RoundTrip(with(r, operation, body))
	}
	members["ReturnConsumedCapacity"] = "INDEXES"
	if body, err = json.Marshal(members); err != nil {
		return nil, err
	}

	writes := operation == "UpdateItem" || operation == "PutItem" || operation == "DeleteItem"
	var before item
	if writes && m.exact {
		if before, err = m.read(r, in); err != nil {
			return nil, err
		}
	}
	resp, err := m.next.RoundTrip(with(r, operation, body))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	var out answer
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, &out); err != nil {
			return nil, fmt.Errorf("the meter can't read an answer: %w", err)
		}
	}
	if !writes {
		return resp, m.countRead(operation, in, out)
	}
	u := usage{Calls: 1}
	if u.LocalWrite, err = localUnits(out.ConsumedCapacity); err != nil {
		return nil, err
	}
	if m.exact {
		after := before
		if resp.StatusCode == http.StatusOK {
			if after, err = m.read(r, in); err != nil {
				return nil, err
			}
		} else {
			u.LocalWrite = tableWrite(before, nil) // it says nothing of a refused write
		}
		u.Table, u.Largest = tableWrite(before, after), max(sizeOf(before), sizeOf(after))
		for _, ix := range m.tables[in.TableName].Indexes {
			u.Index += indexWrite(m.tables[in.TableName], ix, before, after)
		}
	}
	m.add(operation, in.TableName, u)
	return resp, nil
}

// metered are the operations that cost units; of the rest the bench makes tables
// with some, and fills them with another.
var metered = map[string]bool{
	"GetItem": true, "BatchGetItem": true, "Query": true, "Scan": true,
	"PutItem": true, "UpdateItem": true, "DeleteItem": true,
}

// countRead counts a read.
func (m *meter) countRead(operation string, in request, out answer) error {
	u := usage{Calls: 1}
	var err error
	if u.LocalRead, err = localUnits(out.ConsumedCapacity); err != nil {
		return err
	}
	table := in.TableName
	switch operation {
	case "GetItem":
		u.Read, u.Largest = readUnits(out.Item, in.ConsistentRead), sizeOf(out.Item)
	case "BatchGetItem":
		// Which of the keys are not there does not matter: each costs as much as
		// a small item.
		table = ""
		for name, wanted := range in.RequestItems {
			found := out.Responses[name]
			for _, it := range found {
				u.Read += readUnits(it, wanted.ConsistentRead)
				u.Largest = max(u.Largest, sizeOf(it))
			}
			u.Read += float64(len(wanted.Keys)-len(found)) * readUnits(nil, wanted.ConsistentRead)
		}
	default:
		if in.Limit == 1 {
			operation += " of one"
		}
		u.Read = queryUnits(out.Items, in.ConsistentRead)
		if out.Count != out.ScannedCount || in.ProjectionExpression != "" {
			// What was read and left out costs as well, and only the database
			// knows of it. It counts queries by the rules, but for empty pages.
			u.Read = max(u.LocalRead, queryUnits(nil, in.ConsistentRead))
		}
		for _, it := range out.Items {
			u.Largest = max(u.Largest, sizeOf(it))
		}
	}
	m.add(operation, table, u)
	return nil
}

// read reads the item that a request is about, past the meter.
func (m *meter) read(r *http.Request, in request) (item, error) {
	t, known := m.tables[in.TableName]
	if !known {
		return nil, fmt.Errorf("the meter knows no table %q", in.TableName)
	}
	key := in.Key
	if key == nil {
		key = item{t.HashKey: in.Item[t.HashKey]}
		if t.RangeKey != "" {
			key[t.RangeKey] = in.Item[t.RangeKey]
		}
	}
	body, err := json.Marshal(map[string]any{"TableName": in.TableName, "Key": key, "ConsistentRead": true})
	if err != nil {
		return nil, err
	}
	resp, err := m.next.RoundTrip(with(r, "GetItem", body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the meter read an item, and was answered with %d %s", resp.StatusCode, text)
	}
	var out answer
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("the meter can't read an item: %w", err)
	}
	return out.Item, nil
}

// with is a request with another operation and body. The local database checks
// no signature.
func with(r *http.Request, operation string, body []byte) *http.Request {
	version, _, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	c := r.Clone(r.Context())
	c.Header.Set("X-Amz-Target", version+"."+operation)
	c.Body = io.NopCloser(bytes.NewReader(body))
	c.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	c.ContentLength = int64(len(body))
	c.Header.Del("Content-Length")
	return c
}

// localUnits adds up what the database says that it consumed.
func localUnits(raw json.RawMessage) (float64, error) {
	if len(raw) == 0 {
		return 0, nil
	}
	type consumed struct{ CapacityUnits float64 }
	var all []consumed
	if raw[0] != '[' {
		raw = append(append([]byte{'['}, raw...), ']')
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return 0, fmt.Errorf("the meter can't read a consumed capacity: %w", err)
	}
	sum := 0.0
	for _, c := range all {
		sum += c.CapacityUnits
	}
	return sum, nil
}
