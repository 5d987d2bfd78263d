package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"rekindle/internal/template"
)

// scripted is a database that gives one answer after the other, and keeps what it
// was asked.
type scripted struct {
	answers []string // "200 {…}"
	asked   []string // "Operation {…}"
}

func (d *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	d.asked = append(d.asked, operation+" "+string(body))
	status, text, _ := strings.Cut(d.answers[0], " ")
	d.answers = d.answers[1:]
	code := http.StatusOK
	if status != "200" {
		code = http.StatusBadRequest
	}
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text))}, nil
}

// metered1 sends one request through a meter, and returns what was counted and
// asked.
func metered1(t *testing.T, operation, body string, answers ...string) (usage, []string) {
	t.Helper()
	db := &scripted{answers: answers}
	m := &meter{next: db, exact: true, tables: map[string]template.Table{
		"P": {HashKey: "k", Indexes: []template.Index{{HashKey: "shard", RangeKey: "k", Projection: "KEYS_ONLY"}}},
	}}
	r, err := http.NewRequest(http.MethodPost, "http://database.invalid/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	resp, err := m.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || !json.Valid(text) {
		t.Errorf("the client got %q, %v", text, err)
	}
	if len(db.answers) != 0 {
		t.Errorf("%d answers were not asked for", len(db.answers))
	}
	return total(m.reset()), db.asked
}

func TestMeterCountsEachKeyOfABatch(t *testing.T) {
	got, asked := metered1(t, "BatchGetItem", `{"RequestItems":{"P":{"ConsistentRead":true,"Keys":[{"k":{"S":"1"}},{"k":{"S":"2"}}]}}}`,
		`200 {"Responses":{"P":[{"k":{"S":"1"},"x":{"S":"`+strings.Repeat("x", 5000)+`"}}]},"ConsumedCapacity":[{"TableName":"P","CapacityUnits":3}]}`)
	want := usage{Calls: 1, Read: 3, LocalRead: 3, Largest: 5003}
	if got != want {
		t.Errorf("got %+v, want %+v: two units for the large item, one for the absent one", got, want)
	}
	if len(asked) != 1 || !strings.Contains(asked[0], `"ReturnConsumedCapacity":"INDEXES"`) {
		t.Errorf("asked %v, want the capacity asked for", asked)
	}
}

func TestMeterCountsAWriteInTableAndIndex(t *testing.T) {
	got, asked := metered1(t, "UpdateItem", `{"TableName":"P","Key":{"k":{"S":"1"}}}`,
		`200 {"Item":{"k":{"S":"1"}}}`,
		`200 {"ConsumedCapacity":{"TableName":"P","CapacityUnits":2}}`,
		`200 {"Item":{"k":{"S":"1"},"shard":{"S":"s"},"x":{"S":"`+strings.Repeat("x", 1500)+`"}}}`)
	want := usage{Calls: 1, Table: 2, Index: 1, LocalWrite: 2, Largest: 1509}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	var operations []string
	for _, a := range asked {
		operation, _, _ := strings.Cut(a, " ")
		operations = append(operations, operation)
	}
	if want := "GetItem UpdateItem GetItem"; strings.Join(operations, " ") != want {
		t.Errorf("asked %v, want %s", operations, want)
	}
}

func TestMeterCountsARefusedWrite(t *testing.T) {
	got, _ := metered1(t, "PutItem", `{"TableName":"P","Item":{"k":{"S":"1"}}}`,
		`200 {"Item":{"k":{"S":"1"},"x":{"S":"`+strings.Repeat("x", 1500)+`"}}}`,
		`400 {"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}`)
	if want := (usage{Calls: 1, Table: 2, LocalWrite: 2, Largest: 1503}); got != want {
		t.Errorf("got %+v, want %+v: what is there counts, and no index", got, want)
	}
}

func TestMeterBelievesTheDatabaseWhereAQueryLeavesSomethingOut(t *testing.T) {
	got, _ := metered1(t, "Query", `{"TableName":"P","ProjectionExpression":"k"}`,
		`200 {"Items":[{"k":{"S":"1"}}],"Count":1,"ScannedCount":1,"ConsumedCapacity":{"TableName":"P","CapacityUnits":7.5}}`)
	if got.Read != 7.5 {
		t.Errorf("a projection: got %v units, want 7.5", got.Read)
	}
	got, _ = metered1(t, "Query", `{"TableName":"P"}`, `200 {"Items":[],"Count":0,"ScannedCount":0,"ConsumedCapacity":{"TableName":"P","CapacityUnits":0}}`)
	if got.Read != 0.5 || got.LocalRead != 0 {
		t.Errorf("an empty page: got %v and %v units, want a half by the rules and none by the database", got.Read, got.LocalRead)
	}
}

func TestMeterLeavesOtherRequestsAlone(t *testing.T) {
	got, asked := metered1(t, "DescribeTable", `{"TableName":"P"}`, `200 {}`)
	if got != (usage{}) || len(asked) != 1 || asked[0] != `DescribeTable {"TableName":"P"}` {
		t.Errorf("got %+v after %v", got, asked)
	}
}
