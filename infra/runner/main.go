// Command runner is the entrypoint of a project's job, in the container and on
// a developer's machine: see rekindle/internal/runner.
package main

import (
	"os"

	// The roots that HTTPS is checked by, where the image has none: one made
	// from scratch, say.
	_ "golang.org/x/crypto/x509roots/fallback"

	"rekindle/internal/runner"
)

func main() { os.Exit(runner.Main(os.Environ(), os.Stderr)) }
