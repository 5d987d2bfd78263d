package project

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of what a tenant writes, in characters.
const (
	MaxName        = 100
	MaxDescription = 4_000
	MaxObjectives  = 20_000
	// MaxProjects is how many projects a tenant may have, and
	// MaxTrialProjects how many it may have before it creates another one
	// while trialing.
	MaxProjects      = 1_000
	MaxTrialProjects = 1
)

// Draft is what a tenant writes of a project.
type Draft struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Objectives  string `json:"objectives"`
}

// Check refuses a draft that can't be stored: a name that is missing, a text
// that is too long, or one with a NUL, which no command could be given. It
// brings the name to one line without space around it.
func (d *Draft) Check() error {
	d.Name = strings.TrimSpace(d.Name)
	if d.Name == "" {
		return Refuse(CodeFieldInvalid, Fields{"field": "name", "problem": "is missing"})
	}
	if strings.ContainsAny(d.Name, "\n\r\t") {
		return Refuse(CodeFieldInvalid, Fields{"field": "name", "problem": "has a line break or tab in it"})
	}
	for _, f := range []struct {
		name, value string
		limit       int
	}{
		{"name", d.Name, MaxName}, {"description", d.Description, MaxDescription}, {"objectives", d.Objectives, MaxObjectives},
	} {
		switch {
		case utf8.RuneCountInString(f.value) > f.limit:
			return Refuse(CodeFieldInvalid, Fields{"field": f.name, "problem": "is longer than " + strconv.Itoa(f.limit) + " characters"})
		case strings.ContainsRune(f.value, 0):
			return Refuse(CodeFieldInvalid, Fields{"field": f.name, "problem": "has a NUL character in it"})
		}
	}
	return nil
}

// maxSlug leaves room in an id for the number of a namesake.
const maxSlug = 90

// SlugOf makes a project id of a name: its ASCII letters and digits in lower
// case, and a hyphen for whatever stands between them. A name without any
// becomes "project".
func SlugOf(name string) string {
	var s strings.Builder
	gap := false
	for _, r := range strings.ToLower(name) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			if gap && s.Len() > 0 {
				s.WriteByte('-')
			}
			gap = false
			s.WriteRune(r)
			if s.Len() >= maxSlug {
				break
			}
			continue
		}
		gap = true
	}
	if s.Len() == 0 {
		return "project"
	}
	return s.String()
}
