// Package docs holds the documents to the code: each test that they name is
// there, and each of their links leads somewhere.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)`")
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)\(`)
	link     = regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)
)

// skipped are folders whose files are not the project's own.
var skipped = []string{".git", ".venv", ".local", ".aws-sam", "node_modules", "bin", "dist"}

// walk calls do with every file of the project that has one of the endings.
func walk(t *testing.T, do func(path, text string), endings ...string) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skipped, d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(path, e) }):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		do(path, string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEachTestThatADocumentNamesExists(t *testing.T) {
	there := map[string]bool{}
	walk(t, func(_, text string) {
		for _, m := range testFunc.FindAllStringSubmatch(text, -1) {
			there[m[1]] = true
		}
	}, "_test.go")
	named := 0
	walk(t, func(path, text string) {
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			named++
			if !there[m[1]] {
				t.Errorf("%s names %s, and there is no such test", path, m[1])
			}
		}
	}, ".md")
	if named < 20 {
		t.Errorf("the documents name %d tests: are they read at all?", named)
	}
}

func TestEachLinkOfADocumentLeadsSomewhere(t *testing.T) {
	links := 0
	walk(t, func(path, text string) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}, ".md")
	if links == 0 {
		t.Error("the documents have no links: are they read at all?")
	}
}

var (
	anchored = regexp.MustCompile(`\]\(([^)#:\s]*)#([^)\s]+)\)`)
	fenced   = regexp.MustCompile("(?s)```.*?```")
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors are the headings of a page as links name them.
func anchors(text string) []string {
	var all []string
	for _, h := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		all = append(all, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return all
}

func TestEachLinkToAHeadingFindsIt(t *testing.T) {
	links := 0
	walk(t, func(path, text string) {
		for _, m := range anchored.FindAllStringSubmatch(text, -1) {
			to := filepath.Join(filepath.Dir(path), m[1])
			if m[1] == "" {
				to = path
			}
			page, err := os.ReadFile(to)
			if !strings.HasSuffix(to, ".md") || err != nil {
				continue // another test's
			}
			links++
			if !slices.Contains(anchors(string(page)), m[2]) {
				t.Errorf("%s leads to #%s of %s, which has no such heading", path, m[2], to)
			}
		}
	}, ".md")
	if links < 10 {
		t.Errorf("%d links to headings: are they read at all?", links)
	}
}
