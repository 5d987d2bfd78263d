package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/awslabs/goformation/v7/intrinsics"
)

// Template is what a SAM template declares. Its lists are in the order of the
// logical ids.
type Template struct {
	Functions []Function
	Routes    []Route
	Tables    []Table
	CORS      CORS
	Schedules []Schedule
}

// Function is a Lambda function.
type Function struct {
	LogicalID   string
	CodeURI     string // a folder, relative to the template
	Environment map[string]string
	Timeout     time.Duration
	MemoryMB    int
}

// Route is a route of the HTTP API. Method is "ANY" where it takes every
// method. The route of what no other takes has Path "$default" and no method.
type Route struct {
	Method   string
	Path     string
	Function string // its logical id
}

// DefaultPath is the path of the route that takes what no other takes.
const DefaultPath = "$default"

// CORS is the API's CORS configuration; its zero value is none.
type CORS struct {
	AllowOrigins  []string
	AllowHeaders  []string
	AllowMethods  []string
	ExposeHeaders []string
	MaxAge        int // seconds
}

// Table is a DynamoDB table. RangeKey and TTLAttribute are empty where it has
// none.
type Table struct {
	LogicalID    string
	Name         string            // its TableName, or else its logical id
	Attributes   map[string]string // of the keys: name to S, N or B
	HashKey      string
	RangeKey     string
	Indexes      []Index
	TTLAttribute string
}

// Index is a secondary index of a table, global or local.
type Index struct {
	Name       string
	Global     bool
	HashKey    string
	RangeKey   string
	Projection string   // ALL, KEYS_ONLY or INCLUDE
	Include    []string // with INCLUDE: the attributes beside the keys
}

// Schedule fires a function again and again. One that the template disables is
// left out.
type Schedule struct {
	Function string // its logical id
	Every    time.Duration
	Input    string // JSON; empty for EventBridge's own event
}

// goformation registers its YAML tags in a map of the package at each call.
var goformation sync.Mutex

// Open reads a template. Params override its parameters' defaults. An error is
// one line that names the file and the element.
func Open(path string, params map[string]string) (t *Template, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		// goformation indexes an intrinsic function's arguments unchecked.
		if p := recover(); p != nil {
			t, err = nil, fmt.Errorf("%s: an intrinsic function has arguments that it does not take: %v", path, p)
		}
	}()
	goformation.Lock()
	raw, err := intrinsics.ProcessYAML(text, &intrinsics.ProcessorOptions{NoProcess: true})
	goformation.Unlock()
	if err != nil {
		return nil, fmt.Errorf("%s: %s", path, oneLine(err))
	}
	var root any
	if err := json.Unmarshal(raw, &root); err != nil {
		return nil, fmt.Errorf("%s: %s", path, oneLine(err))
	}
	d := &document{file: path}
	resolved := d.resolve(element{d, "", root}, params)
	t = d.read(resolved)
	if d.err != nil {
		return nil, d.err
	}
	return t, nil
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// document keeps the first problem of a template, so that whoever reads its
// elements need not ask at each.
type document struct {
	file string
	err  error
}

// element is a value in a document and where it stands.
type element struct {
	doc   *document
	path  string
	value any
}

func (e element) fail(format string, args ...any) {
	if e.doc.err != nil {
		return
	}
	path := e.path
	if path == "" {
		path = "the template"
	}
	e.doc.err = fmt.Errorf("%s: %s: %s", e.doc.file, path, fmt.Sprintf(format, args...))
}

func (e element) absent() bool { return e.value == nil }

// get returns a member of a mapping; absent where the mapping is.
func (e element) get(name string) element {
	m := e.mapping()
	path := name
	if e.path != "" {
		path = e.path + "." + name
	}
	return element{e.doc, path, m[name]}
}

// mapping returns a mapping's members, none if it is absent.
func (e element) mapping() map[string]any {
	switch v := e.value.(type) {
	case nil:
		return nil
	case map[string]any:
		return v
	}
	e.problem("a mapping")
	return nil
}

// each returns the members of a mapping in the order of their names.
func (e element) each() []element {
	m := e.mapping()
	var all []element
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, e.get(name))
	}
	return all
}

// name is the last part of an element's path.
func (e element) name() string { return e.path[strings.LastIndexByte(e.path, '.')+1:] }

// list returns the items of a list, without those that are AWS::NoValue; none
// if it is absent.
func (e element) list() []element {
	switch v := e.value.(type) {
	case nil:
		return nil
	case []any:
		var all []element
		for i, item := range v {
			if item != nil {
				all = append(all, element{e.doc, fmt.Sprintf("%s[%d]", e.path, i), item})
			}
		}
		return all
	}
	e.problem("a list")
	return nil
}

func (e element) texts() []string {
	var all []string
	for _, item := range e.list() {
		all = append(all, item.text())
	}
	return all
}

// text returns a scalar as text; empty if it is absent.
func (e element) text() string {
	switch v := e.value.(type) {
	case nil:
		return ""
	case string:
		if _, reason, broken := strings.Cut(v, mark); broken {
			reason, _, _ = strings.Cut(reason, mark)
			e.fail("%s", reason)
		}
		return v
	case bool, float64:
		return scalar(v)
	}
	e.problem("a text")
	return ""
}

// required is text that must not be empty.
func (e element) required() string {
	if e.absent() || e.value == "" {
		e.fail("it is missing")
	}
	return e.text()
}

// number returns a whole number above 0, or otherwise if it is absent.
func (e element) number(otherwise int) int {
	if e.absent() {
		return otherwise
	}
	text := e.text()
	var n int
	if _, err := fmt.Sscanf(text+"\n", "%d\n", &n); err != nil || n < 1 || scalar(float64(n)) != text {
		e.fail("it must be a whole number above 0; it is %q", text)
	}
	return n
}

// problem says that an element is not of the kind that it must be of.
func (e element) problem(want string) {
	if s, ok := e.value.(string); ok && strings.Contains(s, mark) {
		e.text()
	}
	got := "a text"
	switch e.value.(type) {
	case map[string]any:
		got = "a mapping"
	case []any:
		got = "a list"
	case float64:
		got = "a number"
	case bool:
		got = "true or false"
	}
	e.fail("it must be %s; it is %s", want, got)
}
