package main

import (
	"strings"
	"testing"

	"rekindle/internal/template"
)

func s(text string) map[string]any { return map[string]any{"S": text} }
func n(text string) map[string]any { return map[string]any{"N": text} }

// sized is an item of so many bytes.
func sized(bytes int) item { return item{"a": s(strings.Repeat("x", bytes-1))} }

// The rules of "DynamoDB Item sizes and formats" in AWS's documentation.
func TestSizeIsThatOfNamesAndValues(t *testing.T) {
	for _, c := range []struct {
		what string
		it   item
		want int
	}{
		{"nothing", nil, 0},
		{"a text", item{"name": s("abc")}, 7},
		{"a text of two-byte letters", item{"größe": s("ä")}, 9},
		{"bytes, by what base64 stands for", item{"b": map[string]any{"B": "AAEC"}}, 4},
		{"a padded base64", item{"b": map[string]any{"B": "AA=="}}, 2},
		{"a number: a byte for two digits, and one", item{"n": n("1234")}, 4},
		{"zeros at its ends don't count", item{"n": n("00120000")}, 3},
		{"zero", item{"n": n("0")}, 2},
		{"a negative one", item{"n": n("-12")}, 4},
		{"a fraction", item{"n": n("0.0015")}, 3},
		{"true", item{"x": map[string]any{"BOOL": true}}, 2},
		{"null", item{"x": map[string]any{"NULL": true}}, 2},
		{"an empty map", item{"m": map[string]any{"M": map[string]any{}}}, 4},
		{"a map: three bytes, and one an element", item{"m": map[string]any{"M": map[string]any{"k": s("vv")}}}, 8},
		{"a list", item{"l": map[string]any{"L": []any{s("vv"), s("v")}}}, 9},
		{"a set", item{"l": map[string]any{"SS": []any{"vv", "v"}}}, 4},
	} {
		if got := sizeOf(c.it); got != c.want {
			t.Errorf("%s: got %d bytes, want %d", c.what, got, c.want)
		}
	}
}

func TestReadsCostUnitsOfFourKilobytes(t *testing.T) {
	for _, c := range []struct {
		it         item
		consistent bool
		want       float64
	}{
		{nil, true, 1}, {nil, false, 0.5},
		{sized(4096), true, 1}, {sized(4097), true, 2}, {sized(4097), false, 1},
	} {
		if got := readUnits(c.it, c.consistent); got != c.want {
			t.Errorf("%d bytes, consistent %t: got %v units, want %v", sizeOf(c.it), c.consistent, got, c.want)
		}
	}
}

func TestAQueryIsRoundedAsAWhole(t *testing.T) {
	page := []item{sized(1500), sized(1500), sized(1500)}
	if got := queryUnits(page, false); got != 1 {
		t.Errorf("4,500 bytes of three items: got %v units, want 1", got)
	}
	if got := queryUnits(nil, false); got != 0.5 {
		t.Errorf("an empty page: got %v units, want a half", got)
	}
}

func TestAWriteCostsTheLargerOfOldAndNew(t *testing.T) {
	for _, c := range []struct {
		before, after item
		want          float64
	}{
		{nil, sized(10), 1}, {sized(1024), sized(10), 1}, {sized(1025), sized(10), 2}, {sized(10), sized(3000), 3}, {sized(2049), nil, 3},
	} {
		if got := tableWrite(c.before, c.after); got != c.want {
			t.Errorf("of %d bytes %d: got %v units, want %v", sizeOf(c.before), sizeOf(c.after), got, c.want)
		}
	}
}

func TestAnIndexCostsWhatChangesInIt(t *testing.T) {
	table := template.Table{HashKey: "tenant", RangeKey: "project"}
	sparse := template.Index{HashKey: "shard", RangeKey: "started", Projection: "INCLUDE", Include: []string{"execution"}}
	whole := template.Index{HashKey: "tenant", RangeKey: "created", Projection: "ALL"}
	with := func(more item) item {
		it := item{"tenant": s("a"), "project": s("b"), "created": s("2026"), "text": s(strings.Repeat("x", 1500))}
		for k, v := range more {
			it[k] = v
		}
		return it
	}
	idle := with(nil)
	running := with(item{"shard": s("running#01"), "started": s("2026"), "execution": n("1")})
	beaten := with(item{"shard": s("running#01"), "started": s("2026"), "execution": n("1"), "heartbeat": s("2026")})
	other := with(item{"shard": s("running#01"), "started": s("2026"), "execution": n("2")})
	later := with(item{"shard": s("running#01"), "started": s("2027"), "execution": n("1")})
	for _, c := range []struct {
		what          string
		ix            template.Index
		before, after item
		want          float64
	}{
		{"an item without the index's keys", sparse, nil, idle, 0},
		{"an entry that comes", sparse, idle, running, 1},
		{"an entry that goes", sparse, running, idle, 1},
		{"an entry that goes with its item", sparse, running, nil, 1},
		{"an attribute that the index does not hold", sparse, running, beaten, 0},
		{"an attribute that it holds", sparse, running, other, 1},
		{"a key of the index: one goes, one comes", sparse, running, later, 2},
		{"any attribute, where it holds all", whole, running, beaten, 2},
		{"nothing at all", whole, running, running, 0},
	} {
		if got := indexWrite(table, c.ix, c.before, c.after); got != c.want {
			t.Errorf("%s: got %v units, want %v", c.what, got, c.want)
		}
	}
}
