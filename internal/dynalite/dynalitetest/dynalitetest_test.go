package dynalitetest_test

import (
	"net/http"
	"testing"

	"rekindle/internal/dynalite/dynalitetest"
)

func TestAllTestsShareOneServer(t *testing.T) {
	endpoint := dynalitetest.ForTest(t)
	if again := dynalitetest.ForTest(t); again != endpoint {
		t.Errorf("got %s and %s, want the same", endpoint, again)
	}
	resp, err := http.Get(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("got %d, want 200", resp.StatusCode)
	}
}
