package output

import (
	"io"
	"os"

	"rekindle/internal/archive"
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
		next, err := archive.OpenFolder(at, part)
		at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// readTail returns a file's last [project.MaxLog] bytes.
func readTail(f *os.File, size int64) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(f, max(0, size-project.MaxLog), min(size, project.MaxLog)))
}
