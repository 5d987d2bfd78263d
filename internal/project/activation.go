package project

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// codeAlphabet has the letters and digits that can't be taken for one another:
// no I, O, 0 or 1. Its 32 signs make five bits each, 80 bits a code.
const codeAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

const (
	codeGroups    = 4
	codeGroupSize = 4
)

// NewActivationCode makes an activation code: XXXX-XXXX-XXXX-XXXX.
func NewActivationCode() string {
	var b [codeGroups * codeGroupSize]byte
	rand.Read(b[:])
	var s strings.Builder
	for i, x := range b {
		if i > 0 && i%codeGroupSize == 0 {
			s.WriteByte('-')
		}
		s.WriteByte(codeAlphabet[x%byte(len(codeAlphabet))])
	}
	return s.String()
}

// ReadActivationCode returns a code as it was issued, from what a person typed:
// in any case, with or without hyphens and spaces. It refuses what can't be a
// code.
func ReadActivationCode(typed string) (string, error) {
	var s strings.Builder
	n := 0
	for _, r := range strings.ToUpper(typed) {
		if r == '-' || r == ' ' {
			continue
		}
		if !strings.ContainsRune(codeAlphabet, r) || n == codeGroups*codeGroupSize {
			return "", Refuse(CodeActivationMalformed, nil)
		}
		if n > 0 && n%codeGroupSize == 0 {
			s.WriteByte('-')
		}
		s.WriteRune(r)
		n++
	}
	if n != codeGroups*codeGroupSize {
		return "", Refuse(CodeActivationMalformed, nil)
	}
	return s.String(), nil
}

// ActivationCode is an issued code. Only its keyed hash is stored.
type ActivationCode struct {
	Hash      string
	Hint      string // its last group, so that people can tell codes apart
	IssuedAt  time.Time
	ExpiresAt time.Time // after which it can't be assigned; zero: never
	RevokedAt time.Time
	UsedBy    Key    // the project that it was assigned to
	UsedByUID string // and that project's uid
	UsedAt    time.Time
}

// Check refuses a code that can't be assigned at now, whoever asks.
func (c *ActivationCode) Check(now time.Time) error {
	switch {
	case !c.RevokedAt.IsZero():
		return Refuse(CodeActivationCodeRevoked, nil)
	case !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt):
		return Refuse(CodeActivationExpired, nil)
	}
	return nil
}

// Kinds of secrets that a [Hasher] hashes.
const (
	KindActivation = "activation code"
	KindLogin      = "login code"
	KindCursor     = "cursor"
	KindDownload   = "download"
)

// Hasher hashes secrets that are too short, or too few, to be hashed without a
// key: activation codes and login codes.
type Hasher struct{ key []byte }

// NewHasher refuses a key of less than 32 bytes.
func NewHasher(key string) (*Hasher, error) {
	if len(key) < 32 {
		return nil, fmt.Errorf("the hashing key has %d bytes and needs at least 32", len(key))
	}
	return &Hasher{[]byte(key)}, nil
}

// Hash returns the HMAC-SHA-256 of a secret of one kind, in hex. The kind keeps
// a hash of one from being used as one of another.
func (h *Hasher) Hash(kind, secret string) string {
	m := hmac.New(sha256.New, h.key)
	m.Write([]byte(kind))
	m.Write([]byte{0})
	m.Write([]byte(secret))
	return hex.EncodeToString(m.Sum(nil))
}
