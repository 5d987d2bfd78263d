// Package awsenv makes what an AWS client needs from the environment that
// Lambda gives a function.
//
// AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN are
// valid as long as the function's environment lives. So the SDK's config
// package, with its profiles, roles and metadata calls (2 MB of each binary and
// 5 ms of each cold start), is left out.
package awsenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// A client's budget. With every attempt timed out and every pause at its
// longest, a call ends after 11 seconds: inside the 15 that a handler takes, the
// 20 that its function has, and API Gateway's 30.
const (
	CallTimeout = 2 * time.Second
	MaxAttempts = 4
	maxBackoff  = time.Second
)

// Client is what every AWS client's options take.
type Client struct {
	Region      string
	Credentials aws.CredentialsProvider
	HTTP        *http.Client
	Retryer     aws.Retryer
	Endpoint    *string // nil: the service's own
}

// Read makes a client's options, or says all that is missing. Service is the suffix of AWS_ENDPOINT_URL_,
// the setting that points the client elsewhere, such as to a local database.
// One that is set but empty is refused: the SDK would call the real AWS where
// something else was meant.
func Read(lookup func(string) (string, bool), service string) (Client, error) {
	get := func(name string) string { v, _ := lookup(name); return v }
	var problems []error
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if get(name) == "" {
			problems = append(problems, fmt.Errorf("%s is not set: it is needed to call AWS", name))
		}
	}
	c := Client{
		Region: get("AWS_REGION"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID:     get("AWS_ACCESS_KEY_ID"),
				SecretAccessKey: get("AWS_SECRET_ACCESS_KEY"),
				SessionToken:    get("AWS_SESSION_TOKEN"),
				Source:          "environment",
			}, nil
		}),
		HTTP: &http.Client{Timeout: CallTimeout, Transport: transport()},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = MaxAttempts
			o.MaxBackoff = maxBackoff
		}),
	}
	name := "AWS_ENDPOINT_URL_" + service
	if endpoint, set := lookup(name); set {
		if endpoint == "" {
			problems = append(problems, fmt.Errorf("%s is set but empty: unset it to call AWS itself, or give a URL", name))
		}
		c.Endpoint = &endpoint
	}
	if len(problems) > 0 {
		return Client{}, errors.Join(problems...)
	}
	return c, nil
}

// transport keeps idle connections enough for the sweep's shards.
func transport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: CallTimeout}).DialContext,
		MaxIdleConns:        64,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: CallTimeout,
		ForceAttemptHTTP2:   true,
	}
}

// transient tells the faults that go away by themselves from the others.
var transient = retry.IsErrorRetryables(retry.DefaultRetryables)

// IsTransient says whether err is throttling, a timeout, a broken connection or
// a fault of the service: something that a later call may not meet.
func IsTransient(err error) bool {
	return transient.IsErrorRetryable(err) == aws.TrueTernary ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
