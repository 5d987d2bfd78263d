package runner

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"rekindle/internal/project"
)

// progressWindow is how far from its end a progress file is read: a command
// may write a line for every row of its table.
const progressWindow = 64 << 10

// progressFile is the file that the command appends its progress to. The
// runner holds it open and never goes by its path again, which the command
// could have made lead elsewhere, to a pipe that blocks, say.
type progressFile struct {
	dir  string
	file *os.File
	last *project.Progress
}

// newProgressFile makes an empty one in a folder of its own.
func newProgressFile() (*progressFile, error) {
	dir, err := os.MkdirTemp("", "rekindle-")
	if err != nil {
		return nil, fmt.Errorf("make the progress file's folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "progress"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("make the progress file: %w", err)
	}
	return &progressFile{dir: dir, file: f}, nil
}

func (p *progressFile) path() string { return p.file.Name() }

func (p *progressFile) remove() {
	p.file.Close()
	os.RemoveAll(p.dir)
}

// latest returns what the last good line says, or nil if there was none yet.
// Lines that are incomplete or broken are passed over.
func (p *progressFile) latest() *project.Progress {
	info, err := p.file.Stat()
	if err != nil {
		return p.last
	}
	from := max(info.Size()-progressWindow, 0)
	buf := make([]byte, info.Size()-from)
	n, _ := p.file.ReadAt(buf, from) // short where the command truncated it meanwhile
	window := buf[:n]
	if from > 0 {
		// The window begins within a line.
		i := bytes.IndexByte(window, '\n')
		window = window[i+1:]
	}
	if found, ok := lastProgress(window); ok {
		p.last = &found
	}
	return p.last
}

// lastProgress returns the last good one of the complete lines in text.
func lastProgress(text []byte) (project.Progress, bool) {
	for {
		end := bytes.LastIndexByte(text, '\n')
		if end < 0 {
			return project.Progress{}, false
		}
		text = text[:end]
		line := text[bytes.LastIndexByte(text, '\n')+1:]
		if p, ok := parseProgress(string(line)); ok {
			return p, true
		}
	}
}

// parseProgress reads a line such as "40 Generating pages" or "40%". A percent
// beyond 0 and 100 counts as the nearer of the two.
func parseProgress(line string) (project.Progress, bool) {
	percent, message := strings.TrimSpace(line), ""
	if i := strings.IndexAny(percent, " \t"); i >= 0 {
		percent, message = percent[:i], percent[i+1:]
	}
	n, err := strconv.Atoi(strings.TrimSuffix(percent, "%"))
	if err != nil {
		return project.Progress{}, false
	}
	return project.ClipProgress(project.Progress{Percent: n, Message: message}), true
}
