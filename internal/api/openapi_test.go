package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"rekindle/internal/project"
	"rekindle/internal/template"
)

// docs/openapi.yaml is held to the code from both sides: every answer of this
// suite is one that it describes, and its routes are the template's.

var openAPI = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join("..", "..", "docs", "openapi.yaml"))
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(openapi3.NewLoader().Context)
})

func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openAPI()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// operationOf returns the operation of a route key, or nil.
func operationOf(doc *openapi3.T, route string) *openapi3.Operation {
	method, path, ok := strings.Cut(route, " ")
	if !ok || doc.Paths.Value(path) == nil {
		return nil
	}
	return doc.Paths.Value(path).GetOperation(method)
}

// describes fails the test if the document does not describe an answer.
func describes(t *testing.T, route string, a answer) {
	t.Helper()
	doc := document(t)
	op := operationOf(doc, route)
	if op == nil {
		if a.code() != string(project.CodeRouteNotFound) {
			t.Errorf("docs/openapi.yaml has no %s", route)
		}
		return
	}
	resp := op.Responses.Value(fmt.Sprint(a.status))
	if resp == nil {
		t.Errorf("docs/openapi.yaml: %s has no answer %d: %s", route, a.status, a.raw)
		return
	}
	if a.status >= 400 && !slices.Contains(errorCodes(op), a.code()) {
		t.Errorf("docs/openapi.yaml: %s does not name the code %s", route, a.code())
	}
	media := resp.Value.Content.Get("application/json")
	if media == nil {
		if a.raw != "" {
			t.Errorf("docs/openapi.yaml: %s answers %d without a body, and this has one: %s", route, a.status, a.raw)
		}
		return
	}
	if err := media.Schema.Value.VisitJSON(plain(t, a.raw), openapi3.EnableJSONSchema2020(), openapi3.MultiErrors()); err != nil {
		t.Errorf("docs/openapi.yaml: %s, %d: %v\n%s", route, a.status, err, a.raw)
	}
}

func errorCodes(op *openapi3.Operation) []string {
	list, _ := op.Extensions["x-error-codes"].([]any)
	codes := make([]string, 0, len(list))
	for _, c := range list {
		codes = append(codes, fmt.Sprint(c))
	}
	return codes
}

func plain(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestOpenAPIHasTheTemplatesRoutes(t *testing.T) {
	tmpl, err := template.Open(filepath.Join("..", "..", "template.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	deployed := map[string]bool{}
	for _, r := range tmpl.Routes {
		if r.Path != template.DefaultPath {
			deployed[strings.ToUpper(r.Method)+" "+r.Path] = true
		}
	}
	described := map[string]bool{}
	for path, item := range document(t).Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+path] = true
		}
	}
	if !maps.Equal(deployed, described) {
		for r := range deployed {
			if !described[r] {
				t.Errorf("docs/openapi.yaml lacks %s", r)
			}
		}
		for r := range described {
			if !deployed[r] {
				t.Errorf("template.yaml lacks %s", r)
			}
		}
	}
}

func TestOpenAPIKnowsEveryCodeAndItsStatus(t *testing.T) {
	doc := document(t)
	used := map[string]bool{string(project.CodeRouteNotFound): true}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			for _, c := range errorCodes(op) {
				used[c] = true
				if _, ok := project.Sentences[project.Code(c)]; !ok {
					t.Errorf("%s %s: %s is no code", method, path, c)
				}
			}
		}
	}
	for code := range project.Sentences {
		if !used[string(code)] {
			t.Errorf("no operation of docs/openapi.yaml names %s", code)
		}
	}
}

func TestOpenAPIsExamplesAreOfTheirSchemas(t *testing.T) {
	examples := 0
	check := func(where string, content openapi3.Content) {
		media := content.Get("application/json")
		if media == nil {
			return
		}
		if media.Example == nil {
			t.Errorf("%s has no example", where)
			return
		}
		examples++
		text, err := json.Marshal(media.Example)
		if err != nil {
			t.Fatal(err)
		}
		if err := media.Schema.Value.VisitJSON(plain(t, string(text)), openapi3.EnableJSONSchema2020(), openapi3.MultiErrors()); err != nil {
			t.Errorf("the example of %s: %v", where, err)
		}
	}
	for path, item := range document(t).Paths.Map() {
		for method, op := range item.Operations() {
			where := method + " " + path
			if op.RequestBody != nil {
				check(where+"'s body", op.RequestBody.Value.Content)
			}
			for status, resp := range op.Responses.Map() {
				check(where+" "+status, resp.Value.Content)
			}
		}
	}
	if examples < 50 {
		t.Errorf("only %d examples were found", examples)
	}
}
