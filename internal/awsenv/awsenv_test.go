package awsenv_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"

	"rekindle/internal/awsenv"
)

// env is a whole environment of Lambda's, with changes: an empty value unsets.
func env(changes map[string]string) func(string) (string, bool) {
	all := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "the-secret", "AWS_SESSION_TOKEN": "the-session",
	}
	return func(name string) (string, bool) {
		if v, changed := changes[name]; changed {
			return v, v != ""
		}
		v, ok := all[name]
		return v, ok
	}
}

func TestClientIsMadeFromLambdasEnvironment(t *testing.T) {
	c, err := awsenv.Read(env(nil), "BATCH")
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Credentials.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "key-id" || got.SecretAccessKey != "the-secret" || got.SessionToken != "the-session" {
		t.Errorf("credentials: got %+v, %v", got, err)
	}
	if c.Region != "eu-central-1" || c.Endpoint != nil {
		t.Errorf("got region %q, endpoint %v, want the service's own", c.Region, c.Endpoint)
	}
	// SAM on one machine and an operator's own keys have no session.
	c, err = awsenv.Read(env(map[string]string{"AWS_SESSION_TOKEN": ""}), "BATCH")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Credentials.Retrieve(t.Context()); err != nil || got.SessionToken != "" {
		t.Errorf("without a session: got %+v, %v", got, err)
	}
}

func TestEndpointIsTheServicesOwnSetting(t *testing.T) {
	lookup := env(map[string]string{"AWS_ENDPOINT_URL_BATCH": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:2"})
	for service, want := range map[string]string{"BATCH": "http://127.0.0.1:1", "DYNAMODB": "http://127.0.0.1:2"} {
		if c, err := awsenv.Read(lookup, service); err != nil || aws.ToString(c.Endpoint) != want {
			t.Errorf("%s: got %v, %v, want %s", service, c.Endpoint, err, want)
		}
	}
	if c, err := awsenv.Read(lookup, "S3"); err != nil || c.Endpoint != nil {
		t.Errorf("S3: got %v, %v, want none", c.Endpoint, err)
	}
}

func TestWhatIsMissingIsSaidAndNoSecret(t *testing.T) {
	for name, c := range map[string]struct {
		lookup func(string) (string, bool)
		want   []string
	}{
		"region": {env(map[string]string{"AWS_REGION": ""}), []string{"AWS_REGION is not set: it is needed to call AWS"}},
		"keys": {env(map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}), []string{
			"AWS_ACCESS_KEY_ID is not set: it is needed to call AWS", "AWS_SECRET_ACCESS_KEY is not set: it is needed to call AWS",
		}},
		"empty endpoint": {func(name string) (string, bool) {
			if name == "AWS_ENDPOINT_URL_DYNAMODB" {
				return "", true
			}
			return env(nil)(name)
		}, []string{"AWS_ENDPOINT_URL_DYNAMODB is set but empty: unset it to call AWS itself, or give a URL"}},
	} {
		_, err := awsenv.Read(c.lookup, "DYNAMODB")
		if want := strings.Join(c.want, "\n"); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "the-se") {
			t.Errorf("%s: the error has a secret: %v", name, err)
		}
	}
}

// API Gateway gives an answer 30 seconds, a function has 20 and a handler takes
// 15: a call that fails at its slowest leaves time to say so.
func TestSlowestCallLeavesTimeToAnswer(t *testing.T) {
	c, err := awsenv.Read(env(nil), "DYNAMODB")
	if err != nil {
		t.Fatal(err)
	}
	worst := time.Duration(c.Retryer.MaxAttempts()) * c.HTTP.Timeout
	for attempt := 1; attempt < c.Retryer.MaxAttempts(); attempt++ {
		longest := time.Duration(0)
		for range 200 { // the pauses are drawn at random
			d, err := c.Retryer.RetryDelay(attempt, errors.New("throttled"))
			if err != nil {
				t.Fatal(err)
			}
			longest = max(longest, d)
		}
		worst += longest
	}
	if worst > 11*time.Second || c.HTTP.Timeout != awsenv.CallTimeout || c.Retryer.MaxAttempts() != awsenv.MaxAttempts {
		t.Errorf("got %s at the slowest, want at most 11 s", worst)
	}
}

// The faults are those that a client of the SDK meets.
func TestTransientFaultsAreToldFromOthers(t *testing.T) {
	answers := func(status int, kind string) http.RoundTripper {
		return trip(func(*http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			w.Header().Set("X-Amzn-Errortype", kind)
			w.WriteHeader(status)
			fmt.Fprint(w, `{"message":"m"}`)
			return w.Result(), nil
		})
	}
	breaks := func(err error) http.RoundTripper {
		return trip(func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: err}
		})
	}
	for name, c := range map[string]struct {
		wire http.RoundTripper
		want bool
	}{
		"throttled":          {answers(429, "TooManyRequestsException"), true},
		"service's fault":    {answers(500, "ServerException"), true},
		"out of service":     {answers(503, "ServiceUnavailable"), true},
		"access denied":      {answers(403, "AccessDeniedException"), false},
		"our fault":          {answers(400, "ClientException"), false},
		"expired token":      {answers(403, "ExpiredTokenException"), false},
		"broken connection":  {breaks(io.ErrUnexpectedEOF), true},
		"out of time":        {breaks(context.DeadlineExceeded), true},
		"given up by caller": {breaks(context.Canceled), true},
	} {
		env, err := awsenv.Read(env(nil), "BATCH")
		if err != nil {
			t.Fatal(err)
		}
		client := batch.New(batch.Options{
			Region: env.Region, Credentials: env.Credentials, HTTPClient: &http.Client{Transport: c.wire}, Retryer: aws.NopRetryer{},
		})
		_, err = client.TerminateJob(t.Context(), &batch.TerminateJobInput{JobId: aws.String("j"), Reason: aws.String("r")})
		if err == nil || awsenv.IsTransient(fmt.Errorf("doing: %w", err)) != c.want {
			t.Errorf("%s: got %v, want transient: %t", name, err, c.want)
		}
	}
	if awsenv.IsTransient(errors.New("a fault of our own")) || awsenv.IsTransient(nil) {
		t.Error("an error that is none of AWS, or none at all, is transient")
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
