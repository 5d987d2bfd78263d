package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rekindle/internal/dynamo/dynamotest"
)

func TestTheDocumentHasTheTablesOfTheModel(t *testing.T) {
	root := dynamotest.Root(t)
	text, err := os.ReadFile(filepath.Join(root, document))
	if err != nil {
		t.Fatal(err)
	}
	all, err := tables(theModel(t))
	if err != nil {
		t.Fatal(err)
	}
	want, err := fill(string(text), all)
	if err != nil {
		t.Fatal(err)
	}
	if want == string(text) {
		return
	}
	differ := 0
	old, now := strings.Split(string(text), "\n"), strings.Split(want, "\n")
	for i := range max(len(old), len(now)) {
		var a, b string
		if i < len(old) {
			a = old[i]
		}
		if i < len(now) {
			b = now[i]
		}
		if a != b && differ < 5 {
			t.Errorf("%s:%d has\n\t%s\nand the model\n\t%s", document, i+1, a, b)
			differ++
		}
	}
	t.Errorf("make scale ARGS=-update writes the document anew")
}

// aProject copies what the model reads, so that a test can change it.
func aProject(t *testing.T) string {
	t.Helper()
	root, dir := dynamotest.Root(t), t.TempDir()
	for _, name := range []string{"template.yaml", "docs/scale.md", "internal/dynamo/stale.go", "internal/sweep/sweep.go", "internal/launch/batch.go", "portal/src/lib/polling.ts"} {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func change(t *testing.T, file, from, to string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		t.Fatalf("%s has no %q", file, from)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), from, to)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestUpdateWritesTheDocumentOnceAndLeavesItsText(t *testing.T) {
	root := aProject(t)
	file := filepath.Join(root, document)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	change(t, filepath.Join(root, "template.yaml"), `Seconds between the heartbeats of a running project, 1 to 300.
    Default: "30"`, `Seconds between the heartbeats of a running project, 1 to 300.
    Default: "60"`)
	var said bytes.Buffer
	if err := run(root, true, &said); err != nil || !strings.Contains(said.String(), "was written") {
		t.Fatalf("got %q, %v", said.String(), err)
	}
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(after, []byte("| a heartbeat each | 60 s |")) || !bytes.Contains(after, []byte("500 a second, so 30,000 running")) {
		t.Error("the document does not follow the template")
	}
	title, _, _ := bytes.Cut(before, []byte("<!--"))
	if !bytes.HasPrefix(after, title) || bytes.Count(after, []byte("<!-- scale: ")) != bytes.Count(before, []byte("<!-- scale: ")) {
		t.Error("the document's own text was changed")
	}
	said.Reset()
	if err := run(root, true, &said); err != nil || !strings.Contains(said.String(), "as it should be") {
		t.Errorf("the second time: got %q, %v", said.String(), err)
	}
}

func TestTablesArePrintedWithoutTheDocument(t *testing.T) {
	root := aProject(t)
	if err := os.Remove(filepath.Join(root, document)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(root, false, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"limits:\n\n| limit |", "| Batch's SubmitJob |", "prices:\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it prints no %q", want)
		}
	}
	if err := run(root, true, &out); err == nil {
		t.Error("a document that is not there was written")
	}
}

func TestDocumentWithoutAPlaceForEachTableIsRefused(t *testing.T) {
	all := []table{{"a", "x\n"}, {"b", "y\n"}}
	good := "T\n<!-- scale: a -->\nold\n<!-- /scale -->\nmiddle\n<!-- scale: b -->\n<!-- /scale -->\nend\n"
	want := "T\n<!-- scale: a -->\n\nx\n\n<!-- /scale -->\nmiddle\n<!-- scale: b -->\n\ny\n\n<!-- /scale -->\nend\n"
	if got, err := fill(good, all); err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{
		"", strings.Replace(good, "scale: b", "scale: c", 1), strings.Replace(good, "<!-- scale: b -->\n", "", 1),
		strings.TrimSuffix(good, "<!-- /scale -->\nend\n"), good + "<!-- scale: c -->\n<!-- /scale -->\n",
	} {
		if got, err := fill(bad, all); err == nil {
			t.Errorf("%q was filled: %q", bad, got)
		}
	}
}

// What the model can't find must not become a zero in a table.
func TestProjectThatLacksAFactIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, from, to string }{
		"constant": {"internal/dynamo/stale.go", "const pageSize = 250", "const pageSizes = 250"},
		"throttle": {"template.yaml", `"POST /api/worker/executions/{execution_id}/heartbeat": {`, `"POST /api/worker/executions/{execution_id}/beat": {`},
		"schedule": {"template.yaml", "rate(1 hour)", "cron(0 * * * ? *)"},
		"index":    {"template.yaml", "IndexName: created-at", "Name: created-at"},
		"setting":  {"template.yaml", "PROJECT_HEARTBEAT_SECONDS:", "PROJECT_HEARTBEAT_SECOND:"},
		"portal":   {"portal/src/lib/polling.ts", "export const fastest", "export const quickest"},
	} {
		root := aProject(t)
		change(t, filepath.Join(root, filepath.FromSlash(c.file)), c.from, c.to)
		if _, err := newModel(root); err == nil {
			t.Errorf("%s: %s without %q was read", name, c.file, c.from)
		}
	}
	if _, err := newModel(t.TempDir()); err == nil {
		t.Error("an empty folder was read")
	}
}

func TestNumbersReadWell(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{thousands(0), "0"}, {thousands(0.00333), "0.00333"}, {thousands(12.345), "12.3"}, {thousands(999.6), "1,000"}, {thousands(1_234_567), "1,230,000"},
		{commas(0), "0"}, {commas(999), "999"}, {commas(1_000), "1,000"}, {commas(1_234_567), "1,234,567"},
		{usd(0), "0"}, {usd(0.001), "below 0.01"}, {usd(1.005), "1.00"}, {usd(99.99), "99.99"}, {usd(12_345), "12,300"},
		{percent(0), "0"}, {percent(0.0001), "below 0.1 %"}, {percent(0.05), "5.0 %"}, {percent(0.0999), "10 %"}, {percent(1.5), "150 %"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
