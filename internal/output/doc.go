// Package output reaches what executions left behind: their output and the end
// of their logs.
//
// Both lie under tenant, project uid and execution id, so that an execution
// writes over no other one, and a project that was deleted and made again under
// the same id never shows the files of the old one. [S3] has them in the bucket
// that the runners upload to; [Local] has them in folders of this machine.
//
// What a command wrote is not to be trusted. On this machine that means that no
// link is ever followed, and that names are made harmless for whoever unpacks
// them elsewhere; see [Local.Download].
//
// A runner in the cloud has no credentials. It sends its output as the parts of
// one zip, and the ends of its logs, to URLs that [S3] signs for it: each for one
// object or part, and for exactly as many bytes as it said.
package output

import (
	"bytes"
	"fmt"
	"strings"
)

// The streams of a log.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

func logName(stream string) (string, error) {
	if stream != Stdout && stream != Stderr {
		return "", fmt.Errorf("there is no stream %q", stream)
	}
	return stream + ".log", nil
}

// checkIDs refuses ids that can't name a folder, and so none of ours: an empty
// one would name everything that a tenant has, and .. that of another tenant.
func checkIDs(ids ...string) error {
	for _, id := range ids {
		if id == "" || id == "." || id == ".." || strings.ContainsAny(id, "/\\\x00") {
			return fmt.Errorf("the id %q can't name a folder", id)
		}
	}
	return nil
}

// lastLines returns the last n lines of a text. The last one may lack its line
// break.
func lastLines(text []byte, n int) string {
	if n <= 0 {
		return ""
	}
	at := len(bytes.TrimSuffix(text, []byte("\n")))
	for ; n > 0 && at >= 0; n-- {
		at = bytes.LastIndexByte(text[:at], '\n')
	}
	return string(text[at+1:])
}
