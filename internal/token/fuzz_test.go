package token_test

import (
	"strings"
	"testing"

	"rekindle/internal/token"
)

// Whatever is verified is, to the letter, what this keyring mints.
func FuzzVerify(f *testing.F) {
	k, err := token.NewKeyring(strings.Repeat("k", token.MinSecret))
	if err != nil {
		f.Fatal(err)
	}
	good := k.Mint(token.Report, ref, "runner")
	body, mac, _ := strings.Cut(good, ".")
	for _, seed := range []string{good, body, mac, body + "." + body, good + "=", strings.ToLower(good), "..", "e30.e30"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		claims, err := k.Verify(token.Report, s)
		if err == nil && k.Mint(token.Report, claims.Ref(), claims.RunnerID) != s {
			t.Errorf("%q was verified as %+v", s, claims)
		}
	})
}
