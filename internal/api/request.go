package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"rekindle/internal/project"
	"rekindle/internal/telemetry"
)

// maxBody is how many bytes the body of a run, restart or worker call may have.
const maxBody = 64 << 10

// maxDraft is how many bytes the body of a create or edit may have.
const maxDraft = 256 << 10

// request is one call, with what its log line says of it.
type request struct {
	event       *events.APIGatewayV2HTTPRequest
	tenantID    string
	projectID   string
	executionID int64
	metrics     telemetry.Metrics
}

func (r *request) id() string { return r.event.RequestContext.RequestID }

// header returns a header's value whatever the casing of its name; of one that
// came several times, every value, joined by commas in the order of their names.
// API Gateway lower-cases names and joins values itself; other callers of a
// function may not, and which of two values counts must not be left to chance.
func (r *request) header(name string) string {
	var names []string
	for k := range r.event.Headers {
		if strings.EqualFold(k, name) {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for i, k := range names {
		names[i] = r.event.Headers[k]
	}
	return strings.Join(names, ",")
}

// sameHeader returns a header that may have come several times, as long as every
// value is the same.
func (r *request) sameHeader(name string) (value string, same bool) {
	all := r.header(name)
	if !strings.Contains(all, ",") {
		return strings.TrimSpace(all), true
	}
	for i, v := range strings.Split(all, ",") {
		v = strings.TrimSpace(v)
		if i > 0 && v != value {
			return "", false
		}
		value = v
	}
	return value, true
}

// decode reads a body of at most [maxBody] bytes into v; see decodeUpTo.
func (r *request) decode(v any, mayBeAbsent bool) error { return r.decodeUpTo(maxBody, v, mayBeAbsent) }

// decodeUpTo reads the body into v, strictly: unknown members, a second value and
// other types than v's are refused, so that a misspelt expected_attempt is not
// passed over. An absent body leaves v as it is, if it may be absent.
func (r *request) decodeUpTo(limit int, v any, mayBeAbsent bool) error {
	raw := []byte(r.event.Body)
	if r.event.IsBase64Encoded {
		if len(raw) > base64.StdEncoding.EncodedLen(limit) {
			return project.Refuse(project.CodeBodyTooLarge, project.Fields{"limit_bytes": limit})
		}
		var err error
		if raw, err = base64.StdEncoding.DecodeString(r.event.Body); err != nil {
			return project.Refuse(project.CodeBodyEncoding, nil)
		}
	}
	if len(raw) > limit {
		return project.Refuse(project.CodeBodyTooLarge, project.Fields{"limit_bytes": limit})
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		if mayBeAbsent {
			return nil
		}
		return invalidBody("it is empty")
	}
	if ct := r.header("content-type"); ct != "" {
		if media, _, err := mime.ParseMediaType(ct); err != nil || media != "application/json" {
			return project.Refuse(project.CodeContentType, project.Fields{"content_type": printable(ct)})
		}
	}
	if !utf8.Valid(raw) {
		return invalidBody("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return invalidBody(jsonProblem(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalidBody("something follows its JSON value")
	}
	return nil
}

func invalidBody(problem string) error {
	return project.Refuse(project.CodeBodyInvalid, project.Fields{"problem": problem})
}

// jsonProblem says what is wrong with a body in words for its sender, and repeats
// no more of it than helps to find the place.
func jsonProblem(err error) string {
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is not JSON, at byte %d", syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "its JSON ends too early"
	case errors.As(err, &kind):
		if kind.Field == "" {
			return "a JSON object is wanted, not " + jsonKind(kind.Value)
		}
		return printable(kind.Field) + " can't be " + jsonKind(kind.Value)
	}
	// The one error that encoding/json gives no type: an unknown member.
	return printable(strings.TrimPrefix(err.Error(), "json: "))
}

// jsonKind says in words what encoding/json names as the value that it met: a
// kind, or with a number that does not fit "number" and the number.
func jsonKind(value string) string {
	switch value {
	case "array", "object":
		return "an " + value
	case "string", "number":
		return "a " + value
	case "bool":
		return "true or false"
	}
	return printable("the " + value)
}

// printable makes what a caller sent fit to be quoted in an answer: at most 100
// characters, printable ASCII alone.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 100)]
}

// isPrintable says whether s has 1 to limit printable ASCII characters.
func isPrintable(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
