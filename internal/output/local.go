package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"rekindle/internal/archive"
	"rekindle/internal/project"
)

// localLife is how long a link of this machine can be used.
const localLife = 5 * time.Minute

// LocalConfig says where a [Local] finds things. All but Now are needed.
type LocalConfig struct {
	OutputDir string          // holds <tenant>/<project uid>/<execution id>/
	DataDir   string          // holds logs, as runners write them, and downloads, which are ours
	URL       string          // where [Local.ServeHTTP] is reached, without a path
	Hasher    *project.Hasher // signs the links
	Now       func() time.Time
}

// Local has outputs and logs in folders of this machine. It serves the
// downloads itself; see [Local.ServeHTTP]. It is safe for concurrent use.
type Local struct {
	cfg LocalConfig

	mu     sync.Mutex
	builds map[string]*build // by the path of the zip that they make
}

// build is the making of one zip. Err may be read once done is closed.
type build struct {
	done chan struct{}
	err  error
}

// NewLocal makes the folders that it needs. They need not be empty.
func NewLocal(cfg LocalConfig) (*Local, error) {
	if cfg.OutputDir == "" || cfg.DataDir == "" || cfg.URL == "" || cfg.Hasher == nil {
		return nil, errors.New("the outputs of this machine need their folders, a URL and a hasher")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Local{cfg: cfg, builds: map[string]*build{}}
	// What an earlier process did not finish is of no use.
	if err := os.RemoveAll(l.unfinished()); err != nil {
		return nil, fmt.Errorf("the folder of unfinished downloads: %w", err)
	}
	for dir, mode := range map[string]fs.FileMode{cfg.OutputDir: 0o755, l.logs(): 0o700, l.downloads(): 0o700, l.unfinished(): 0o700} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return nil, fmt.Errorf("a folder of the outputs: %w", err)
		}
	}
	return l, nil
}

func (l *Local) logs() string       { return filepath.Join(l.cfg.DataDir, "logs") }
func (l *Local) downloads() string  { return filepath.Join(l.cfg.DataDir, "downloads") }
func (l *Local) unfinished() string { return filepath.Join(l.downloads(), ".unfinished") }

// zipPath is where an execution's zip is kept.
func (l *Local) zipPath(ref project.Ref) string {
	return filepath.Join(l.downloads(), "by-tenant", ref.TenantID, ref.ProjectUID, strconv.FormatInt(ref.ExecutionID, 10)+".zip")
}

// Tail returns the last lines of what an execution wrote to [Stdout] or
// [Stderr]; of a log that is not there yet, nothing.
func (l *Local) Tail(_ context.Context, ref project.Ref, stream string, lines int) (string, error) {
	name, err := logName(stream)
	if err != nil {
		return "", err
	}
	if checkIDs(ref.TenantID, ref.ProjectUID) != nil {
		return "", nil
	}
	text, err := l.readLog(ref, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, archive.ErrNotRegular) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the log of execution %d: %w", ref.ExecutionID, err)
	}
	return lastLines(text, lines), nil
}

func (l *Local) readLog(ref project.Ref, name string) ([]byte, error) {
	folder, err := openFolder(l.logs(), ref.TenantID, ref.ProjectUID, strconv.FormatInt(ref.ExecutionID, 10))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	f, info, err := archive.OpenRegular(folder, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readTail(f, info.Size())
}

// Download returns a link to a zip of what an execution wrote, to be saved under
// a name. The zip is made at the first call, for the execution has ended and
// writes no more. Making it goes on when ctx ends; the refusal asks to call
// again. An output that is not there is refused with CodeOutputMissing.
func (l *Local) Download(ctx context.Context, ref project.Ref, name string) (project.Link, error) {
	if checkIDs(ref.TenantID, ref.ProjectUID) != nil {
		return project.Link{}, project.Refuse(project.CodeOutputMissing, nil)
	}
	info, err := l.ready(ctx, ref)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return project.Link{}, project.Refuse(project.CodeOutputMissing, nil)
	case err != nil && ctx.Err() != nil:
		return project.Link{}, project.Refuse(project.CodeUnavailable, nil)
	case err != nil:
		return project.Link{}, fmt.Errorf("the download of execution %d: %w", ref.ExecutionID, err)
	}
	expires := l.cfg.Now().Add(localLife)
	return project.Link{
		URL:       l.cfg.URL + downloadsPath + l.sign(ticket{ref.TenantID, ref.ProjectUID, ref.ExecutionID, name, expires.UnixMilli()}),
		ExpiresAt: expires, Size: info.Size(), Name: name,
	}, nil
}

// ready waits until an execution's zip is there.
func (l *Local) ready(ctx context.Context, ref project.Ref) (fs.FileInfo, error) {
	path := l.zipPath(ref)
	if info, err := os.Stat(path); err == nil {
		return info, nil
	}
	l.mu.Lock()
	b := l.builds[path]
	if b == nil {
		b = &build{done: make(chan struct{})}
		l.builds[path] = b
		go func() {
			b.err = l.makeZip(ref, path)
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.builds, path)
			close(b.done)
		}()
	}
	l.mu.Unlock()
	select {
	case <-b.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if b.err != nil {
		return nil, b.err
	}
	return os.Stat(path)
}

// makeZip makes a zip beside its place and then puts it there, whole.
func (l *Local) makeZip(ref project.Ref, path string) (err error) {
	folder, err := l.openOutput(ref)
	if err != nil {
		return err
	}
	defer folder.Close()
	f, err := os.CreateTemp(l.unfinished(), "zip-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	err = archive.Write(f, folder)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	// Remove takes the output away first, and then, under the lock, the zip: so
	// none stays behind.
	l.mu.Lock()
	defer l.mu.Unlock()
	still, err := l.openOutput(ref)
	if err != nil {
		return err
	}
	still.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (l *Local) openOutput(ref project.Ref) (*os.Root, error) {
	return openFolder(l.cfg.OutputDir, ref.TenantID, ref.ProjectUID, strconv.FormatInt(ref.ExecutionID, 10))
}

// Remove deletes the output, logs and downloads of every execution of one
// incarnation of a project. What is not there is no error.
func (l *Local) Remove(_ context.Context, tenantID, projectUID string) error {
	if err := checkIDs(tenantID, projectUID); err != nil {
		return fmt.Errorf("removing an output: %w", err)
	}
	err := removeFolder(l.cfg.OutputDir, tenantID, projectUID)
	err = errors.Join(err, removeFolder(l.logs(), tenantID, projectUID))
	l.mu.Lock()
	defer l.mu.Unlock()
	err = errors.Join(err, removeFolder(l.downloads(), "by-tenant", tenantID, projectUID))
	if err != nil {
		return fmt.Errorf("removing the output of project %s: %w", projectUID, err)
	}
	return nil
}

// removeFolder removes the last of the folders named, and no link's target.
func removeFolder(base string, parts ...string) error {
	last := len(parts) - 1
	parent, err := openFolder(base, parts[:last]...)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	return parent.RemoveAll(parts[last])
}
