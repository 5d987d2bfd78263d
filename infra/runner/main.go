// Command runner is the entrypoint of a project's job, in the container and on
// a developer's machine: see rekindle/internal/runner.
package main

import (
	"os"

	"rekindle/internal/runner"
)

func main() { os.Exit(runner.Main(os.Environ(), os.Stderr)) }
