package main

import (
	"slices"
	"strings"
	"testing"
)

const (
	tableARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/projects"
	indexARN = tableARN + "/index/by-age"
)

func policy(t *testing.T) []statement {
	t.Helper()
	all, err := readPolicy("p", []byte(`{"Statement": [
		{"Sid": "Read", "Effect": "Allow", "Action": ["dynamodb:GetItem", "dynamodb:UpdateItem"], "Resource": "`+tableARN+`"},
		{"Sid": "List", "Effect": "Allow", "Action": "dynamodb:Query", "Resource": ["`+indexARN+`"]},
		{"Sid": "Mail", "Effect": "Allow", "Action": "ses:SendEmail", "Resource": "arn:aws:ses:*:*:identity/*",
			"Condition": {"StringEquals": {"ses:FromAddress": "login@example.com"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func journeyCalls() []call {
	return []call{
		{Action: "dynamodb:GetItem", Resource: tableARN},
		{Action: "dynamodb:UpdateItem", Resource: tableARN},
		{Action: "dynamodb:Query", Resource: indexARN},
		{Action: "ses:SendEmail", Resource: "arn:aws:ses:eu-central-1:123456789012:identity/login@example.com", Keys: map[string]string{"ses:FromAddress": "login@example.com"}},
	}
}

func problems(rows []row) []string {
	var all []string
	for _, r := range rows {
		if r.Problem != "" {
			all = append(all, r.Problem)
		}
	}
	return all
}

func TestPolicyThatIsUsedInFullHasNoProblem(t *testing.T) {
	if got := problems(compare("RunFunction", policy(t), journeyCalls())); got != nil {
		t.Errorf("got %q, want none", got)
	}
}

// What makes the rehearsal worth its time: it can fail, in both directions.
func TestMissingAndUnusedPermissionsAreReported(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p []statement, calls []call) ([]statement, []call)
		want   string
	}{
		{"a permission is removed", func(p []statement, calls []call) ([]statement, []call) {
			p[0].Actions = []string{"dynamodb:GetItem"}
			return p, calls
		}, "RunFunction calls dynamodb:UpdateItem on " + tableARN},
		{"a call is not made", func(p []statement, calls []call) ([]statement, []call) {
			return p, slices.Delete(calls, 1, 2)
		}, "RunFunction may dynamodb:UpdateItem on " + tableARN},
		{"the index is queried as the table", func(p []statement, calls []call) ([]statement, []call) {
			return p, append(calls, call{Action: "dynamodb:Query", Resource: tableARN})
		}, "RunFunction calls dynamodb:Query on " + tableARN},
		{"mail comes from another address", func(p []statement, calls []call) ([]statement, []call) {
			return p, append(calls, call{Action: "ses:SendEmail", Resource: calls[3].Resource[:len(calls[3].Resource)-1], Keys: map[string]string{"ses:FromAddress": "root@example.com"}})
		}, "RunFunction calls ses:SendEmail"},
		{"an explicit denial", func(p []statement, calls []call) ([]statement, []call) {
			return append(p, statement{Sid: "No", Effect: "Deny", Actions: []string{"dynamodb:*"}, Resources: []string{"*"}}), calls
		}, "RunFunction calls dynamodb:GetItem"},
	} {
		statements, calls := c.change(policy(t), journeyCalls())
		got := problems(compare("RunFunction", statements, calls))
		if !slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, c.want) }) {
			t.Errorf("%s: got %q, want one that begins with %q", c.name, got, c.want)
		}
	}
}

func TestPatternsMatchAsIAMDoes(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{tableARN, tableARN, true},
		{tableARN, indexARN, false},
		{tableARN + "/index/*", indexARN, true},
		{"*", "", true},
		{"arn:aws:s3:::b/*", "arn:aws:s3:::b", false},
		{"arn:aws:s3:::b/?", "arn:aws:s3:::b/k", true},
		{"a*c", "abcbd", false},
	} {
		if got := matches(c.pattern, c.text); got != c.want {
			t.Errorf("%s against %s: got %t, want %t", c.pattern, c.text, got, c.want)
		}
	}
	if !matchesAction("s3:Get*", "S3:getobject") {
		t.Error("the case of an action counts")
	}
}
