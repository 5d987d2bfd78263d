package settle

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// engineReasons are what AWS Batch, ECS and Fargate say, and what that means to
// a tenant. The first row that matches counts: a job that was stopped for one
// of these reasons has an exit code, and may be called terminated, too.
var engineReasons = []struct {
	said  *regexp.Regexp
	means string
}{
	{regexp.MustCompile(`(?i)OutOfMemory|out of memory`),
		"The project ran out of memory and was stopped"},
	{regexp.MustCompile(`(?i)Spot Task was interrupted|Spot (instance )?(interruption|termination)`),
		"The machine that the project ran on was taken back by the cloud (Spot capacity). Restart the project to run it again"},
	{regexp.MustCompile(`Host EC2`),
		"The machine that the project ran on was lost. Restart the project to run it again"},
	{regexp.MustCompile(`(?i)attempt duration exceeded timeout`),
		"The engine stopped the job: it ran for longer than it may"},
	{regexp.MustCompile(`CannotPull\w*Error|(?i:pull image|registry auth)`),
		"The project was not started: its image could not be fetched"},
	{regexp.MustCompile(`CAPACITY:|(?i:capacity is unavailable|insufficient\w* capacity)`),
		"The project was not started: there was no machine free for it in time. Restart it later"},
	{regexp.MustCompile(`MISCONFIGURATION:`),
		"The project was not started: the engine is not set up to run it. It is for the operator to mend"},
	{regexp.MustCompile(`JobStateTimeLimit`),
		"The project was not started: it waited for too long. Restart it later"},
	{regexp.MustCompile(`ResourceInitializationError|Cannot(Start|Create)ContainerError|(?i:network interface provisioning|task failed to start)`),
		"The project was not started: the engine could not set up its container"},
}

// exitReasons are what the runner's own exit codes mean; see internal/runner.
var exitReasons = map[int]string{
	0:  "The job ended without reporting a result",
	1:  "The project's command ended, but its result could not be reported",
	75: "The runner ended before it started the command",
	78: "The runner's settings are wrong, and it started nothing",
}

// containerExited is what is said of a container that ended by itself, for
// whatever reason.
const containerExited = "Essential container in task exited"

// reasonOf says why a job failed, in a sentence for the tenant. It is empty if
// the engine gave no reason at all.
func reasonOf(job batchJob) string {
	said, code := []string{job.StatusReason, job.Container.Reason}, job.Container.ExitCode
	if n := len(job.Attempts); n > 0 {
		last := job.Attempts[n-1]
		said = append(said, last.StatusReason, last.Container.Reason)
		if code == nil {
			code = last.Container.ExitCode
		}
	}
	all := strings.Join(said, "\n")
	for _, r := range engineReasons {
		if r.said.MatchString(all) {
			return r.means
		}
	}
	why := publicWords(job.StatusReason)
	if job.IsTerminated || job.IsCancelled {
		if why == "" {
			return "The job was terminated by request"
		}
		return "The job was terminated by request: " + why
	}
	if code != nil && (why == "" || strings.HasPrefix(why, containerExited)) {
		if means, known := exitReasons[*code]; known {
			return means
		}
		if signal := *code - 128; signal > 0 && signal <= 64 {
			return fmt.Sprintf("The runner was killed by signal %d without reporting a result", signal)
		}
		return fmt.Sprintf("The runner exited with code %d without reporting a result", *code)
	}
	if why == "" {
		return ""
	}
	return "The engine ended the job: " + why
}

// inside are words that name what is the operator's: ARNs, and whatever has an
// account's number in it.
var inside = regexp.MustCompile(`\S*(\barn:|[0-9]{12})\S*`)

// maxReason is how many bytes of the engine's own words a tenant is shown.
const maxReason = 300

// publicWords is what the engine said without the operator's names, on one
// line, and not too long.
func publicWords(said string) string {
	said = strings.Join(strings.Fields(inside.ReplaceAllString(said, "")), " ")
	if len(said) <= maxReason {
		return said
	}
	const mark = "…"
	said = said[:maxReason-len(mark)]
	for len(said) > 0 && !utf8.ValidString(said) {
		said = said[:len(said)-1]
	}
	return said + mark
}
