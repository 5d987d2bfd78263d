package dynamotest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// startMoto starts moto's server from its virtual environment, once for the
// test binary; it ends with it, for its standard input does.
var startMoto = sync.OnceValues(func() (*motoServer, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(root, ".venv", "moto", "bin", "python"), filepath.Join(root, "infra", "moto", "serve.py"))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("moto is not installed; make moto installs it: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("moto did not start: %w", err)
	}
	return &motoServer{strings.TrimSpace(line), stdin}, nil
})

// motoServer is a moto that serves. It lives as long as its standard input,
// which is closed once nothing refers to it.
type motoServer struct {
	endpoint string
	stdin    io.Closer
}

func motoEndpoint(t testing.TB) string {
	t.Helper()
	s, err := startMoto()
	if err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(s.stdin)
	return s.endpoint
}
