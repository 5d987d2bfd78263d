package runner

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// oomKills returns how many processes of this control group the kernel has
// killed for want of memory: 0, too, where nobody counts.
func oomKills(cgroup string) (n int) {
	// Version 2 has the first file, version 1 the second.
	for _, name := range []string{"memory.events", "memory/memory.oom_control"} {
		f, err := os.Open(filepath.Join(cgroup, name))
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if count, ok := strings.CutPrefix(lines.Text(), "oom_kill "); ok {
				n, _ = strconv.Atoi(count)
			}
		}
		f.Close()
		return n
	}
	return 0
}
