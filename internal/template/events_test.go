package template

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestSampleEventsHaveRoutes(t *testing.T) {
	tmpl := open(t, nil)
	files, err := filepath.Glob("../../infra/events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no sample events: %v", err)
	}
	for _, file := range files {
		var event struct{ RouteKey string }
		readJSON(t, file, &event)
		if event.RouteKey == "" { // for cleanup or settle
			continue
		}
		if !slices.ContainsFunc(tmpl.Routes, func(r Route) bool { return r.Method+" "+r.Path == event.RouteKey }) {
			t.Errorf("%s: no function has the route %s", file, event.RouteKey)
		}
	}
}

// `sam local` passes over a variable that the template does not name.
func TestSAMLocalOverridesVariablesThatExist(t *testing.T) {
	var env struct{ Parameters map[string]string }
	readJSON(t, "../../infra/env.json", &env)
	named := map[string]bool{}
	tmpl := open(t, map[string]string{"DynamoDBEndpoint": "http://d", "BatchEndpoint": "http://b", "S3Endpoint": "http://s"})
	for _, f := range tmpl.Functions {
		for name := range f.Environment {
			named[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env.Parameters)) {
		if !named[name] {
			t.Errorf("env.json sets %s, which no function has", name)
		}
	}
}

func readJSON(t *testing.T, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
