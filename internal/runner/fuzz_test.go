package runner

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"rekindle/internal/project"
)

// Whatever a command writes to its progress file, what is made of it is within
// the limits that the API holds progress to.
func FuzzProgress(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "40 Generating pages\n", "40%\n", "40% half", "-1 x\n", "99999999999999999999 x\n", "1e2 x\n", "50 \xff\xfe\n",
		"50 a\x00b\r\n", "10 a\n20 b\nnonsense\n", "\t7\tx\t\n", strings.Repeat("x", 70<<10) + "\n30 end\n", "30 " + strings.Repeat("é", 2000) + "\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := newProgressFile()
		if err != nil {
			t.Fatal(err)
		}
		defer p.remove()
		if err := os.WriteFile(p.path(), text, 0o600); err != nil {
			t.Fatal(err)
		}
		got := p.latest()
		if got == nil {
			return
		}
		if got.Percent < 0 || got.Percent > 100 || len(got.Message) > project.MaxProgressMessage || !utf8.ValidString(got.Message) ||
			strings.ContainsFunc(got.Message, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }) {
			t.Errorf("%q: got %d %q", text, got.Percent, got.Message)
		}
		if !bytes.Contains(text, []byte("\n")) {
			t.Errorf("%q: an incomplete line counts: %+v", text, got)
		}
	})
}
