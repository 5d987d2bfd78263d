package api_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rekindle/internal/api"
	"rekindle/internal/project"
)

func TestEachCodeHasItsStatus(t *testing.T) {
	for code := range project.Sentences {
		if status := api.StatusOf(code); status == http.StatusInternalServerError && code != project.CodeInternal {
			t.Errorf("%s has no HTTP status", code)
		}
	}
	if status := api.StatusOf("no_such_code"); status != http.StatusInternalServerError {
		t.Errorf("an unknown code: got %d, want 500", status)
	}
}

// docs/errors.md has a row a code: code, status, sentence, and what to do.
func TestErrorsPageIsTrue(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[project.Code]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		code := project.Code(strings.Trim(strings.TrimSpace(cells[1]), "`"))
		if documented[code] {
			t.Errorf("%s stands twice on the page", code)
		}
		documented[code] = true
		if got, want := strings.TrimSpace(cells[2]), fmt.Sprint(api.StatusOf(code)); got != want {
			t.Errorf("%s: the page says %s, the API answers %s", code, got, want)
		}
		if got, want := strings.TrimSpace(cells[3]), project.Sentences[code]; got != want {
			t.Errorf("%s: the page says %q, the API %q", code, got, want)
		}
		if strings.TrimSpace(cells[4]) == "" {
			t.Errorf("%s: the page does not say what to do", code)
		}
	}
	for code := range project.Sentences {
		if !documented[code] {
			t.Errorf("%s is not in docs/errors.md", code)
		}
	}
	for code := range documented {
		if _, ok := project.Sentences[code]; !ok {
			t.Errorf("docs/errors.md has %s, which is no code", code)
		}
	}
}
