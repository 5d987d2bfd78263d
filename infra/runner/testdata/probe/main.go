// Command probe is a project's command for the tests of the runner's image, which
// has no shell.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	switch os.Args[1] {
	case "look": // who am I, and what do I know
		write("environ.json", os.Environ())
		write("ids.json", []int{os.Getuid(), os.Getgid()})
		if err := os.WriteFile("/tmp/probe", nil, 0o600); err != nil {
			fail(err)
		}
		if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", os.Getppid())); err == nil {
			fail("the runner's environment can be read")
		}
		if err := os.WriteFile("/usr/local/bin/rekindle-runner", nil, 0o755); err == nil {
			fail("the runner can be replaced")
		}
	case "hog": // all the memory there is
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			fmt.Fprintln(os.Stderr, len(all), "MB")
		}
	case "stay": // whatever comes
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("staying")
		time.Sleep(time.Hour)
	case "work": // as long as it says
		d, err := time.ParseDuration(os.Args[2])
		if err != nil {
			fail(err)
		}
		time.Sleep(d)
		write("done.json", true)
	}
}

func write(name string, v any) {
	text, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(name, text, 0o600)
	}
	if err != nil {
		fail(err)
	}
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
