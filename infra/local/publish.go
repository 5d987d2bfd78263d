package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// publishedFile stands in the data folder while a stack serves it, and says how
// its tools (rekindlectl) reach it.
const publishedFile = "stack.json"

// published is what the file holds.
type published struct {
	API      string            `json:"api"`      // base URL of the API and of Lambda's Invoke API
	Database string            `json:"database"` // base URL of the DynamoDB
	Tables   map[string]string `json:"tables"`   // the tables' names, by what functions are told them as
	PID      int               `json:"pid"`      // of the stack's process
}

// writeWhole writes a file for this user's eyes alone. It is written beside and
// renamed: nobody reads a half of it, and a full disk or a kill leaves none to the
// next start.
func writeWhole(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// publish writes the file, for this user's eyes alone, and returns what removes
// it. A stack that was killed leaves one behind; the next one replaces it.
func (s *localStack) publish(data, url string) (remove func() error, err error) {
	p := published{API: url, Database: s.machine.endpoint, PID: os.Getpid(), Tables: map[string]string{
		"PROJECTS_TABLE": s.tables.Projects, "TENANTS_TABLE": s.tables.Tenants, "SESSIONS_TABLE": s.tables.Sessions,
		"SWEEPS_TABLE": s.tables.Sweeps,
	}}
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts and a number always marshal
	}
	path := filepath.Join(data, publishedFile)
	if err := writeWhole(path, append(text, '\n')); err != nil {
		return nil, fmt.Errorf("saying where the stack is: %w", err)
	}
	return func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("taking back where the stack was: %w", err)
		}
		return nil
	}, nil
}
