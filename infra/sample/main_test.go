package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	return &site{
		name: "Acme & Co", description: "All <of> it", folder: dir, progress: filepath.Join(t.TempDir(), "progress"),
		sleep: func(time.Duration) {},
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSampleWritesAPageAnObjective(t *testing.T) {
	s := newSite(t)
	var slept time.Duration
	s.sleep = func(d time.Duration) { slept += d }
	if err := s.write("Home\n\n  About <us>  \nsleep: 30s\n-- contact --"); err != nil {
		t.Fatal(err)
	}
	index := read(t, filepath.Join(s.folder, "index.html"))
	for _, want := range []string{"<h1>Acme &amp; Co</h1>", "All &lt;of&gt; it", `<a href="page-01.html">Home</a>`, `<a href="page-02.html">About &lt;us&gt;</a>`, `<a href="page-03.html">-- contact --</a>`} {
		if !strings.Contains(index, want) {
			t.Errorf("index.html lacks %s:\n%s", want, index)
		}
	}
	if page := read(t, filepath.Join(s.folder, "page-02.html")); !strings.Contains(page, "<h1>About &lt;us&gt;</h1>") {
		t.Errorf("page-02.html:\n%s", page)
	}
	if got := read(t, filepath.Join(s.folder, "style.css")); got != style {
		t.Errorf("style.css:\n%s", got)
	}
	want := "20 Home\n40 About <us>\n60 sleep: 30s\n80 -- contact --\n100 3 pages\n"
	if got := read(t, s.progress); got != want {
		t.Errorf("progress: got %q, want %q", got, want)
	}
	if slept != 30*time.Second {
		t.Errorf("slept %s, want 30 s", slept)
	}
}

func TestSampleFailsAsItIsTold(t *testing.T) {
	for objectives, want := range map[string]string{
		"Home\nfail: the price list is empty": "the price list is empty",
		"":                                    "no objectives",
		" \n\n":                               "no objectives",
		"sleep: long":                         "does not say how long",
		"fail:":                               "not why",
		"sleep: -1s":                          "does not say how long",
	} {
		if err := newSite(t).write(objectives); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", objectives, err, want)
		}
	}
	s := newSite(t)
	if err := s.write("Home\nfail: no more"); err == nil {
		t.Error("got success, want a failure")
	}
	if index := read(t, filepath.Join(s.folder, "index.html")); !strings.Contains(index, `<a href="page-01.html">Home</a>`) {
		t.Errorf("after a failure the index lacks the page that was made:\n%s", index)
	}
	if got := read(t, s.progress); got != "33 Home\n" {
		t.Errorf("after a failure, progress: got %q, want that of the page that was made", got)
	}
	s.folder = ""
	if err := s.write("Home"); err == nil {
		t.Error("without OUTPUT_DIR: got success")
	}
}
