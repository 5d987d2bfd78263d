package runner

import (
	"slices"
	"strconv"
	"strings"

	"rekindle/internal/project"
)

// passed are the variables that the command has from the runner, beside LC_*.
// Everything else stays behind: the rest holds the platform's secrets.
var passed = []string{"PATH", "HOME", "USER", "SHELL", "LANG", "TZ", "TMPDIR"}

// commandEnv returns the command's whole environment.
func commandEnv(own []string, grant project.Grant, output, progress string) []string {
	var env []string
	for _, v := range own {
		name, _, _ := strings.Cut(v, "=")
		if slices.Contains(passed, name) || strings.HasPrefix(name, "LC_") {
			env = append(env, v)
		}
	}
	return append(env,
		"PROJECT_ID="+grant.ProjectID,
		"PROJECT_NAME="+grant.Name,
		"PROJECT_DESCRIPTION="+grant.Description,
		"PROJECT_OBJECTIVES="+grant.Objectives,
		"TENANT_ID="+grant.TenantID,
		"EXECUTION_ID="+strconv.FormatInt(grant.ExecutionID, 10),
		"OUTPUT_DIR="+output,
		"PROGRESS_FILE="+progress,
	)
}
