package project_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rekindle/internal/project"
)

// goFiles parses the Go files under a folder, without the tests.
func goFiles(t *testing.T, root string) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "node_modules":
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files[path], err = parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// codes returns the constants of type Code, by name.
func codes(t *testing.T) map[string]project.Code {
	t.Helper()
	all := map[string]project.Code{}
	for path, file := range goFiles(t, ".") {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Code" {
				return true
			}
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			all[spec.Names[0].Name] = project.Code(text)
			return true
		})
	}
	if len(all) < 50 {
		t.Fatalf("found %d codes: is this still how they are written?", len(all))
	}
	return all
}

func TestEveryCodeHasASentenceOfItsOwn(t *testing.T) {
	names := map[project.Code]string{}
	for name, code := range codes(t) {
		if other, ok := names[code]; ok {
			t.Errorf("%s and %s are both %q", name, other, code)
		}
		names[code] = name
		if project.Sentences[code] == "" {
			t.Errorf("%s (%q) has no sentence", name, code)
		}
	}
	for code := range project.Sentences {
		if names[code] == "" {
			t.Errorf("%q has a sentence and is no constant", code)
		}
	}
}

var placeholder = regexp.MustCompile(`\{([^}]*)\}`)

// Whoever refuses with a code gives the fields that its sentence names.
func TestEveryRefusalFillsItsSentence(t *testing.T) {
	byName, files := codes(t), map[string]*ast.File{}
	for _, folder := range []string{"functions", "infra", "internal"} {
		maps.Copy(files, goFiles(t, filepath.Join("..", "..", folder)))
	}
	refusals := 0
	for path, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			var code, fields ast.Expr
			switch n := n.(type) {
			case *ast.CallExpr:
				if lastName(n.Fun) != "Refuse" || len(n.Args) != 2 {
					return true
				}
				code, fields = n.Args[0], n.Args[1]
			case *ast.CompositeLit:
				if lastName(n.Type) != "Error" {
					return true
				}
				code, fields = member(n, "Code"), member(n, "Fields")
			default:
				return true
			}
			sentence, ok := project.Sentences[byName[lastName(code)]]
			if !ok {
				return true // the code is in a variable
			}
			refusals++
			var given []string
			if literal, ok := fields.(*ast.CompositeLit); ok {
				for _, e := range literal.Elts {
					name, err := strconv.Unquote(e.(*ast.KeyValueExpr).Key.(*ast.BasicLit).Value)
					if err != nil {
						t.Fatal(err)
					}
					given = append(given, name)
				}
			}
			for _, m := range placeholder.FindAllStringSubmatch(sentence, -1) {
				if !slices.Contains(given, m[1]) {
					t.Errorf("%s: %s is given %v, and its sentence is %q", path, lastName(code), given, sentence)
				}
			}
			for _, name := range given {
				if name == "detail" || name == "code" {
					t.Errorf("%s: the field %s of %s would hide the answer's own", path, name, lastName(code))
				}
			}
			return true
		})
	}
	if refusals < 30 {
		t.Errorf("found %d refusals: is this still how they are written?", refusals)
	}
}

// lastName returns the identifier that an expression ends in: Refuse for
// project.Refuse.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func member(literal *ast.CompositeLit, name string) ast.Expr {
	for _, e := range literal.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok && lastName(kv.Key) == name {
			return kv.Value
		}
	}
	return nil
}

func TestSentencesReadAsSentences(t *testing.T) {
	for _, code := range slices.Sorted(maps.Keys(project.Sentences)) {
		s := project.Sentences[code]
		if strings.TrimSpace(s) != s || strings.HasSuffix(s, ".") || s[0] < 'A' || s[0] > 'Z' {
			t.Errorf("%s: %q does not begin with a capital and end without a full stop", code, s)
		}
		if strings.Contains(s, "|") {
			t.Errorf("%s: %q does not fit into the page's table", code, s)
		}
		for _, m := range placeholder.FindAllStringSubmatch(s, -1) {
			if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(m[1]) {
				t.Errorf("%s: {%s} is no field's name", code, m[1])
			}
		}
	}
}

// What a caller sent is never read as a part of the sentence.
func TestFieldsAreFilledInAsTheyAre(t *testing.T) {
	err := project.Refuse(project.CodeQueryInvalid, project.Fields{"parameter": "{problem}", "problem": "is not known"})
	if got, want := err.Error(), "The query parameter {problem} is not known"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
