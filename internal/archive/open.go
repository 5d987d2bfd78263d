package archive

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// ErrNotRegular is a link, a pipe, a device or the like.
var ErrNotRegular = errors.New("not a regular file")

// OpenRegular opens a regular file: nothing that is a link, and nothing that
// opening or reading could wait for.
func OpenRegular(folder *os.Root, name string) (*os.File, fs.FileInfo, error) {
	seen, err := folder.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !seen.Mode().IsRegular() {
		return nil, nil, ErrNotRegular
	}
	// Should it have become a pipe by now, opening it does not wait.
	f, err := folder.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	got, err := f.Stat()
	if err == nil && !os.SameFile(seen, got) {
		err = ErrNotRegular
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, got, nil
}
