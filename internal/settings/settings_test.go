package settings_test

import (
	"strings"
	"testing"
	"time"

	"rekindle/internal/launch"
	"rekindle/internal/settings"
)

func from(env map[string]string) *settings.Reader {
	return settings.From(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func TestDefaults(t *testing.T) {
	r := from(nil)
	if d := r.Timeout(); d != 24*time.Hour {
		t.Errorf("timeout: got %s, want 24 h", d)
	}
	if d := r.HeartbeatTimeout(); d != 0 {
		t.Errorf("heartbeat limit: got %s, want never", d)
	}
	if d := r.Heartbeat(); d != 30*time.Second {
		t.Errorf("heartbeat: got %s, want 30 s", d)
	}
	if n := r.OutputLimit(); n != 5<<30 {
		t.Errorf("size of an output: got %d bytes, want 5 GiB", n)
	}
	if err := r.Err(); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestSettingsAreRead(t *testing.T) {
	r := from(map[string]string{
		"PROJECT_EXECUTION_TIMEOUT_HOURS": "48", "PROJECT_HEARTBEAT_TIMEOUT_MINUTES": "5", "PROJECT_HEARTBEAT_SECONDS": "2",
		"EXECUTION_TOKEN_SECRET": strings.Repeat("s", 32), "HASHING_SECRET": strings.Repeat("h", 32), "OUTPUT_BASE": "s3://bucket",
		"PROJECTS_TABLE": "P", "TENANTS_TABLE": "T", "SESSIONS_TABLE": "S", "JOB_QUEUE": "Q", "JOB_DEFINITION": "D", "PROJECT_COMMAND": "true",
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
	})
	if r.Timeout() != 48*time.Hour || r.HeartbeatTimeout() != 5*time.Minute || r.Heartbeat() != 2*time.Second || r.OutputBase() != "s3://bucket" {
		t.Error("a setting was not read")
	}
	if r.Store(settings.Sessions) == nil || r.Keys() == nil || r.Hasher() == nil || launch.BatchFrom(r) == nil || launch.BatchStopperFrom(r) == nil {
		t.Error("a part was not made")
	}
	if err := r.Err(); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestEveryProblemIsSaidAndNoSecret(t *testing.T) {
	r := from(map[string]string{
		"PROJECT_EXECUTION_TIMEOUT_HOURS": "a day", "PROJECT_HEARTBEAT_TIMEOUT_MINUTES": "1", "PROJECT_HEARTBEAT_SECONDS": "0",
		"EXECUTION_TOKEN_SECRET": "too-short-a-secret", "HASHING_SECRET": "another-short-one", "OUTPUT_BASE": "bucket",
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "aws-secret", "AWS_ENDPOINT_URL_DYNAMODB": "",
	})
	r.Timeout()
	r.HeartbeatTimeout()
	r.Heartbeat()
	r.Keys()
	r.Hasher()
	r.OutputBase()
	r.Store(settings.Sessions)
	launch.BatchStopperFrom(r)
	err := r.Err()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{
		"PROJECT_EXECUTION_TIMEOUT_HOURS must be a number of hours", `"a day"`, "PROJECT_HEARTBEAT_TIMEOUT_MINUTES", "PROJECT_HEARTBEAT_SECONDS",
		"EXECUTION_TOKEN_SECRET", "HASHING_SECRET", "OUTPUT_BASE", "PROJECTS_TABLE is not set", "TENANTS_TABLE is not set", "SESSIONS_TABLE is not set",
		"JOB_QUEUE is not set", "AWS_ENDPOINT_URL_DYNAMODB is set but empty",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in:\n%v", want, err)
		}
	}
	for _, secret := range []string{"too-short-a-secret", "another-short-one", "aws-secret"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error has a secret:\n%v", err)
		}
	}
}

func TestCredentialsAreNeeded(t *testing.T) {
	r := from(map[string]string{"PROJECTS_TABLE": "P", "AWS_REGION": "eu-central-1"})
	r.Store(settings.Nothing)
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID is not set") {
		t.Errorf("got %v", err)
	}
}

func TestEachSettingIsReadOrRefusedInASentence(t *testing.T) {
	timeout := func(r *settings.Reader) any { return r.Timeout() }
	silence := func(r *settings.Reader) any { return r.HeartbeatTimeout() }
	heartbeat := func(r *settings.Reader) any { return r.Heartbeat() }
	output := func(r *settings.Reader) any { return r.OutputBase() }
	size := func(r *settings.Reader) any { return r.OutputLimit() }
	const (
		hours   = "PROJECT_EXECUTION_TIMEOUT_HOURS must be a number of hours above 0, such as 24 or 0.5, and at most 87600; it is "
		minutes = "PROJECT_HEARTBEAT_TIMEOUT_MINUTES must be empty or a number of minutes of at least 2; it is "
		seconds = "PROJECT_HEARTBEAT_SECONDS must be a whole number of seconds from 1 to 300; it is "
		bytes   = "OUTPUT_LIMIT_MEGABYTES must be a whole number of megabytes from 1 to 100000; it is "
		base    = "OUTPUT_BASE must be s3://bucket or an absolute path; it is "
	)
	for _, c := range []struct {
		name, value string
		read        func(*settings.Reader) any
		want        any    // where it is allowed
		problem     string // where it is not
	}{
		{"PROJECT_EXECUTION_TIMEOUT_HOURS", "48", timeout, 48 * time.Hour, ""},
		{"PROJECT_EXECUTION_TIMEOUT_HOURS", "0.5", timeout, 30 * time.Minute, ""},
		{"PROJECT_EXECUTION_TIMEOUT_HOURS", "", timeout, nil, hours + `""`},
		{"PROJECT_EXECUTION_TIMEOUT_HOURS", "0", timeout, nil, hours + `"0"`},
		{"PROJECT_EXECUTION_TIMEOUT_HOURS", "-1", timeout, nil, hours + `"-1"`},
		{"PROJECT_EXECUTION_TIMEOUT_HOURS", "24h", timeout, nil, hours + `"24h"`},
		{"PROJECT_HEARTBEAT_TIMEOUT_MINUTES", "", silence, time.Duration(0), ""},
		{"PROJECT_HEARTBEAT_TIMEOUT_MINUTES", "2", silence, 2 * time.Minute, ""},
		{"PROJECT_HEARTBEAT_TIMEOUT_MINUTES", "0", silence, nil, minutes + `"0"`},
		{"PROJECT_HEARTBEAT_SECONDS", "300", heartbeat, 300 * time.Second, ""},
		{"PROJECT_HEARTBEAT_SECONDS", "301", heartbeat, nil, seconds + `"301"`},
		{"PROJECT_HEARTBEAT_SECONDS", "1.5", heartbeat, nil, seconds + `"1.5"`},
		{"PROJECT_HEARTBEAT_SECONDS", "", heartbeat, nil, seconds + `""`},
		{"OUTPUT_LIMIT_MEGABYTES", "1", size, int64(1 << 20), ""},
		{"OUTPUT_LIMIT_MEGABYTES", "100000", size, int64(100_000 << 20), ""},
		{"OUTPUT_LIMIT_MEGABYTES", "100001", size, nil, bytes + `"100001"`},
		{"OUTPUT_LIMIT_MEGABYTES", "0", size, nil, bytes + `"0"`},
		{"OUTPUT_LIMIT_MEGABYTES", "-1", size, nil, bytes + `"-1"`},
		{"OUTPUT_LIMIT_MEGABYTES", "1.5", size, nil, bytes + `"1.5"`},
		{"OUTPUT_LIMIT_MEGABYTES", "5 GB", size, nil, bytes + `"5 GB"`},
		{"OUTPUT_LIMIT_MEGABYTES", "", size, nil, bytes + `""`},
		{"OUTPUT_BASE", "/var/output", output, "/var/output", ""},
		{"OUTPUT_BASE", "s3://bucket", output, "s3://bucket", ""},
		{"OUTPUT_BASE", "s3://", output, nil, base + `"s3://"`},
		{"OUTPUT_BASE", "s3:///", output, nil, base + `"s3:///"`},
		{"OUTPUT_BASE", "out", output, nil, base + `"out"`},
		{"OUTPUT_BASE", "", output, nil, "OUTPUT_BASE is not set"},
	} {
		r := from(map[string]string{c.name: c.value})
		got := c.read(r)
		problem := ""
		if err := r.Err(); err != nil {
			problem = err.Error()
		}
		if problem != c.problem {
			t.Errorf("%s=%q: got the problem\n%s\nwant\n%s", c.name, c.value, problem, c.problem)
		}
		if c.want != nil && got != c.want {
			t.Errorf("%s=%q: got %v, want %v", c.name, c.value, got, c.want)
		}
	}
}

func TestEachProblemIsSaidOnce(t *testing.T) {
	r := from(nil)
	r.Keys()
	r.Hasher()
	r.Store(settings.Nothing)
	launch.BatchStopperFrom(r) // it needs a region and keys too
	want := strings.Join([]string{
		"EXECUTION_TOKEN_SECRET is not set", "HASHING_SECRET is not set", "PROJECTS_TABLE is not set",
		"AWS_REGION is not set: it is needed to call AWS",
		"AWS_ACCESS_KEY_ID is not set: it is needed to call AWS",
		"AWS_SECRET_ACCESS_KEY is not set: it is needed to call AWS",
		"JOB_QUEUE is not set",
	}, "\n")
	if err := r.Err(); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
