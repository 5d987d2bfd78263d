package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rekindle/infra/prove/rig"
	"rekindle/internal/secretwatch"
)

func TestStackEndsWithItsDatabaseAndSaysWhyOnce(t *testing.T) {
	o := options{listen: "127.0.0.1:0", data: filepath.Join(t.TempDir(), "data"), template: "template.yaml", seed: inRoot(t)}
	ready, readyWriter := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := serve(t.Context(), o, os.LookupEnv, readyWriter, secretwatch.New(slog.DiscardHandler))
		readyWriter.CloseWithError(io.EOF)
		ended <- err
	}()
	if _, err := ready.Read(make([]byte, 200)); err != nil {
		t.Fatal(err, <-ended)
	}
	found := rig.Naming(o.data)
	if len(found) == 0 {
		t.Skip("this system has no /proc to find the database's process in")
	}
	if len(found) != 1 {
		t.Fatalf("got the processes %v, want the database alone", found)
	}
	if err := syscall.Kill(found[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := <-ended
	if err == nil {
		t.Fatal("the stack ended without an error")
	}
	if n := strings.Count(err.Error(), "killed"); n != 1 {
		t.Errorf("it says %d times that its database was killed, want once: %v", n, err)
	}
}
