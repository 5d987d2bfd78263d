// Package archive makes zips of what executions wrote.
//
// What a command wrote is not to be trusted: no link is ever followed, and names
// are made harmless for whoever unpacks them elsewhere. The package imports no
// AWS package, for the runner uses it too.
package archive

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// maxDepth is how deep folders may be nested. Deeper ones are no work of a
// sensible command, and many programs can't unpack them.
const maxDepth = 100

// Write writes a zip of a folder's files to w, in the order of their names. Left out
// are links and whatever else is neither a file nor a folder, and what is not
// the tenant's to have or keep: names that begin with a dot, env files, logs. A
// folder without files makes an empty zip.
func Write(w io.Writer, folder *os.Root) error {
	z := zip.NewWriter(w)
	if err := addFolder(z, folder, ".", "", 1); err != nil {
		return err
	}
	return z.Close()
}

// addFolder adds the files of a folder's subfolder from, and calls it to in the
// zip.
func addFolder(z *zip.Writer, folder *os.Root, from, to string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("folders are nested deeper than %d", maxDepth)
	}
	entries, err := readFolder(folder, from)
	if err != nil {
		return err
	}
	names := safeNames(entries)
	for i, e := range entries {
		in, out := path.Join(from, e.Name()), path.Join(to, names[i])
		switch {
		case leftOut(e.Name()):
		case e.IsDir():
			err = addFolder(z, folder, in, out, depth+1)
		case e.Type().IsRegular():
			err = addFile(z, folder, in, out)
		}
		// What was taken away meanwhile is not there to be added.
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// readFolder returns the entries in the order of their names.
func readFolder(folder *os.Root, name string) ([]fs.DirEntry, error) {
	f, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

func addFile(z *zip.Writer, folder *os.Root, from, to string) error {
	f, info, err := OpenRegular(folder, from)
	if errors.Is(err, ErrNotRegular) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := z.CreateHeader(&zip.FileHeader{Name: to, Method: zip.Deflate, Modified: info.ModTime().UTC()})
	if err != nil {
		return err
	}
	// A file that still grows ends where it ended when it was opened.
	_, err = io.Copy(w, io.LimitReader(f, info.Size()))
	return err
}

func leftOut(name string) bool {
	lower := strings.ToLower(name)
	return strings.HasPrefix(name, ".") || strings.HasSuffix(lower, ".env") || strings.HasSuffix(lower, ".log")
}

// safeNames returns the entries' names as they go into the zip: signs that mean
// something in a path of another system, such as a backslash or the colon of a
// drive, become underscores. No two entries share a name.
func safeNames(entries []fs.DirEntry) []string {
	taken := make(map[string]bool, len(entries))
	for _, e := range entries {
		taken[e.Name()] = true
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		name := strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || strings.ContainsRune(`\/:*?"<>|`, r) {
				return '_'
			}
			return r
		}, strings.ToValidUTF8(e.Name(), "_"))
		if name != e.Name() {
			for taken[name] {
				name = "_" + name
			}
			taken[name] = true
		}
		names[i] = name
	}
	return names
}
