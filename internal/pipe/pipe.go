// Package pipe plays what EventBridge does with a stream's records and a bus's
// events, by the patterns and input templates that template.yaml has: as AWS
// documents it, and only as far as that template goes. The tests and the
// rehearsal use it, for no emulator of AWS has such pipes. Nothing that is
// deployed does.
package pipe

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// Pattern is an event pattern: exact values and {"exists": …} at its leaves.
type Pattern struct{ fields map[string]any }

// ParsePattern reads a pattern's JSON. What it can't judge, it refuses.
func ParsePattern(text string) (Pattern, error) {
	var p Pattern
	if err := json.Unmarshal([]byte(text), &p.fields); err != nil {
		return Pattern{}, fmt.Errorf("the event pattern is not a JSON object: %w", err)
	}
	if len(p.fields) == 0 {
		return Pattern{}, errors.New("the event pattern is empty: it would take everything")
	}
	return p, checkFields("", p.fields)
}

func checkFields(path string, fields map[string]any) error {
	for name, v := range fields {
		here := path + "." + name
		switch v := v.(type) {
		case map[string]any:
			if err := checkFields(here, v); err != nil {
				return err
			}
		case []any:
			if len(v) == 0 {
				return fmt.Errorf("the event pattern's %s takes nothing", here)
			}
			for _, alternative := range v {
				if m, ok := alternative.(map[string]any); ok {
					if _, ok := m["exists"].(bool); !ok || len(m) != 1 {
						return fmt.Errorf("the event pattern's %s has a comparison other than exists: %v", here, m)
					}
				}
			}
		default:
			return fmt.Errorf("the event pattern's %s must be an object or a list of values; it is %v", here, v)
		}
	}
	return nil
}

// Takes says whether the pattern takes an event, as JSON decodes it.
func (p Pattern) Takes(event any) bool { return takes(p.fields, event) }

func takes(fields map[string]any, event any) bool {
	object, _ := event.(map[string]any)
	for name, want := range fields {
		got, there := object[name]
		switch want := want.(type) {
		case map[string]any:
			if !takes(want, got) {
				return false
			}
		case []any:
			if !takesOne(want, got, there) {
				return false
			}
		}
	}
	return true
}

// takesOne judges a leaf. One element of a list is enough.
func takesOne(alternatives []any, got any, there bool) bool {
	if list, ok := got.([]any); ok {
		for _, one := range list {
			if takesOne(alternatives, one, true) {
				return true
			}
		}
		return false
	}
	// exists is for leaves alone.
	_, inner := got.(map[string]any)
	for _, a := range alternatives {
		if m, ok := a.(map[string]any); ok {
			if m["exists"] == (there && !inner) {
				return true
			}
			continue
		}
		if there && reflect.DeepEqual(a, got) {
			return true
		}
	}
	return false
}

// Absent is what comes of a placeholder whose path the event does not have.
// AWS's page on pipes says that it "won't appear in the output". Its page on
// rules says the same, and there AWS itself, when asked, gave an empty text. So
// what reads the output must bear both.
type Absent int

// The readings of AWS's sentence.
const (
	AsEmptyText Absent = iota
	LeftOut            // the whole member of the object
)

// Template is an input template. Where Paths is nil, a placeholder is itself a
// path, as a pipe has it: <$.dynamodb.Keys>. Otherwise it is one of Paths' names,
// as in a rule's input transformer.
type Template struct {
	Text  string
	Paths map[string]string
}

var (
	token = regexp.MustCompile(`"(?:\\.|[^"\\])*"|<[^<>]*>`)
	inner = regexp.MustCompile(`<[^<>]*>`)
	// goneMember is a member whose value is the mark of what is absent, with the
	// comma that separates it from its neighbours.
	goneMember = regexp.MustCompile(`,\s*"[^"]*"\s*:\s*\x00|"[^"]*"\s*:\s*\x00\s*,?`)
	path       = regexp.MustCompile(`^\$(\.[\w/-]+)+$`)
)

// Render fills the template in with an event. A placeholder that stands for a
// whole value becomes the value's JSON: a text gets its quotes and is escaped.
// One within a text is put in as it is, and not escaped: EventBridge says so, and
// a quote there breaks the JSON, which is an error here as it is with AWS.
func (t Template) Render(event any, absent Absent) ([]byte, error) {
	var failed error
	value := func(placeholder string) (any, bool) {
		name := placeholder[1 : len(placeholder)-1]
		at := name
		if t.Paths != nil {
			var known bool
			if at, known = t.Paths[name]; !known {
				failed = fmt.Errorf("the input template's %s is none of its paths", placeholder)
			}
		}
		if failed == nil && !path.MatchString(at) {
			failed = fmt.Errorf("the input template's %s has the path %q, which is none", placeholder, at)
		}
		if failed != nil {
			return nil, false
		}
		v := event
		for _, step := range strings.Split(at, ".")[1:] {
			object, _ := v.(map[string]any)
			var there bool
			if v, there = object[step]; !there {
				return nil, false
			}
		}
		return v, true
	}
	out := token.ReplaceAllStringFunc(t.Text, func(found string) string {
		if found[0] == '"' {
			return inner.ReplaceAllStringFunc(found, func(placeholder string) string {
				v, _ := value(placeholder)
				switch v := v.(type) {
				case nil:
					return ""
				case string:
					return v
				}
				return strings.ReplaceAll(asJSON(v), `"`, "")
			})
		}
		v, there := value(found)
		switch {
		case there:
			return asJSON(v)
		case absent == LeftOut:
			return "\x00"
		}
		return `""`
	})
	if failed != nil {
		return nil, failed
	}
	out = goneMember.ReplaceAllString(out, "")
	if !json.Valid([]byte(out)) {
		return nil, fmt.Errorf("the input template makes no JSON: %s", out)
	}
	return []byte(out), nil
}

func asJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // it came from JSON
	}
	return string(raw)
}
