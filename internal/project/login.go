package project

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"
)

// The life of a login code.
const (
	// LoginCodeLife is how long a login code is good.
	LoginCodeLife = 10 * time.Minute
	// MaxLoginTries is how many codes may be tried against an issued one. The
	// right one counts too, for it is counted before it is compared.
	MaxLoginTries = 5
	// MaxLoginCodes is how many codes are issued for a slug in any
	// LoginCodeWindow.
	MaxLoginCodes   = 3
	LoginCodeWindow = time.Hour
)

var slugForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// ReadSlug returns the slug that a person typed, in any case and with spaces
// around it. It refuses what can't be a tenant's slug.
func ReadSlug(typed string) (string, error) {
	slug := strings.ToLower(strings.TrimSpace(typed))
	if !slugForm.MatchString(slug) {
		return "", Refuse(CodeLoginSlugInvalid, nil)
	}
	return slug, nil
}

// NewLoginCode makes a login code of six digits.
func NewLoginCode() string {
	// rand.Reader does not fail, and neither does rand.Int then.
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%06d", n)
}

// ReadLoginCode returns the six digits of the code that a person typed, with
// spaces or not, and whether it is one.
func ReadLoginCode(typed string) (string, bool) {
	code := strings.ReplaceAll(strings.TrimSpace(typed), " ", "")
	if len(code) != 6 || strings.Trim(code, "0123456789") != "" {
		return "", false
	}
	return code, true
}

// Login is the login code that was issued last for a slug. A slug that is no
// tenant's has one too, which nobody was sent and no code fits: whoever asks
// for a slug can't tell.
type Login struct {
	Slug      string
	TenantID  string // empty: the slug is no tenant's
	CodeHash  string // by [Hasher.LoginCode]; empty once the code was used
	ExpiresAt time.Time
	Tries     int
}

// LoginCode hashes a login code of a tenant.
func (h *Hasher) LoginCode(tenantID, code string) string {
	return h.Hash(KindLogin, tenantID+":"+code)
}

// Fits says whether the code with this hash is the issued one, in a time that
// tells nothing of it.
func (l *Login) Fits(codeHash string) bool {
	return l.TenantID != "" && l.CodeHash != "" && subtle.ConstantTimeCompare([]byte(l.CodeHash), []byte(codeHash)) == 1
}
