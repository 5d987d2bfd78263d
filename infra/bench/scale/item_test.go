package main

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
	"rekindle/internal/template"
)

var models = sync.OnceValues(func() (*model, error) { return newModel(filepath.Join("..", "..", "..")) })

// theModel is that of the project as it is.
func theModel(t *testing.T) *model {
	t.Helper()
	m, err := models()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestItemsAreAsLargeAsDynamoDBSays(t *testing.T) {
	for text, want := range map[string]int{
		`{}`:                                       0,
		`{"id":{"S":"abc"}}`:                       2 + 3,
		`{"id":{"S":"ä🚀"}}`:                        2 + 2 + 4,
		`{"n":{"N":"0"}}`:                          1 + 1,
		`{"n":{"N":"7"}}`:                          1 + 2,
		`{"n":{"N":"1234567"}}`:                    1 + 5,
		`{"n":{"N":"-12.50"}}`:                     1 + 4,
		`{"n":{"N":"120000"}}`:                     1 + 2,
		`{"b":{"B":"AAEC"}}`:                       1 + 3,
		`{"t":{"BOOL":false}}`:                     1 + 1,
		`{"t":{"NULL":true}}`:                      1 + 1,
		`{"m":{"M":{}}}`:                           1 + 3,
		`{"m":{"M":{"k":{"S":"v"}}}}`:              1 + 3 + 1 + 1 + 1,
		`{"l":{"L":[{"S":"ab"},{"N":"1"}]}}`:       1 + 3 + 2 + 2 + 2,
		`{"a":{"S":"1"},"m":{"M":{"b":{"L":[]}}}}`: 2 + 1 + 3 + 1 + 1 + 3,
	} {
		var item attributes
		if err := json.Unmarshal([]byte(text), &item); err != nil {
			t.Fatal(err)
		}
		if got, err := bytesOf(item); err != nil || got != want {
			t.Errorf("%s: got %d bytes, %v; want %d", text, got, err, want)
		}
	}
	if _, err := bytesOf(attributes{"s": json.RawMessage(`{"SS":["a"]}`)}); err == nil {
		t.Error("a type without a rule was given a size")
	}
}

func TestUnitsAreBegunKilobytes(t *testing.T) {
	for bytes, want := range map[int][2]int{0: {1, 1}, 1: {1, 1}, 1024: {1, 1}, 1025: {2, 1}, 4096: {4, 1}, 4097: {5, 2}, 400 << 10: {400, 100}} {
		if got := [2]int{writeUnits(bytes), readUnits(bytes)}; got != want {
			t.Errorf("%d bytes: got %v units to write and read, want %v", bytes, got, want)
		}
	}
}

// inDatabase is DynamoDB's rule again, of what a database gives back.
func inDatabase(t *testing.T, v types.AttributeValue) int {
	t.Helper()
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return numberBytes(v.Value)
	case *types.AttributeValueMemberM:
		sum := 3
		for name, member := range v.Value {
			sum += 1 + len(name) + inDatabase(t, member)
		}
		return sum
	}
	t.Fatalf("an item has a %T: the rule is missing here", v)
	return 0
}

func TestModelsItemsAreThoseOfTheDatabase(t *testing.T) {
	db := dynamotest.Open(t)
	for _, p := range []*project.Project{
		sample(60, 100, 1, 0, "a"),
		late(sample(project.MaxDescription, project.MaxObjectives, project.MaxAttempts, project.MaxError, "🚀")),
	} {
		item, err := itemOf(p)
		if err != nil {
			t.Fatal(err)
		}
		want, err := bytesOf(item)
		if err != nil {
			t.Fatal(err)
		}
		db.Insert(t, p)
		stored := db.Item(t, p.Key)
		if got := inDatabase(t, &types.AttributeValueMemberM{Value: stored}) - 3 - len(stored); got != want {
			t.Errorf("%d attempts: the database has %d bytes, the model %d", p.Attempt, got, want)
		}
		if names := slices.Sorted(maps.Keys(stored)); !slices.Equal(names, slices.Sorted(maps.Keys(item))) {
			t.Errorf("the database has %v", names)
		}
		db.Delete(t, p.Key)
	}
}

