package runner

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"rekindle/internal/token"
)

// The environment variables that [FromEnv] reads.
const (
	SettingAPIURL  = "REKINDLE_API_URL"         // where the worker calls go, such as https://host/stage
	SettingToken   = "REKINDLE_EXECUTION_TOKEN" // names the execution and is good for its claim
	SettingCommand = "PROJECT_COMMAND"          // see [Config.Command]
	SettingJobID   = "REKINDLE_JOB_ID"          // the engine's name for this job; AWS_BATCH_JOB_ID where it is absent
	SettingLogDir  = "REKINDLE_LOG_DIR"         // see [Config.LogDir]
	SettingWorkDir = "REKINDLE_WORK_DIR"        // see [Config.WorkDir]
)

// The defaults of [Config].
const (
	DefaultHeartbeat      = 30 * time.Second // where the grant names none
	DefaultGrace          = 30 * time.Second
	DefaultStopWithin     = 20 * time.Second
	DefaultPipeGrace      = 2 * time.Second
	DefaultClaimWithin    = 15 * time.Minute
	DefaultReportWithin   = 15 * time.Minute
	DefaultRequestTimeout = 15 * time.Second
	DefaultStall          = time.Minute
	DefaultRetryFirst     = 500 * time.Millisecond
	DefaultRetryMost      = 30 * time.Second
)

// Config is what a [Runner] needs to know. A zero duration means its default.
type Config struct {
	APIURL         string
	ExecutionToken string
	JobID          string

	// Command is what to run. A JSON array of strings, at least one, is an
	// argv; any other text goes to /bin/sh -c, also one that only looks like
	// an array, for "[ -f x ] && y" is a shell's. A program that is named by
	// a relative path with a slash is sought in OUTPUT_DIR. Without a command
	// each execution fails with a sentence that says so.
	Command string

	// LogDir is where stdout.log and stderr.log go: the last [MaxTail] bytes
	// of each, replaced at each heartbeat and at the end. Empty means none.
	LogDir string

	// WorkDir is where the command's working folder is made if its output is to
	// be uploaded. That folder is removed in the end. Empty means the system's
	// folder for temporary files.
	WorkDir string

	// CgroupDir is where the kernel counts processes that it killed for want of
	// memory; empty means /sys/fs/cgroup.
	CgroupDir string

	// Environ is the runner's own environment ("NAME=value"), of which the
	// command gets the few variables that are no secret.
	Environ []string

	// Heartbeat is the time between heartbeats; 0 leaves it to the grant.
	Heartbeat time.Duration
	// Grace is the time between SIGTERM and SIGKILL.
	Grace time.Duration
	// StopWithin is the time from a stop by the engine to the end of the
	// runner. Half of it, at most, is the command's grace.
	StopWithin time.Duration
	// PipeGrace is how long the runner reads on after the command has ended,
	// where a process that left the command's group holds its output open.
	PipeGrace time.Duration
	// ClaimWithin is how long the runner asks for its execution.
	ClaimWithin time.Duration
	// ReportWithin is how long after the execution's limit the runner goes on
	// trying to report the result.
	ReportWithin time.Duration
	// RequestTimeout limits one request to the API.
	RequestTimeout time.Duration
	// Stall is how long an upload may make no headway before it is tried again.
	Stall time.Duration
	// RetryFirst is the wait before the first retry of a request; each
	// further one is doubled, up to RetryMost. Up to half of it is random.
	RetryFirst, RetryMost time.Duration

	// Logger gets one line an event; nil means slog's default.
	Logger *slog.Logger
	// Clock tells when an instant that the API named has come; nil means the
	// system's.
	Clock Clock
}

// FromEnv reads the settings of this package from the environment. Its errors
// name the setting that is missing or wrong.
func FromEnv(lookup func(string) (string, bool)) (Config, error) {
	get := func(name string) string {
		v, _ := lookup(name)
		return v
	}
	cfg := Config{
		APIURL:         get(SettingAPIURL),
		ExecutionToken: get(SettingToken),
		Command:        get(SettingCommand),
		JobID:          get(SettingJobID),
		LogDir:         get(SettingLogDir),
		WorkDir:        get(SettingWorkDir),
	}
	if cfg.JobID == "" {
		cfg.JobID = get("AWS_BATCH_JOB_ID")
	}
	if _, err := cfg.checked(); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// checked returns the configuration with its defaults filled in.
func (c Config) checked() (Config, error) {
	u, err := url.Parse(c.APIURL)
	// The address is not repeated: one with a password in it would be logged.
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Config{}, fmt.Errorf("%s must be an address such as https://host/path, without user, query and fragment", SettingAPIURL)
	}
	if _, err := token.Peek(c.ExecutionToken); err != nil {
		return Config{}, fmt.Errorf("%s is missing or is not an execution token", SettingToken)
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&c.Heartbeat, 0},
		{&c.Grace, DefaultGrace},
		{&c.StopWithin, DefaultStopWithin},
		{&c.PipeGrace, DefaultPipeGrace},
		{&c.ClaimWithin, DefaultClaimWithin},
		{&c.ReportWithin, DefaultReportWithin},
		{&c.RequestTimeout, DefaultRequestTimeout},
		{&c.Stall, DefaultStall},
		{&c.RetryFirst, DefaultRetryFirst},
		{&c.RetryMost, DefaultRetryMost},
	} {
		if *d.value < 0 {
			return Config{}, errors.New("a duration of the runner's configuration is negative")
		}
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if c.CgroupDir == "" {
		c.CgroupDir = "/sys/fs/cgroup"
	}
	if c.WorkDir != "" && !filepath.IsAbs(c.WorkDir) {
		return Config{}, fmt.Errorf("%s must be an absolute path; it is %q", SettingWorkDir, c.WorkDir)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	return c, nil
}
