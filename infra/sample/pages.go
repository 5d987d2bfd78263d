package main

import (
	"errors"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
)

const head = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{with .Title}}{{.}} – {{end}}{{.Site}}</title>
<link rel="stylesheet" href="style.css">
</head>
<body>
`

var (
	indexTemplate = template.Must(template.New("index").Option("missingkey=zero").Parse(head + `<main>
<h1>{{.Site}}</h1>
<p>{{.Description}}</p>
<ol>
{{range .Pages}}<li><a href="{{.File}}">{{.Title}}</a></li>
{{end}}</ol>
</main>
</body>
</html>
`))
	pageTemplate = template.Must(template.New("page").Parse(head + `<nav><a href="index.html">{{.Site}}</a></nav>
<main>
<h1>{{.Title}}</h1>
</main>
</body>
</html>
`))
)

const style = `:root { color-scheme: light dark; font: 1.1rem/1.6 system-ui, sans-serif; }
body { max-width: 42rem; margin: 3rem auto; padding: 0 1rem; }
a { color: light-dark(#1d4ed8, #93c5fd); }
li { margin: .4rem 0; }
`

// render writes a file of the site. Text is escaped: it never becomes markup.
func (s *site) render(name string, t *template.Template, data any) error {
	f, err := os.Create(filepath.Join(s.folder, name))
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := errors.Join(t.Execute(f, data), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
