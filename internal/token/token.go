// Package token makes and checks the tokens by which a runner proves which
// execution it speaks for. A token carries its own claims and an HMAC over
// them, so that any worker call checks it without a read.
package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"rekindle/internal/project"
)

// Purpose says what a token is good for.
type Purpose string

// An Execution token is handed to the engine's job and is good for one call,
// the claim. A Report token is the claim's answer to one runner, kept in that
// runner's memory alone, and is good for heartbeat and result.
const (
	Execution Purpose = "execution"
	Report    Purpose = "report"
)

// MinSecret is the least number of bytes that a secret has.
const MinSecret = 32

// Claims are what a token says. RunnerID is empty in an execution token.
type Claims struct {
	Purpose     Purpose `json:"for"`
	TenantID    string  `json:"t"`
	ProjectID   string  `json:"p"`
	ProjectUID  string  `json:"u"`
	ExecutionID int64   `json:"e"`
	RunnerID    string  `json:"r,omitempty"`
}

// Ref names the execution that the token speaks for.
func (c Claims) Ref() project.Ref {
	return project.Ref{
		Key:         project.Key{TenantID: c.TenantID, ProjectID: c.ProjectID},
		ProjectUID:  c.ProjectUID,
		ExecutionID: c.ExecutionID,
	}
}

// Keyring makes and checks tokens with one secret.
type Keyring struct{ secret []byte }

// NewKeyring refuses a secret that is shorter than [MinSecret].
func NewKeyring(secret string) (*Keyring, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the token secret has %d bytes and needs at least %d", len(secret), MinSecret)
	}
	return &Keyring{[]byte(secret)}, nil
}

// Mint makes a token for an execution. RunnerID is for report tokens.
func (k *Keyring) Mint(purpose Purpose, ref project.Ref, runnerID string) string {
	payload, err := json.Marshal(Claims{
		Purpose: purpose, TenantID: ref.TenantID, ProjectID: ref.ProjectID,
		ProjectUID: ref.ProjectUID, ExecutionID: ref.ExecutionID, RunnerID: runnerID,
	})
	if err != nil {
		panic(err) // strings and a number always marshal
	}
	body := base64.RawURLEncoding.EncodeToString(payload)
	return body + "." + base64.RawURLEncoding.EncodeToString(k.sum(body))
}

var errInvalid = errors.New("the token is not valid")

// Verify returns the claims of a token that was made by this keyring's secret
// for this purpose.
func (k *Keyring) Verify(purpose Purpose, token string) (Claims, error) {
	body, mac, ok := strings.Cut(token, ".")
	if !ok || len(token) > 2048 {
		return Claims{}, errInvalid
	}
	// Strict: unused trailing bits would let two texts stand for one token.
	sum, err := base64.RawURLEncoding.Strict().DecodeString(mac)
	if err != nil || !hmac.Equal(sum, k.sum(body)) {
		return Claims{}, errInvalid
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return Claims{}, errInvalid
	}
	var c Claims
	if json.Unmarshal(payload, &c) != nil || c.Purpose != purpose {
		return Claims{}, errInvalid
	}
	return c, nil
}

// Peek returns what an execution token says of itself, unchecked. It is for the
// runner, which holds the token but not the secret, and must know which
// execution to ask for; whoever is asked verifies the token.
func Peek(token string) (Claims, error) {
	body, mac, ok := strings.Cut(token, ".")
	if !ok || mac == "" || len(token) > 2048 {
		return Claims{}, errInvalid
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return Claims{}, errInvalid
	}
	var c Claims
	if json.Unmarshal(payload, &c) != nil || c.Purpose != Execution || c.ExecutionID <= 0 {
		return Claims{}, errInvalid
	}
	return c, nil
}

func (k *Keyring) sum(body string) []byte {
	h := hmac.New(sha256.New, k.secret)
	h.Write([]byte(body))
	return h.Sum(nil)
}
