package main

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"

	"rekindle/internal/template"
)

// The capacity units of a request by DynamoDB's documented rules, from the items
// that it reads and writes. The local database counts units as well, but no write
// to an index; see meter.

// item is an item as the wire has it: {"name": {"S": "text"}}.
type item = map[string]any

// The sizes that units are counted in, in bytes: of a write, and of a strongly
// consistent read, which costs one unit; an eventually consistent one costs half.
const (
	writeUnit = 1024
	readUnit  = 4096
)

// units is a size in units, rounded up. Nothing costs nothing less than one.
func units(size, unit int) float64 {
	return max(1, math.Ceil(float64(size)/float64(unit)))
}

// sizeOf is an item's size in bytes: its attributes' names and values.
func sizeOf(it item) int {
	size := 0
	for name, value := range it {
		size += len(name) + valueSize(value)
	}
	return size
}

// valueSize is the size of an attribute's value. A number's is documented as
// approximate: a byte for two significant digits, and one.
func valueSize(value any) int {
	typed, _ := value.(map[string]any)
	for kind, v := range typed {
		switch kind {
		case "S":
			text, _ := v.(string)
			return len(text)
		case "B":
			text, _ := v.(string) // base64
			return len(strings.TrimRight(text, "=")) * 3 / 4
		case "N":
			text, _ := v.(string)
			return numberSize(text)
		case "BOOL", "NULL":
			return 1
		case "SS", "NS", "BS":
			size := 0
			members, _ := v.([]any)
			for _, m := range members {
				size += valueSize(map[string]any{kind[:1]: m})
			}
			return size
		case "M":
			members, _ := v.(map[string]any)
			return 3 + len(members) + sizeOf(members)
		case "L":
			size := 3
			members, _ := v.([]any)
			for _, m := range members {
				size += 1 + valueSize(m)
			}
			return size
		}
	}
	return 0
}

func numberSize(text string) int {
	n, ok := new(big.Float).SetString(text)
	if !ok || n.Sign() == 0 {
		return 1
	}
	mantissa, _, _ := strings.Cut(n.Text('e', -1), "e") // shortest: no zeros at its ends
	digits := len(strings.Trim(strings.NewReplacer("-", "", ".", "").Replace(mantissa), "0"))
	size := (digits+1)/2 + 1
	if n.Sign() < 0 {
		size++
	}
	return size
}

// readUnits is what reading an item by its key costs; one that is not there costs
// as much as a small one.
func readUnits(it item, consistent bool) float64 {
	return scaled(units(sizeOf(it), readUnit), consistent)
}

// queryUnits is what a page of a query costs: its items are added up before they
// are rounded, and a page without any costs as much as a small one.
func queryUnits(page []item, consistent bool) float64 {
	size := 0
	for _, it := range page {
		size += sizeOf(it)
	}
	return scaled(units(size, readUnit), consistent)
}

func scaled(units float64, consistent bool) float64 {
	if consistent {
		return units
	}
	return units / 2
}

// tableWrite is what a write costs that makes one item of another: the larger
// counts. Nil is none. A condition that does not hold costs as much as what is
// there.
func tableWrite(before, after item) float64 {
	return units(max(sizeOf(before), sizeOf(after)), writeUnit)
}

// indexWrite is what the same write costs in an index: nothing, if the entry
// stays as it was; one write of it, if it comes, goes, or changes in place; two,
// if its key changes, for the old entry goes and a new one comes.
func indexWrite(t template.Table, ix template.Index, before, after item) float64 {
	was, is := entry(t, ix, before), entry(t, ix, after)
	switch {
	case was == nil && is == nil, reflect.DeepEqual(was, is):
		return 0
	case was == nil, is == nil:
		return tableWrite(was, is)
	case reflect.DeepEqual(was[ix.HashKey], is[ix.HashKey]) && reflect.DeepEqual(was[ix.RangeKey], is[ix.RangeKey]):
		return tableWrite(was, is)
	}
	return tableWrite(was, nil) + tableWrite(nil, is)
}

// entry is what an index holds of an item; nil if it lacks a key of the index.
func entry(t template.Table, ix template.Index, it item) item {
	if it == nil || it[ix.HashKey] == nil || ix.RangeKey != "" && it[ix.RangeKey] == nil {
		return nil
	}
	if ix.Projection == "ALL" {
		return it
	}
	held := append([]string{t.HashKey, t.RangeKey, ix.HashKey, ix.RangeKey}, ix.Include...)
	e := item{}
	for name, value := range it {
		if slices.Contains(held, name) {
			e[name] = value
		}
	}
	return e
}

// usage is what requests cost.
type usage struct {
	Calls float64
	// By the rules: reads, and writes to tables and to indexes.
	Read, Table, Index float64
	// As the local database counts, which knows no writes to indexes.
	LocalRead, LocalWrite float64
	// Largest is the size of the largest item that was read or written, in
	// bytes.
	Largest int
}

func (u usage) plus(v usage) usage {
	return usage{
		u.Calls + v.Calls, u.Read + v.Read, u.Table + v.Table, u.Index + v.Index,
		u.LocalRead + v.LocalRead, u.LocalWrite + v.LocalWrite, max(u.Largest, v.Largest),
	}
}

// each is the share of one of n requests.
func (u usage) each(n int) usage {
	f := float64(n)
	return usage{u.Calls / f, u.Read / f, u.Table / f, u.Index / f, u.LocalRead / f, u.LocalWrite / f, u.Largest}
}

// metrics are the figures of one request.
func (u usage) metrics() []metric {
	return []metric{
		{u.Calls, "calls/op"}, {u.Read, "rcu/op"}, {u.Table, "wcu-table/op"}, {u.Index, "wcu-index/op"}, {u.Table + u.Index, "wcu/op"},
		{float64(u.Largest), "item-bytes"},
	}
}

// difference says how the local database counted otherwise; empty if it did not.
func (u usage) difference() string {
	if u.LocalRead == u.Read && u.LocalWrite == u.Table {
		return ""
	}
	return fmt.Sprintf("%s read and %s write units", thousands(u.LocalRead), thousands(u.LocalWrite))
}
