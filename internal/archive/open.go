package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// OpenFolder opens a folder of a folder, and no link to one. The error is
// fs.ErrNotExist where there is no such folder.
func OpenFolder(at *os.Root, name string) (*os.Root, error) {
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
