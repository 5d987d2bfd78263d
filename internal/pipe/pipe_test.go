package pipe_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"rekindle/internal/pipe"
)

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestPatternTakesWhatEventBridgeTakes(t *testing.T) {
	for _, c := range []struct {
		name, pattern, event string
		want                 bool
	}{
		{"the value", `{"a": {"b": ["x"]}}`, `{"a": {"b": "x", "c": 1}}`, true},
		{"another value", `{"a": {"b": ["x"]}}`, `{"a": {"b": "y"}}`, false},
		{"one of two values", `{"a": ["x", "y"]}`, `{"a": "y"}`, true},
		{"a number", `{"a": [1]}`, `{"a": 1}`, true},
		{"a number as text", `{"a": [1]}`, `{"a": "1"}`, false},
		{"every field has to fit", `{"a": ["x"], "b": ["y"]}`, `{"a": "x", "b": "z"}`, false},
		{"no such field", `{"a": {"b": ["x"]}}`, `{"c": "x"}`, false},
		{"a field that is no object", `{"a": {"b": ["x"]}}`, `{"a": "x"}`, false},
		{"one element of a list", `{"a": ["x"]}`, `{"a": ["y", "x"]}`, true},
		{"no element of a list", `{"a": ["x"]}`, `{"a": ["y", "z"]}`, false},
		{"a field that may not be there, and is not", `{"a": {"b": [{"exists": false}]}}`, `{"c": "x"}`, true},
		{"a field that may not be there, and is", `{"a": {"b": [{"exists": false}]}}`, `{"a": {"b": "x"}}`, false},
		{"a field that has to be there, and is", `{"a": [{"exists": true}]}`, `{"a": null}`, true},
		{"a field that has to be there, and is not", `{"a": [{"exists": true}]}`, `{}`, false},
		{"absent, or a value", `{"a": [{"exists": false}, "x"]}`, `{"a": "x"}`, true},
	} {
		p, err := pipe.ParsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := p.Takes(decode(t, c.event)); got != c.want {
			t.Errorf("%s: %s takes %s: got %t, want %t", c.name, c.pattern, c.event, got, c.want)
		}
	}
}

func TestPatternThatCannotBeJudgedIsRefused(t *testing.T) {
	for _, text := range []string{`[]`, `{}`, `{"a": "x"}`, `{"a": []}`, `{"a": [{"prefix": "x"}]}`, `{"a": {"b": [{"exists": "no"}]}}`, `{"a": 1`} {
		if _, err := pipe.ParsePattern(text); err == nil {
			t.Errorf("the pattern %s was accepted", text)
		}
	}
}

// hostile has all that could break a text out of its quotes, or be taken for a
// placeholder.
const hostile = "File \"main.py\", line 1\n\tpath C:\\new\\table, <$.dynamodb.NewImage.activation_code_hash.S> </b> \u2028 é 🔄 \x1b[31m, \"error\": \"x\"}"

func TestValueOfAnyTextStaysOneValue(t *testing.T) {
	event := map[string]any{"error": hostile, "n": json.Number("9007199254740993"), "object": map[string]any{"k": `"`}}
	out, err := pipe.Template{Text: `{"a": <$.error>, "n": <$.n>, "o": <$.object>}`}.Render(event, pipe.AsEmptyText)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"a": hostile, "n": 9007199254740992., "o": map[string]any{"k": `"`}}
	if got := decode(t, string(out)); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestTextWithinATextIsNotEscaped(t *testing.T) {
	tmpl := pipe.Template{Text: `{"a": "failed: <why>"}`, Paths: map[string]string{"why": "$.detail.error"}}
	event := func(why string) any { return map[string]any{"detail": map[string]any{"error": why}} }
	out, err := tmpl.Render(event("no disk"), pipe.AsEmptyText)
	if err != nil || string(out) != `{"a": "failed: no disk"}` {
		t.Errorf("got %s, %v", out, err)
	}
	if out, err := tmpl.Render(event(`no "disk"`), pipe.AsEmptyText); err == nil {
		t.Errorf("a quote within a text made %s: EventBridge would not escape it", out)
	}
}

func TestAbsentPathIsAnEmptyTextOrLeftOut(t *testing.T) {
	tmpl := pipe.Template{Text: "{\n  \"a\": <$.no>,\n  \"b\": <$.b>,\n  \"c\": <$.b.no>,\n  \"d\": \"<$.no>\",\n  \"e\": <$.no>\n}"}
	for absent, want := range map[pipe.Absent]map[string]any{
		pipe.AsEmptyText: {"a": "", "b": "x", "c": "", "d": "", "e": ""},
		pipe.LeftOut:     {"b": "x", "d": ""},
	} {
		out, err := tmpl.Render(map[string]any{"b": "x"}, absent)
		if err != nil {
			t.Errorf("reading %d: %v", absent, err)
			continue
		}
		if got := decode(t, string(out)); !reflect.DeepEqual(got, any(want)) {
			t.Errorf("reading %d: got %v, want %v", absent, got, want)
		}
	}
	out, err := pipe.Template{Text: `{"a": <$.no>}`}.Render(nil, pipe.LeftOut)
	if err != nil || strings.TrimSpace(string(out)) != "{}" {
		t.Errorf("a template of nothing but what is absent: got %s, %v", out, err)
	}
}

func TestTemplateWithAWrongPlaceholderIsAnError(t *testing.T) {
	for _, tmpl := range []pipe.Template{
		{Text: `{"a": <$.x[0]>}`}, {Text: `{"a": <x>}`}, {Text: `{"a": "<$..x>"}`},
		{Text: `{"a": <b>}`, Paths: map[string]string{"c": "$.c"}},
		{Text: `{"a": <$.x> `},
	} {
		if out, err := tmpl.Render(map[string]any{"x": "y"}, pipe.AsEmptyText); err == nil {
			t.Errorf("%s made %s", tmpl.Text, out)
		}
	}
}
