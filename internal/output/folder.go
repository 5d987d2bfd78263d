package output

import (
	"fmt"
	"io"
	"io/fs"
	"os"

	"rekindle/internal/project"
)

// openFolder opens a folder below base, and is sure that none of the parts on
// the way is a link. An [os.Root] alone would follow one that stays inside it,
// such as from one tenant's folder to another's. The error is fs.ErrNotExist
// where there is no such folder.
func openFolder(base string, parts ...string) (*os.Root, error) {
	at, err := os.OpenRoot(base)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		next, err := openChild(at, part)
		at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

func openChild(at *os.Root, name string) (*os.Root, error) {
	seen, err := at.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !seen.IsDir() {
		return nil, fmt.Errorf("%q is no folder: %w", name, fs.ErrNotExist)
	}
	next, err := at.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	got, err := next.Stat(".")
	if err == nil && !os.SameFile(seen, got) {
		err = fmt.Errorf("%q was replaced while it was opened: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		next.Close()
		return nil, err
	}
	return next, nil
}

// readTail returns a file's last [project.MaxLog] bytes.
func readTail(f *os.File, size int64) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(f, max(0, size-project.MaxLog), min(size, project.MaxLog)))
}
