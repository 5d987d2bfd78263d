package dynamotest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// startMoto starts moto's server from its virtual environment, once for the
// test binary; it ends with it, for its standard input does.
var startMoto = sync.OnceValues(func() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(root, ".venv", "moto", "bin", "python"), filepath.Join(root, "infra", "moto", "serve.py"))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	motoStdin = stdin
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("moto is not installed; make moto installs it: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("moto did not start: %w", err)
	}
	return strings.TrimSpace(line), nil
})

// motoStdin keeps the server alive: a pipe that nothing refers to is closed.
var motoStdin io.Closer

func motoEndpoint(t testing.TB) string {
	t.Helper()
	endpoint, err := startMoto()
	if err != nil {
		t.Fatal(err)
	}
	return endpoint
}
