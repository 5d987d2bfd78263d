package project_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rekindle/internal/project"
)

// docs/state_machine.md is held to the code.

// page returns the page's text.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "state_machine.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// table returns the cells of the rows below the page's table with this header.
func table(t *testing.T, header string) [][]string {
	t.Helper()
	_, rest, ok := strings.Cut(page(t), header+"\n")
	if !ok {
		t.Fatalf("the page has no table %s", header)
	}
	columns := strings.Count(header, "|") - 1
	var rows [][]string
	for line := range strings.Lines(rest) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			break
		}
		if strings.Trim(line, "|-") == "" {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(line[1:], "|"), "|")
		if len(cells) != columns {
			t.Fatalf("%q has %d cells, want %d", line, len(cells), columns)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

func TestStateMachinePageHasTheMachine(t *testing.T) {
	join := func(fields []project.Field) string {
		names := make([]string, len(fields))
		for i, f := range fields {
			names[i] = string(f)
		}
		return strings.Join(names, ", ")
	}
	var got, want []string
	for _, row := range table(t, "| from | event | to | cleared | set |") {
		got = append(got, strings.Join(row, " | "))
	}
	for _, row := range project.Transitions {
		from := string(row.From)
		if row.From == project.None {
			from = "(none)"
		}
		want = append(want, fmt.Sprintf("%s | %s | %s | %s | %s", from, row.Event, row.To, join(row.Clears), join(row.Sets)))
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/state_machine.md has\n%s\nand the machine is\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestStateMachinePageDrawsTheMachine(t *testing.T) {
	_, rest, _ := strings.Cut(page(t), "```mermaid\nstateDiagram-v2\n")
	diagram, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page has no diagram")
	}
	var got, want []string
	for line := range strings.Lines(diagram) {
		edge, events, labelled := strings.Cut(strings.TrimSpace(line), ": ")
		if !labelled { // the end of the drawing
			if edge != "completed --> [*]" {
				t.Errorf("the diagram has %q", edge)
			}
			continue
		}
		for event := range strings.SplitSeq(events, ", ") {
			got = append(got, edge+": "+event)
		}
	}
	for _, row := range project.Transitions {
		from := string(row.From)
		if row.From == project.None {
			from = "[*]"
		}
		want = append(want, fmt.Sprintf("%s --> %s: %s", from, row.To, row.Event))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the diagram has\n%s\nand the machine is\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Each JSON text on the page has the members that its type has, spelt so.
func TestStateMachinePageHasTheRunnersCalls(t *testing.T) {
	want := map[string]struct{ body, answer any }{
		"claim":     {project.Claim{}, project.Grant{}},
		"heartbeat": {project.Heartbeat{Progress: &project.Progress{}}, project.Pulse{}},
		"result":    {project.Result{Error: "e"}, project.Receipt{}},
	}
	var order []string
	for _, row := range table(t, "| call | token | body | answer |") {
		call := row[0]
		order = append(order, call)
		for i, value := range []any{want[call].body, want[call].answer} {
			text := strings.Trim(row[2+i], "`")
			var got map[string]any
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Errorf("%s: %s: %v", call, text, err)
				continue
			}
			if names := members(t, value); !slices.Equal(slices.Sorted(maps.Keys(got)), names) {
				t.Errorf("%s: the page has %v, the call %v", call, slices.Sorted(maps.Keys(got)), names)
			}
			// Its values are of the right kinds, too.
			if err := json.Unmarshal([]byte(text), reflect.New(reflect.TypeOf(value)).Interface()); err != nil {
				t.Errorf("%s: %s: %v", call, text, err)
			}
		}
	}
	if calls := []string{"claim", "heartbeat", "result"}; !slices.Equal(order, calls) {
		t.Errorf("the page has the calls %v, want %v", order, calls)
	}
}

// members returns the names of a value's members in JSON, sorted.
func members(t *testing.T, value any) []string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(m))
}
