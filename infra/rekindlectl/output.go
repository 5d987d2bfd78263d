package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"rekindle/internal/project"
)

// maxClip is how many characters a list shows of a tenant's text.
const maxClip = 60

// print prints v as JSON if that was asked for, and else as a table of rows,
// the first of them the headings.
func (a *app) print(v any, rows [][]string) error {
	if a.json {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		line := make([]string, len(row))
		for i, text := range row {
			line[i] = cell(text)
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(line, "\t"), "\t"))
	}
	return w.Flush()
}

// cell makes a text fit for a table: one line, and nothing in it that a
// terminal would obey, for names and errors are written by tenants. An absent
// one is a dash.
func cell(text string) string {
	if text = oneLine(text); text == "" {
		return "-"
	}
	return text
}

// clip shortens a text for a list, to its beginning.
func clip(text string) string {
	r := []rune(oneLine(text))
	if len(r) > maxClip {
		return string(r[:maxClip-1]) + "…"
	}
	return string(r)
}

func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.Join(strings.Fields(text), " "))
}

// when writes a time to the second; the zero time is absent.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// enumeration writes "a, b or c".
func enumeration[T ~string](all []T) string {
	var s strings.Builder
	for i, x := range all {
		switch {
		case i == 0:
		case i == len(all)-1:
			s.WriteString(" or ")
		default:
			s.WriteString(", ")
		}
		s.WriteString(string(x))
	}
	return s.String()
}

// count writes "1 session" or "2 sessions".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// noSubscription is how a tenant without a subscription reads on the command
// line.
const noSubscription = "none"

// subscriptionStates are the states that the command line takes.
func subscriptionStates() []string {
	states := make([]string, 0, len(project.Subscriptions)+1)
	for _, s := range project.Subscriptions {
		states = append(states, string(s))
	}
	return append(states, noSubscription)
}
