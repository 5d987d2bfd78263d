package settle

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestReasonsThatATenantUnderstands(t *testing.T) {
	const (
		memory   = "The project ran out of memory and was stopped"
		spot     = "The machine that the project ran on was taken back by the cloud (Spot capacity). Restart the project to run it again"
		lost     = "The machine that the project ran on was lost. Restart the project to run it again"
		limit    = "The engine stopped the job: it ran for longer than it may"
		image    = "The project was not started: its image could not be fetched"
		capacity = "The project was not started: there was no machine free for it in time. Restart it later"
		operator = "The project was not started: the engine is not set up to run it. It is for the operator to mend"
		waited   = "The project was not started: it waited for too long. Restart it later"
		setup    = "The project was not started: the engine could not set up its container"
	)
	met := map[string]bool{}
	for _, c := range []struct{ detail, want string }{
		{`{"statusReason":"Essential container in task exited","container":{"exitCode":137,"reason":"OutOfMemoryError: Container killed due to memory usage"}}`, memory},
		{`{"statusReason":"Essential container in task exited","container":{},"attempts":[{"container":{"exitCode":137,"reason":"OutOfMemoryError: Container killed due to memory usage"}}]}`, memory},
		{`{"statusReason":"Your Spot Task was interrupted.","container":{"exitCode":143}}`, spot},
		{`{"statusReason":"Your Spot Task was interrupted.","isTerminated":true}`, spot},
		{`{"statusReason":"Host EC2 (instance i-08784105ffff56b4f) terminated."}`, lost},
		{`{"statusReason":"Host EC2 Terminated"}`, lost},
		{`{"statusReason":"Job attempt duration exceeded timeout","container":{"exitCode":137}}`, limit},
		{`{"statusReason":"Job attempt duration exceeded timeout","isTerminated":true}`, limit},
		{`{"statusReason":"Task failed to start","container":{"reason":"CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref 123456789012.dkr.ecr.us-east-1.amazonaws.com/rekindle-runner:1: not found"}}`, image},
		{`{"statusReason":"CannotPullImageManifestError: Error response from daemon"}`, image},
		{`{"statusReason":"ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed"}`, image},
		{`{"statusReason":"Canceled by JobStateTimeLimit action due to reason: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY","isCancelled":true}`, capacity},
		{`{"statusReason":"Capacity is unavailable at this time. Please try again later or in a different availability zone"}`, capacity},
		{`{"statusReason":"Canceled by JobStateTimeLimit action due to reason: MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"}`, operator},
		{`{"statusReason":"Canceled by JobStateTimeLimit action due to reason: MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT","isCancelled":true}`, operator},
		{`{"statusReason":"Canceled by JobStateTimeLimit action"}`, waited},
		{`{"statusReason":"Timeout waiting for network interface provisioning to complete."}`, setup},
		{`{"statusReason":"Task failed to start","container":{"reason":"CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task"}}`, setup},
		{`{"statusReason":"ResourceInitializationError: failed to validate logger args"}`, setup},

		{`{"statusReason":"stopped for the night","isTerminated":true,"container":{"exitCode":143}}`, "The job was terminated by request: stopped for the night"},
		{`{"statusReason":"by arn:aws:iam::123456789012:user/ada","isCancelled":true}`, "The job was terminated by request: by"},
		{`{"isTerminated":true}`, "The job was terminated by request"},

		{`{"statusReason":"Essential container in task exited","container":{"exitCode":75}}`, "The runner ended before it started the command"},
		{`{"statusReason":"Essential container in task exited","container":{"exitCode":78}}`, "The runner's settings are wrong, and it started nothing"},
		{`{"statusReason":"Essential container in task exited","container":{"exitCode":1}}`, "The project's command ended, but its result could not be reported"},
		{`{"statusReason":"Essential container in task exited","container":{"exitCode":0}}`, "The job ended without reporting a result"},
		{`{"statusReason":"Essential container in task exited","container":{"exitCode":2}}`, "The runner exited with code 2 without reporting a result"},
		{`{"statusReason":"Essential container in task exited","container":{"exitCode":137}}`, "The runner was killed by signal 9 without reporting a result"},
		{`{"container":{"exitCode":255}}`, "The runner exited with code 255 without reporting a result"},
		{`{"attempts":[{"container":{"exitCode":78}}]}`, "The runner's settings are wrong, and it started nothing"},

		{`{"statusReason":"Task stopped by (arn:aws:sts::123456789012:assumed-role/ops/ada) in 123456789012.dkr.ecr\n at noon","container":{"exitCode":137}}`,
			"The engine ended the job: Task stopped by in at noon"},
		{`{"statusReason":"arn:aws:batch:us-east-1:123456789012:job/1"}`, ""},
		{`{}`, ""},
	} {
		var job batchJob
		if err := json.Unmarshal([]byte(c.detail), &job); err != nil {
			t.Fatal(err)
		}
		got := reasonOf(job)
		if met[got] = true; got != c.want {
			t.Errorf("%s\n  got  %q\n  want %q", c.detail, got, c.want)
		}
	}
	for _, r := range engineReasons {
		if !met[r.means] {
			t.Errorf("no event leads to %q", r.means)
		}
	}
	for code, means := range exitReasons {
		if !met[means] {
			t.Errorf("no event leads to that of exit code %d", code)
		}
	}
}

// What was written for a tenant names nothing of the engine's.
func TestReasonsAreFreeOfTheEnginesNames(t *testing.T) {
	for _, r := range engineReasons {
		if slices.ContainsFunc([]string{"Batch", "Fargate", "EC2", "ECS", "AWS"}, func(w string) bool { return strings.Contains(r.means, w) }) {
			t.Errorf("%q", r.means)
		}
	}
}

func TestLongReasonsAreCutBetweenLetters(t *testing.T) {
	got := publicWords("x" + strings.Repeat("ä", 400))
	if len(got) > maxReason || !strings.HasSuffix(got, "ä…") || !utf8.ValidString(got) {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
}
