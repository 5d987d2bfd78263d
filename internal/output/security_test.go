package output_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rekindle/internal/project"
)

// Ids that lead elsewhere name nothing, whatever they are asked of.
func TestIDsThatLeadElsewhereNameNoOutput(t *testing.T) {
	p := newPlace(t)
	p.wrote(ref, "a.txt", "acme's")
	p.write(filepath.Join(p.data, "secret"), "the stack's own")
	p.write(filepath.Join(p.data, "logs", "acme", "uid", "77", "stdout.log"), "acme's\n")
	for _, bad := range []string{"", ".", "..", "../acme", "acme/uid", `..\acme`, "/", "/etc", "\x00", "acme\x00", "a/../acme", strings.Repeat("../", 50)} {
		for _, r := range []project.Ref{
			{Key: project.Key{TenantID: bad, ProjectID: "site"}, ProjectUID: "uid", ExecutionID: 77},
			{Key: project.Key{TenantID: "acme", ProjectID: "site"}, ProjectUID: bad, ExecutionID: 77},
		} {
			if link, err := p.Download(t.Context(), r, "x.zip"); project.CodeOf(err) != project.CodeOutputMissing {
				t.Errorf("%q: got %v, %v, want %s", bad, link, err, project.CodeOutputMissing)
			}
			if text, err := p.Tail(t.Context(), r, "stdout", 10); err != nil || text != "" {
				t.Errorf("%q: the log: %q, %v", bad, text, err)
			}
			if err := p.Remove(t.Context(), r.TenantID, r.ProjectUID); err == nil {
				t.Errorf("%q was removed", bad)
			}
		}
	}
	for _, stream := range []string{"", "runner", "../../secret", "stdout.log/../../secret", "stdout\x00"} {
		if text, err := p.Tail(t.Context(), ref, stream, 10); err == nil {
			t.Errorf("%q: got %q", stream, text)
		}
	}
	if names, _ := p.fetch(p.link(ref)); !slices.Equal(names, []string{"a.txt"}) {
		t.Errorf("got %q", names)
	}
}

// A hard link can't be told from the file, so it is one: it gives what the
// command, whose user makes the zip, could have copied. One that was made of a
// file of another execution is no way to change that file, for the zip only reads.
func TestHardLinkIsAFileLikeAnyOther(t *testing.T) {
	p := newPlace(t)
	p.wrote(ref, "a.txt", "a")
	other := ref
	other.ExecutionID = 78
	p.wrote(other, "b.txt", "b")
	if err := os.Link(filepath.Join(p.out, folder(other), "b.txt"), filepath.Join(p.out, folder(ref), "b.txt")); err != nil {
		t.Fatal(err)
	}
	if names, texts := p.fetch(p.link(ref)); !slices.Equal(names, []string{"a.txt", "b.txt"}) || texts["b.txt"] != "b" {
		t.Errorf("got %q %v", names, texts)
	}
	if err := p.Remove(t.Context(), "acme", "uid"); err != nil {
		t.Fatal(err)
	}
}

// Names that are a path, a drive, a header or a command elsewhere are none in
// the zip, and none in what a browser saves.
func TestHostileNamesLeadNowhere(t *testing.T) {
	p := newPlace(t)
	for _, name := range []string{
		`..\..\up.txt`, `C:\x.txt`, "a:b", "%2e%2e%2fup.txt", "a\r\nSet-Cookie: x=1", "=cmd.csv", "\xc0\xae\xc0\xae", "a|b", "aux?", "\u202etxt.exe", strings.Repeat("n", 255),
	} {
		p.wrote(ref, name, "x")
	}
	names, _ := p.fetch(p.link(ref))
	// The first begins with a dot, and such names are left out.
	if len(names) != 10 {
		t.Errorf("got %d names, want 10: %q", len(names), names)
	}
	for _, name := range names {
		if strings.ContainsAny(name, "\\/:*?\"<>|\r\n\x00") || strings.HasPrefix(name, "..") {
			t.Errorf("the zip has %q", name)
		}
	}
	for _, as := range []string{"a\"; filename=evil.exe", "a\r\nX: y", "../../x.zip", `..\x.zip`, "", ".", "é.zip", strings.Repeat("a", 10_000)} {
		link, err := p.Download(t.Context(), ref, as)
		if err != nil {
			t.Fatal(err)
		}
		got := get(t, p, http.MethodGet, link.URL).Header.Get("Content-Disposition")
		if !strings.HasPrefix(got, "attachment; filename=") || strings.ContainsAny(got, "\r\n/\\\"") || strings.Count(got, ";") != 1 {
			t.Errorf("%.40q: got %.100q", as, got)
		}
	}
}
