package api

import (
	"encoding/json"
	"strings"
	"testing"
)

// A refusal of a body is a sentence that a person can mend the body by.
func TestBodyProblemsAreSaidInWords(t *testing.T) {
	for body, want := range map[string]string{
		`[]`:                           "a JSON object is wanted, not an array",
		`"x"`:                          "a JSON object is wanted, not a string",
		`7`:                            "a JSON object is wanted, not a number",
		`true`:                         "a JSON object is wanted, not true or false",
		`{"expected_attempt":"1"}`:     "expected_attempt can't be a string",
		`{"expected_attempt":[1]}`:     "expected_attempt can't be an array",
		`{"expected_attempt":{"n":1}}`: "expected_attempt can't be an object",
		`{"expected_attempt":true}`:    "expected_attempt can't be true or false",
		`{"expected_attempt":1.5}`:     "expected_attempt can't be the number 1.5",
		`{"expected_attempt":99999999999999999999}`: "expected_attempt can't be the number 99999999999999999999",
		`{"expected_attempt":`:                      "its JSON ends too early",
		`{"expected_attempt":x}`:                    "it is not JSON, at byte 21",
		`{"attempt":1}`:                             `unknown field "attempt"`,
	} {
		d := json.NewDecoder(strings.NewReader(body))
		d.DisallowUnknownFields()
		var in struct {
			ExpectedAttempt int `json:"expected_attempt"`
		}
		err := d.Decode(&in)
		if err == nil {
			t.Errorf("%s: was taken", body)
			continue
		}
		if got := jsonProblem(err); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}
