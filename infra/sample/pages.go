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
	indexTemplate = template.Must(template.New("index").Parse(head + `<header>
<h1>{{.Site}}</h1>
{{with .Description}}<p>{{.}}</p>
{{end}}</header>
<main>
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
<p>This page was made for the objective above.</p>
</main>
</body>
</html>
`))
)

const style = `:root {
  color-scheme: light dark;
  --page: light-dark(#f8fafc, #0f172a);
  --card: light-dark(#ffffff, #1e293b);
  --line: light-dark(#e2e8f0, #334155);
  --text: light-dark(#0f172a, #e2e8f0);
  --soft: light-dark(#475569, #94a3b8);
  --link: light-dark(#1d4ed8, #93c5fd);
  font: 1.0625rem/1.6 system-ui, sans-serif;
}
* { box-sizing: border-box; }
body { max-width: 44rem; margin: 0 auto; padding: 3rem 1.25rem; background: var(--page); color: var(--text); overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 2rem; line-height: 1.2; text-wrap: balance; }
p, nav { color: var(--soft); }
p { white-space: pre-line; }
a { color: var(--link); }
ol { margin: 2rem 0; padding: 0; list-style: none; counter-reset: page; }
li a { display: flex; gap: 1rem; padding: .9rem 1.1rem; margin-top: .6rem; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; text-decoration: none; }
li a::before { counter-increment: page; content: counter(page); color: var(--soft); font-variant-numeric: tabular-nums; }
li a:hover, li a:focus-visible { border-color: var(--link); }
nav + main { margin-top: 2rem; }
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
