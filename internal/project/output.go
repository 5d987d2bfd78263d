package project

import "time"

// Link is where an execution's output can be fetched for a while, by whoever
// has it.
type Link struct {
	URL       string
	ExpiresAt time.Time
	Size      int64  // bytes of the zip
	Name      string // of the file that a browser saves
}
