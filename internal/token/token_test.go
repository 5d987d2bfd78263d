package token_test

import (
	"strings"
	"testing"

	"rekindle/internal/project"
	"rekindle/internal/token"
)

var ref = project.Ref{
	Key:        project.Key{TenantID: "demo", ProjectID: "site"},
	ProjectUID: "u1", ExecutionID: 61_000_000_000_001,
}

func keyring(t *testing.T, secret string) *token.Keyring {
	t.Helper()
	k, err := token.NewKeyring(secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTokenSpeaksForItsExecution(t *testing.T) {
	k := keyring(t, strings.Repeat("s", token.MinSecret))
	c, err := k.Verify(token.Report, k.Mint(token.Report, ref, "runner-1"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Ref() != ref || c.RunnerID != "runner-1" {
		t.Errorf("got %+v by %q, want %+v by runner-1", c.Ref(), c.RunnerID, ref)
	}
}

func TestVerifyRefuses(t *testing.T) {
	k := keyring(t, strings.Repeat("s", token.MinSecret))
	other := keyring(t, strings.Repeat("o", token.MinSecret))
	good := k.Mint(token.Execution, ref, "")
	body, mac, _ := strings.Cut(good, ".")
	foreign, _, _ := strings.Cut(other.Mint(token.Execution, project.Ref{Key: project.Key{TenantID: "evil"}}, ""), ".")
	for name, tok := range map[string]string{
		"empty":           "",
		"no mac":          body,
		"empty mac":       body + ".",
		"cut":             good[:len(good)-1],
		"another secret":  other.Mint(token.Execution, ref, ""),
		"another purpose": k.Mint(token.Report, ref, "r"),
		"changed claims":  foreign + "." + mac,
		"three parts":     good + ".x",
		"too long":        good + strings.Repeat("A", 4096),
	} {
		if c, err := k.Verify(token.Execution, tok); err == nil {
			t.Errorf("%s: got %+v, want a refusal", name, c)
		}
	}
}

func TestKeyringRefusesShortSecret(t *testing.T) {
	if _, err := token.NewKeyring("short"); err == nil {
		t.Error("got a keyring, want a refusal")
	}
}

func TestPeekReadsWithoutTheSecret(t *testing.T) {
	k := keyring(t, strings.Repeat("s", token.MinSecret))
	c, err := token.Peek(k.Mint(token.Execution, ref, ""))
	if err != nil {
		t.Fatal(err)
	}
	if c.Ref() != ref {
		t.Errorf("got %+v, want %+v", c.Ref(), ref)
	}
}

func TestPeekRefusesWhatIsNoExecutionToken(t *testing.T) {
	k := keyring(t, strings.Repeat("s", token.MinSecret))
	body, _, _ := strings.Cut(k.Mint(token.Execution, ref, ""), ".")
	for name, tok := range map[string]string{
		"empty":        "",
		"no mac":       body,
		"empty mac":    body + ".",
		"not base64":   "!!!.x",
		"not JSON":     "AAAA.x",
		"report token": k.Mint(token.Report, ref, "r"),
		"no execution": k.Mint(token.Execution, project.Ref{Key: ref.Key}, ""),
		"too long":     body + "." + strings.Repeat("A", 4096),
	} {
		if c, err := token.Peek(tok); err == nil {
			t.Errorf("%s: got %+v, want a refusal", name, c)
		}
	}
}
