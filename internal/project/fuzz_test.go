package project_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"rekindle/internal/project"
)

// What people and commands write never breaks the rules of what is kept.
func FuzzTexts(f *testing.F) {
	for _, seed := range []string{"", "My Site", "żółw 世界", "a\x00b", "../../etc", "acme.secret", "ABCD-EFGH-JKLM-2345", strings.Repeat("🔄", 500), "\xff\xfe", "-", "."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id := project.SlugOf(s); project.CheckProjectID(id+"-999") != nil {
			t.Errorf("SlugOf(%q) = %q, which is no id with room for a number", s, id)
		}
		if code, err := project.ReadActivationCode(s); err == nil {
			if again, err := project.ReadActivationCode(code); err != nil || again != code {
				t.Errorf("ReadActivationCode(%q) = %q, which reads as %q, %v", s, code, again, err)
			}
		}
		if tenant, ok := project.SplitSessionToken(s); ok && !strings.HasPrefix(s, tenant+".") {
			t.Errorf("SplitSessionToken(%q) = %q", s, tenant)
		}
		if clipped := project.ClipError(s); len(clipped) > project.MaxError || !utf8.ValidString(clipped) || strings.ContainsRune(clipped, 0) {
			t.Errorf("ClipError(%q) = %q", s, clipped)
		}
		if p := project.ClipProgress(project.Progress{Percent: len(s) - 50, Message: s}); len(p.Message) > project.MaxProgressMessage || !utf8.ValidString(p.Message) || p.Percent < 0 || p.Percent > 100 {
			t.Errorf("ClipProgress(%q) = %+v", s, p)
		}
		d := project.Draft{Name: s, Description: s, Objectives: s}
		if d.Check() == nil && (d.Name == "" || strings.ContainsRune(s, 0) || utf8.RuneCountInString(d.Name) > project.MaxName) {
			t.Errorf("a draft of %q passed", s)
		}
		if d, err := project.ParseTimeout(s); err == nil && d <= 0 {
			t.Errorf("ParseTimeout(%q) = %s", s, d)
		}
	})
}
