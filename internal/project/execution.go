package project

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// DefaultTimeout is how long an execution may run where nothing else is set.
const DefaultTimeout = 24 * time.Hour

// TimeoutSetting names the setting that [ParseTimeout] reads.
const TimeoutSetting = "PROJECT_EXECUTION_TIMEOUT_HOURS"

// ParseTimeout reads a number of hours, such as "24" or "0.5": plain digits
// with an optional fraction, at least a second and at most ten years (87,600
// hours).
func ParseTimeout(hours string) (time.Duration, error) {
	d, err := parseDuration(hours, time.Hour, 87_600)
	if err != nil {
		return 0, fmt.Errorf("%s must be a number of hours above 0, such as 24 or 0.5, and at most 87600; it is %q", TimeoutSetting, hours)
	}
	return d, nil
}

// HeartbeatSetting names the setting that [ParseHeartbeatTimeout] reads.
const HeartbeatSetting = "PROJECT_HEARTBEAT_TIMEOUT_MINUTES"

// ParseHeartbeatTimeout reads after how many minutes of silence the sweep
// fails an execution that had sent heartbeats. Empty means never, the default.
// The least is 2 minutes: four missed heartbeats.
func ParseHeartbeatTimeout(minutes string) (time.Duration, error) {
	if minutes == "" {
		return 0, nil
	}
	d, err := parseDuration(minutes, time.Minute, 87_600*60)
	if err != nil || d < 2*time.Minute {
		return 0, fmt.Errorf("%s must be empty or a number of minutes of at least 2; it is %q", HeartbeatSetting, minutes)
	}
	return d, nil
}

func parseDuration(s string, unit time.Duration, most float64) (time.Duration, error) {
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, err
	}
	d := time.Duration(math.Round(n * float64(unit)))
	if n > most || d < time.Second {
		return 0, strconv.ErrRange
	}
	return d, nil
}

// TimedOut is the error of an execution that ran longer than limit.
func TimedOut(limit time.Duration) string {
	return "Execution timed out: it was running for more than " + inUnits(limit, time.Hour, "hour")
}

// FellSilent is the error of an execution that sent no heartbeat for limit.
func FellSilent(limit time.Duration) string {
	return "Execution lost: it sent no heartbeat for " + inUnits(limit, time.Minute, "minute")
}

func inUnits(d, unit time.Duration, name string) string {
	n := strconv.FormatFloat(float64(d)/float64(unit), 'f', -1, 64)
	if n != "1" {
		name += "s"
	}
	return n + " " + name
}

// idEpoch is where the time part of an execution id begins to count.
var idEpoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// NextExecutionID makes the id of the execution that follows previous (0 for
// none): the milliseconds since 2025 and ten random bits, or previous+1 where
// the clock was set back, so that no id of a project comes twice. It stays
// under 2^53, which JSON numbers hold exactly, until the year 2303.
func NextExecutionID(previous int64, now time.Time) int64 {
	var b [2]byte
	rand.Read(b[:]) // never fails, since Go 1.24
	random := int64(binary.BigEndian.Uint16(b[:]) & 0x3ff)
	return max(previous+1, max(now.Sub(idEpoch).Milliseconds(), 0)<<10|random)
}

// NewToken returns 128 random bits as text: a request token, a project_uid or
// a runner id.
func NewToken() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// NewSessionToken makes a session token for a tenant: tenant_id.secret with
// 256 random bits.
func NewSessionToken(tenantID string) string {
	var b [32]byte
	rand.Read(b[:])
	return tenantID + "." + base64.RawURLEncoding.EncodeToString(b[:])
}

// SplitSessionToken returns the tenant that a session token speaks for, and
// whether it has a token's form, tenant_id.secret.
func SplitSessionToken(token string) (tenantID string, ok bool) {
	i := strings.LastIndexByte(token, '.')
	if i <= 0 || i == len(token)-1 || len(token) > 512 {
		return "", false
	}
	return token[:i], true
}

// Hash returns the SHA-256 of a token or key, in hex: what is stored of it.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// ClipError makes what a command or an engine said fit for keeping: valid
// UTF-8, no control characters but newline and tab, at most [MaxError] bytes.
// A longer text loses its beginning.
func ClipError(s string) string {
	s = clean(s)
	if len(s) <= MaxError {
		return s
	}
	const mark = "… "
	s = s[len(s)-(MaxError-len(mark)):]
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return mark + s
}

// ClipProgress brings a report of progress within its limits.
func ClipProgress(p Progress) Progress {
	message := clean(p.Message)
	if len(message) > MaxProgressMessage {
		message = message[:MaxProgressMessage]
		for len(message) > 0 && !utf8.ValidString(message) {
			message = message[:len(message)-1]
		}
	}
	return Progress{Percent: min(max(p.Percent, 0), 100), Message: message}
}

func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s))
}
