//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockData takes the data folder for this process, until it ends however it
// ends. Two stacks on one folder would share a database that takes one.
func lockData(dir string) (release func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data folder %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another stack is using it: stop that one, or give this one its own with -data")
		}
		return nil, errors.Join(fmt.Errorf("the data folder %s: %w", dir, err), f.Close())
	}
	return f.Close, nil
}
