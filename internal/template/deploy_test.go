package template

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// samconfig reads the environments of samconfig.toml: their sections, and of
// those the lines. It knows the few forms that the file uses.
func samconfig(t *testing.T) map[string]map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../samconfig.toml")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]map[string][]string{}
	header := regexp.MustCompile(`^\[(\w+)\.(\w+)\.parameters\]$`)
	var env, command string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if found := header.FindStringSubmatch(line); found != nil {
			env, command = found[1], found[2]
			if sections[env] == nil {
				sections[env] = map[string][]string{}
			}
		} else if env != "" && line != "" && !strings.HasPrefix(line, "#") {
			sections[env][command] = append(sections[env][command], line)
		}
	}
	return sections
}

func TestEnvironmentsAreDeployable(t *testing.T) {
	root := rawTemplate(t)
	stacks := map[string]string{}
	environments := samconfig(t)
	for _, env := range []string{"default", "dev", "staging", "prod"} {
		sections := environments[env]
		// SAM's cache looks at CodeUri alone and misses a change under internal/.
		if !slices.Contains(sections["build"], "cached = false") {
			t.Errorf("%s: build has %v, want cached = false", env, sections["build"])
		}
		for _, line := range sections["global"] {
			if other, taken := stacks[line]; taken {
				t.Errorf("%s and %s are one stack: %s", env, other, line)
			}
			stacks[line] = env
		}
		given := map[string]string{}
		for name, p := range at(root, "Parameters").(mapping) {
			given[name] = fmt.Sprint(at(p, "Default"))
		}
		item := regexp.MustCompile(`^"(\w+)=(.*)",$`)
		for _, line := range sections["deploy"] {
			found := item.FindStringSubmatch(line)
			if found == nil {
				continue
			}
			if _, there := given[found[1]]; !there {
				t.Errorf("%s sets %s, which is no parameter", env, found[1])
			}
			given[found[1]] = found[2]
		}
		for name, value := range given {
			if problem := refused(at(root, "Parameters", name), value); problem != "" {
				t.Errorf("%s: %s may not be %q: %s", env, name, value, problem)
			}
		}
		if sizes := memoryOf(root)[given["RunnerVcpu"]]; !slices.Contains(sizes, given["RunnerMemory"]) {
			t.Errorf("%s: with %s vCPU the memory may not be %s", env, given["RunnerVcpu"], given["RunnerMemory"])
		}
		for _, pair := range [][2]string{{"SubnetIds", "VpcId"}, {"PortalDomain", "PortalCertificateArn"}} {
			if (given[pair[0]] == "") != (given[pair[1]] == "") {
				t.Errorf("%s: %s and %s are given together or not at all", env, pair[0], pair[1])
			}
		}
	}
}

// refused says why CloudFormation would refuse a parameter's value.
func refused(p any, value string) string {
	if allowed := texts(at(p, "AllowedValues")); allowed != nil && !slices.Contains(allowed, value) {
		return fmt.Sprintf("it must be one of %v", allowed)
	}
	if pattern, ok := at(p, "AllowedPattern").(string); ok && !regexp.MustCompile(`^(?:`+pattern+`)$`).MatchString(value) {
		return "it must match " + pattern
	}
	if at(p, "Type") == "Number" {
		n, err := strconv.Atoi(value)
		least, hasLeast := at(p, "MinValue").(int)
		most, hasMost := at(p, "MaxValue").(int)
		if err != nil || hasLeast && n < least || hasMost && n > most {
			return fmt.Sprintf("it must be a number from %v to %v", at(p, "MinValue"), at(p, "MaxValue"))
		}
	}
	return ""
}

// python is one that deploys; empty where there is none.
var python = sync.OnceValue(func() string {
	path, err := exec.LookPath("python3")
	if err != nil || exec.Command(path, "-c", "import tomllib").Run() != nil {
		return ""
	}
	return path
})

