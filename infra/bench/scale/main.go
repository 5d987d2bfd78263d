package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// document is where the tables stand, below the project's root.
var document = filepath.Join("docs", "scale.md")

func main() {
	update := flag.Bool("update", false, "write the tables into "+document)
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Prints the tables of %s. Run it at the root of the project.\n\n", document)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "scale takes no arguments but -update")
		os.Exit(2)
	}
	if err := run(".", *update, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "scale: "+err.Error())
		os.Exit(1)
	}
}

// run prints the tables, or writes them into the document.
func run(root string, update bool, out io.Writer) error {
	m, err := newModel(root)
	if err != nil {
		return err
	}
	all, err := tables(m)
	if err != nil {
		return err
	}
	if !update {
		for i, t := range all {
			if i > 0 {
				fmt.Fprintln(out)
			}
			fmt.Fprintf(out, "%s:\n\n%s", t.name, t.text)
		}
		return nil
	}
	file := filepath.Join(root, document)
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := fill(string(old), all)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if text == string(old) {
		fmt.Fprintf(out, "%s is as it should be\n", file)
		return nil
	}
	fmt.Fprintf(out, "%s was written\n", file)
	return os.WriteFile(file, []byte(text), 0o644)
}

// marks are the lines of a document that a table stands between.
func marks(name string) (begin, end string) {
	return "<!-- scale: " + name + " -->\n", "<!-- /scale -->\n"
}

// fill puts each table between its marks, which Markdown needs an empty line from.
func fill(text string, all []table) (string, error) {
	if n := strings.Count(text, "<!-- scale: "); n != len(all) {
		return "", fmt.Errorf("it has places for %d tables, and there are %d", n, len(all))
	}
	for _, t := range all {
		begin, end := marks(t.name)
		before, rest, found := strings.Cut(text, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			return "", fmt.Errorf("it has no place for the table %s: %s and %s", t.name, strings.TrimSpace(begin), strings.TrimSpace(end))
		}
		text = before + begin + "\n" + t.text + "\n" + end + after
	}
	return text, nil
}
