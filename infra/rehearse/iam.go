package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// call is one action on one resource, as IAM judges it.
type call struct {
	Action   string            // "dynamodb:GetItem"
	Resource string            // an ARN, or "*" where the action has no resource
	Keys     map[string]string // condition keys of the request
}

func (c call) String() string { return c.Action + " on " + c.Resource }

// statement is one of a policy's, of one function.
type statement struct {
	Policy    string
	Sid       string
	Effect    string
	Actions   []string
	Resources []string
	Condition map[string]map[string][]string // operator, key, values
}

// readPolicy reads the statements of a policy document.
func readPolicy(name string, document json.RawMessage) ([]statement, error) {
	var d struct {
		Statement []struct {
			Sid, Effect      string
			Action, Resource texts
			Condition        map[string]map[string]texts
		}
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, fmt.Errorf("policy %s: %w", name, err)
	}
	var all []statement
	for _, s := range d.Statement {
		conditions := map[string]map[string][]string{}
		for operator, keys := range s.Condition {
			conditions[operator] = map[string][]string{}
			for k, v := range keys {
				conditions[operator][k] = v
			}
		}
		all = append(all, statement{name, s.Sid, s.Effect, s.Action, s.Resource, conditions})
	}
	return all, nil
}

// texts is a text or a list of them.
type texts []string

func (t *texts) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(t))
}

// matches says whether a text fits a pattern of IAM's, in which * is any number
// of characters and ? is one.
func matches(pattern, text string) bool {
	for {
		if pattern == "" {
			return text == ""
		}
		switch pattern[0] {
		case '*':
			for i := 0; i <= len(text); i++ {
				if matches(pattern[1:], text[i:]) {
					return true
				}
			}
			return false
		case '?':
			if text == "" {
				return false
			}
		default:
			if text == "" || pattern[0] != text[0] {
				return false
			}
		}
		pattern, text = pattern[1:], text[1:]
	}
}

// matchesAction is matches for actions, whose case says nothing.
func matchesAction(pattern, action string) bool {
	return matches(strings.ToLower(pattern), strings.ToLower(action))
}

// holds says whether a statement's conditions do for a call. Of operators it
// knows StringEquals, which is all that the template uses; others never hold, so
// that a new one is a call which is not allowed.
func (s statement) holds(c call) bool {
	for operator, keys := range s.Condition {
		for key, values := range keys {
			if operator != "StringEquals" || !slices.Contains(values, c.Keys[key]) {
				return false
			}
		}
	}
	return true
}

func (s statement) allows(c call) bool {
	return s.Effect == "Allow" && s.holds(c) &&
		slices.ContainsFunc(s.Actions, func(a string) bool { return matchesAction(a, c.Action) }) &&
		slices.ContainsFunc(s.Resources, func(r string) bool { return matches(r, c.Resource) })
}

// exempt says why a permission is needed that no code uses; empty if it is no
// such one.
func exempt(s statement, action string) string {
	// SAM names the policy that it adds for a destination after the event's
	// configuration.
	if action == "sqs:SendMessage" && strings.Contains(s.Policy, "EventInvokeConfigOnFailure") {
		return "Lambda itself sends what the function failed at to its queue"
	}
	if s.Policy == "PublishEvents" && (action == "sqs:SendMessage" || strings.HasPrefix(action, "logs:")) {
		return "the pipe itself tells what it could not publish"
	}
	return ""
}

// row is one line of the comparison: a permission and how often it was used, or
// a call and that nothing allows it.
type row struct {
	Function, Sid, Action, Resource string
	Calls                           int
	Note                            string
	Problem                         string
}

// compare holds what a function called against what its policies allow, in both
// directions. How is the number of calls by action and resource.
func compare(function string, policies []statement, calls []call) []row {
	var rows []row
	for _, s := range policies {
		for _, action := range s.Actions {
			for _, resource := range s.Resources {
				one := s
				one.Actions, one.Resources = []string{action}, []string{resource}
				r := row{Function: function, Sid: s.Sid, Action: action, Resource: resource}
				for _, c := range calls {
					if one.allows(c) {
						r.Calls++
					}
				}
				if r.Note = exempt(s, action); r.Note == "" && r.Calls == 0 {
					r.Problem = fmt.Sprintf("%s may %s on %s (statement %s), and nothing in the rehearsal called it: take it out of the function's policy in template.yaml, or let infra/rehearse/journey.go go where the code needs it",
						function, action, resource, s.Sid)
				}
				for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
					r.Note = strings.TrimSpace(r.Note + " if " + operator + " " + strings.Join(slices.Sorted(maps.Keys(s.Condition[operator])), ", "))
				}
				rows = append(rows, r)
			}
		}
	}
	said := map[string]bool{}
	for _, c := range calls {
		denied := slices.ContainsFunc(policies, func(s statement) bool {
			return s.Effect == "Deny" && statement{Effect: "Allow", Actions: s.Actions, Resources: s.Resources, Condition: s.Condition}.allows(c)
		})
		if !denied && slices.ContainsFunc(policies, func(s statement) bool { return s.allows(c) }) || said[c.String()] {
			continue
		}
		said[c.String()] = true
		rows = append(rows, row{Function: function, Action: c.Action, Resource: c.Resource, Calls: 1, Problem: fmt.Sprintf(
			"%s calls %s, which its policy does not allow: add the action on that resource to the function's policy in template.yaml", function, c)})
	}
	return rows
}