// The largest project is one that the API takes: the next character is not.
func TestLargestProjectIsAtTheLimits(t *testing.T) {
	p := sample(project.MaxDescription, project.MaxObjectives, project.MaxAttempts, project.MaxError, "🚀")
	d := project.Draft{Name: p.Name, Description: p.Description, Objectives: p.Objectives}
	if err := d.Check(); err != nil {
		t.Errorf("got %v", err)
	}
	for _, text := range []func(*project.Draft) *string{
		func(d *project.Draft) *string { return &d.Name }, func(d *project.Draft) *string { return &d.Description }, func(d *project.Draft) *string { return &d.Objectives },
	} {
		longer := d
		*text(&longer) += "a"
		if longer.Check() == nil {
			t.Error("a longer text is taken: the largest project is larger than the model's")
		}
	}
	if len(p.Attempts) != project.MaxAttempts {
		t.Errorf("got %d attempts, want %d", len(p.Attempts), project.MaxAttempts)
	}
	for _, a := range p.Attempts {
		if a.Outcome != "" && project.ClipError(a.Error+"e") == a.Error+"e" {
			t.Error("a longer error is kept: the largest project is larger than the model's")
		}
	}
}

func TestClaimsAndHeartbeatsLeaveTheSweepsIndexAlone(t *testing.T) {
	m := theModel(t)
	if !slices.Equal(m.updates.quiet, []string{"heartbeat_at"}) || !slices.Equal(m.updates.news, []string{"heartbeat_at", "progress"}) {
		t.Errorf("heartbeats change %v and %v", m.updates.quiet, m.updates.news)
	}
	if m.claim.global != 0 || m.quiet.global != 0 || m.news.global != 0 {
		t.Errorf("claim %+v, heartbeat %+v, with progress %+v: want nothing of the index", m.claim, m.quiet, m.news)
	}
	for name, u := range map[string]units{"a start": m.start, "an end": m.end} {
		if u.global != 1 {
			t.Errorf("%s costs %d units of the index, want 1", name, u.global)
		}
	}
	for name, changed := range map[string][]string{"a start": m.updates.start, "an end": m.updates.end} {
		if !slices.Contains(changed, m.facts.global.HashKey) {
			t.Errorf("%s changes %v, want the index's key among them", name, changed)
		}
	}
}

// Else each heartbeat would be written twice.
func TestHeartbeatWithoutProgressLeavesTheListsIndexAlone(t *testing.T) {
	m := theModel(t)
	if m.quiet.local != 0 {
		t.Errorf("a heartbeat costs %+v, want nothing of the local index", m.quiet)
	}
	whole, err := m.sizes[typical].update(m.wholeItem(), m.facts.global, m.updates.quiet)
	if err != nil || whole.local != whole.table || whole.table != m.quiet.table {
		t.Errorf("with the whole item in the index: got %+v, %v; want the item twice", whole, err)
	}
}

func TestUpdateCostsWhatItTouches(t *testing.T) {
	item := attributes{}
	for name, bytes := range map[string]int{"tenant_id": 3, "project_id": 5, "created": 24, "name": 1_500, "text": 3_000} {
		item[name] = json.RawMessage(`{"S":"` + strings.Repeat("a", bytes) + `"}`)
	}
	s := size{item: 4_600, attributes: item}
	local := template.Index{HashKey: "tenant_id", RangeKey: "created", Projection: "INCLUDE", Include: []string{"name"}}
	global := template.Index{HashKey: "shard", RangeKey: "since", Projection: "KEYS_ONLY"}
	for _, c := range []struct {
		changed []string
		want    units
	}{
		{[]string{"text"}, units{5, 0, 0}},
		{[]string{"text", "name"}, units{5, 2, 0}},
		{[]string{"shard"}, units{5, 0, 1}},
		{[]string{"created", "since"}, units{5, 2, 1}},
	} {
		if got, err := s.update(local, global, c.changed); err != nil || got != c.want {
			t.Errorf("%v: got %+v, %v; want %+v", c.changed, got, err, c.want)
		}
	}
}

func TestChangedAttributesOfAnUpdate(t *testing.T) {
	c := call{
		UpdateExpression:         "ADD #0 :0\nREMOVE #1, #2.#3\nSET #4 = if_not_exists(#5, :1), #2.#6.#7 = :2\n",
		ExpressionAttributeNames: map[string]string{"#0": "version", "#1": "error", "#2": "attempts", "#3": "1", "#4": "claimed_at", "#5": "other", "#6": "2", "#7": "outcome"},
	}
	if got, want := c.changed(), []string{"attempts", "claimed_at", "error", "version"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
