package dynamo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// The client's budget. With every attempt timed out and every pause at its
// longest, a call ends after 11 seconds: well inside the 20 seconds that the
// functions have, which lie inside API Gateway's 30.
const (
	callTimeout = 2 * time.Second
	maxAttempts = 4
	maxBackoff  = time.Second
)

// EndpointSetting names the setting that points the client at another
// DynamoDB, such as the local one.
const EndpointSetting = "AWS_ENDPOINT_URL_DYNAMODB"

// ClientFromEnv makes a DynamoDB client from the environment that Lambda gives
// a function: AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
// AWS_SESSION_TOKEN and, where set, AWS_ENDPOINT_URL_DYNAMODB. These
// credentials are valid as long as the function's environment lives, so the
// SDK's config package, with its profiles, roles and metadata calls (2 MB of
// the binary and 5 ms of each cold start), is left out.
//
// An endpoint that is set but empty is refused: the SDK would call the real
// AWS where a local database was meant.
func ClientFromEnv(lookup func(string) (string, bool), options ...func(*dynamodb.Options)) (*dynamodb.Client, error) {
	get := func(name string) string { v, _ := lookup(name); return v }
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if get(name) == "" {
			return nil, fmt.Errorf("%s is not set: the function needs it to reach DynamoDB", name)
		}
	}
	o := dynamodb.Options{
		Region: get("AWS_REGION"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID:     get("AWS_ACCESS_KEY_ID"),
				SecretAccessKey: get("AWS_SECRET_ACCESS_KEY"),
				SessionToken:    get("AWS_SESSION_TOKEN"),
				Source:          "environment",
			}, nil
		}),
		HTTPClient: &http.Client{Timeout: callTimeout, Transport: transport()},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = maxAttempts
			o.MaxBackoff = maxBackoff
		}),
	}
	if endpoint, set := lookup(EndpointSetting); set {
		if endpoint == "" {
			return nil, fmt.Errorf("%s is set but empty: unset it to use DynamoDB in AWS, or give the local database's URL", EndpointSetting)
		}
		o.BaseEndpoint = &endpoint
	}
	return dynamodb.New(o, options...), nil
}

// transport keeps one idle connection for each shard of the sweep.
func transport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: callTimeout}).DialContext,
		MaxIdleConns:        64,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: callTimeout,
		ForceAttemptHTTP2:   true,
	}
}

// transient tells the faults that go away by themselves from the others.
var transient = retry.IsErrorRetryables(retry.DefaultRetryables)

func isTransient(err error) bool {
	return transient.IsErrorRetryable(err) == aws.TrueTernary ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
