// Command rekindle-sample is the work that projects do until they are given
// another: it writes a small static site, a page an objective.
//
// It shows what a command gets: the project in PROJECT_NAME,
// PROJECT_DESCRIPTION and PROJECT_OBJECTIVES, a folder for its output in
// OUTPUT_DIR, and a file for its progress in PROGRESS_FILE. An objective
// "sleep: 30s" makes it slow, and "fail: reason" makes it fail with that reason.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	s := site{
		name: os.Getenv("PROJECT_NAME"), description: os.Getenv("PROJECT_DESCRIPTION"),
		folder: os.Getenv("OUTPUT_DIR"), progress: os.Getenv("PROGRESS_FILE"), sleep: time.Sleep,
	}
	if err := s.write(os.Getenv("PROJECT_OBJECTIVES")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// site is the site being written.
type site struct {
	name, description string
	folder            string
	progress          string // file that progress is appended to; may be empty
	sleep             func(time.Duration)
	pages             []page
}

// page is one page, of one objective.
type page struct{ Title, File string }

// write does what the objectives say, one a line.
func (s *site) write(objectives string) error {
	if s.folder == "" {
		return errors.New("OUTPUT_DIR is not set: run this as a project's command")
	}
	var steps []string
	for line := range strings.Lines(objectives) {
		if line = strings.TrimSpace(line); line != "" {
			steps = append(steps, line)
		}
	}
	if len(steps) == 0 {
		return errors.New("the project has no objectives: write one a line")
	}
	for i, step := range steps {
		if err := s.step(step); err != nil {
			// What was made before can be looked at all the same.
			return errors.Join(err, s.finish())
		}
		if err := s.report((i+1)*100/(len(steps)+1), step); err != nil {
			return err
		}
	}
	if err := s.finish(); err != nil {
		return err
	}
	return s.report(100, fmt.Sprintf("%d pages", len(s.pages)))
}

// step does one objective.
func (s *site) step(step string) error {
	if reason, ok := strings.CutPrefix(step, "fail:"); ok {
		if reason = strings.TrimSpace(reason); reason == "" {
			reason = "an objective says fail, and not why"
		}
		return errors.New(reason)
	}
	if text, ok := strings.CutPrefix(step, "sleep:"); ok {
		d, err := time.ParseDuration(strings.TrimSpace(text))
		if err != nil || d < 0 {
			return fmt.Errorf("the objective %q does not say how long: write it as 30s or 5m", step)
		}
		fmt.Println("sleeping", d)
		s.sleep(d)
		return nil
	}
	p := page{Title: step, File: fmt.Sprintf("page-%02d.html", len(s.pages)+1)}
	s.pages = append(s.pages, p)
	fmt.Println("writing", p.File)
	return s.render(p.File, pageTemplate, map[string]any{"Site": s.name, "Title": p.Title})
}

func (s *site) finish() error {
	if err := os.WriteFile(filepath.Join(s.folder, "style.css"), []byte(style), 0o644); err != nil {
		return fmt.Errorf("writing the style: %w", err)
	}
	return s.render("index.html", indexTemplate, map[string]any{"Site": s.name, "Description": s.description, "Pages": s.pages})
}

// report appends a line of progress, such as "40 Generating pages".
func (s *site) report(percent int, message string) error {
	if s.progress == "" {
		return nil
	}
	f, err := os.OpenFile(s.progress, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("reporting progress: %w", err)
	}
	_, err = fmt.Fprintf(f, "%d %s\n", percent, message)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("reporting progress: %w", err)
	}
	return nil
}