// deploy runs `make deploy`'s script with a SAM CLI that writes down how it is
// called and builds what CONTENT says. It returns the calls' arguments and the
// error output.
func deploy(t *testing.T, content string, args ...string) (calls [][]string, stderr string, err error) {
	t.Helper()
	python := python()
	if python == "" {
		t.Skip("Python 3.11, which deploying needs, is not installed")
	}
	script, err := filepath.Abs("../../infra/sam/deploy.py")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"samconfig.toml": "version = 0.1\n[dev.deploy.parameters]\nparameter_overrides = [\"RunnerTag=1\", \"ProjectCommand=\\\"echo hello\\\"\"]\n[bare.deploy.parameters]\nresolve_s3 = true\n",
		"sam": `#!/bin/sh
for a in "$@"; do printf '%s\n' "$a"; done >> calls
echo -- >> calls
case $1 in
build) [ "$CONTENT" != broken ] || exit 3; mkdir -p .aws-sam/build/F; printf %s "$CONTENT" > .aws-sam/build/F/bootstrap;;
esac
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(python, append([]string{script}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SAM=./sam", "CONTENT="+content)
	var errs strings.Builder
	cmd.Stderr = &errs
	err = cmd.Run()
	text, _ := os.ReadFile(filepath.Join(dir, "calls"))
	for call := range strings.SplitSeq(strings.TrimSuffix(string(text), "--\n"), "--\n") {
		if call != "" {
			calls = append(calls, strings.Split(strings.TrimSuffix(call, "\n"), "\n"))
		}
	}
	return calls, errs.String(), err
}

func revisionOf(t *testing.T, content string, args ...string) string {
	t.Helper()
	calls, stderr, err := deploy(t, content, args...)
	if err != nil || len(calls) != 2 {
		t.Fatalf("deploying %v: %v, %s; calls %q", args, err, stderr, calls)
	}
	last := calls[1][len(calls[1])-1]
	name, is := strings.CutPrefix(last, "Revision=")
	if problem := refused(at(rawTemplate(t), "Parameters", "Revision"), name); !is || name == "" || problem != "" {
		t.Fatalf("the last parameter is %q, want a Revision that the template takes: %s", last, problem)
	}
	return name
}

func TestDeployingNamesWhatIsDeployed(t *testing.T) {
	one := revisionOf(t, "one", "dev")
	if again := revisionOf(t, "one", "dev"); again != one {
		t.Errorf("the same again is %s, want %s", again, one)
	}
	for what, other := range map[string]string{
		"other code":              revisionOf(t, "two", "dev"),
		"another parameter":       revisionOf(t, "one", "dev", "RunnerTag=2"),
		"one more parameter":      revisionOf(t, "one", "dev", "MaxVcpus=2"),
		"another environment":     revisionOf(t, "one", "bare"),
		"a revision of one's own": revisionOf(t, "one", "dev", "Revision=0123456789"),
	} {
		// SAM takes the first ten digits into the version's logical id.
		if other[:10] == one[:10] {
			t.Errorf("%s has the same revision %s", what, other)
		}
	}
	if same := revisionOf(t, "one", "dev", "RunnerTag=1"); same != one {
		t.Errorf("a parameter that is given as the file has it makes the revision %s, want %s", same, one)
	}
}

func TestDeployingJoinsTheParameters(t *testing.T) {
	calls, stderr, err := deploy(t, "one", "dev", "RunnerTag=2", "--no-confirm-changeset", "Architecture=x86_64")
	if err != nil || len(calls) != 2 {
		t.Fatalf("deploying: %v, %s; calls %q", err, stderr, calls)
	}
	joined := []string{"RunnerTag=2", `ProjectCommand="echo hello"`, "Architecture=x86_64"}
	// The build needs them too: it follows the architecture.
	if want := append([]string{"build", "--config-env", "dev", "--parameter-overrides"}, joined...); !slices.Equal(calls[0], want) {
		t.Errorf("sam was called with %q, want %q", calls[0], want)
	}
	want := append([]string{"deploy", "--config-env", "dev", "--no-confirm-changeset", "--parameter-overrides"}, joined...)
	if got := calls[1][:len(calls[1])-1]; !slices.Equal(got, want) {
		t.Errorf("sam was called with %q, want %q", got, want)
	}
}

func TestDeployingStopsAtWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, content string
		args          []string
		calls, status int
		says          string
	}{
		{"no environment", "one", nil, 0, 1, "say which environment of samconfig.toml: make deploy ENV=dev\n"},
		{"an unknown environment", "one", []string{"live"}, 0, 1, "samconfig.toml has no [live.deploy.parameters]; it has bare, dev\n"},
		{"not a parameter", "one", []string{"dev", "RunnerTag"}, 0, 1, "'RunnerTag' is not Parameter=value\n"},
		{"a build that fails", "broken", []string{"dev"}, 1, 3, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls, stderr, err := deploy(t, c.content, c.args...)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != c.status {
				t.Errorf("it ended with %v, want exit status %d", err, c.status)
			}
			if len(calls) != c.calls || stderr != c.says {
				t.Errorf("sam was called %d times, with %q said, want %d and %q", len(calls), stderr, c.calls, c.says)
			}
		})
	}
}
