package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"rekindle/internal/project"
)

// function is one Lambda function of the template, with the handler that Lambda
// would run.
type function struct {
	name    string // its logical id in the template
	handler lambda.Handler
	timeout time.Duration
}

// invocationError is a function that failed, in Lambda's words for it.
type invocationError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func (e *invocationError) Error() string { return e.Type + ": " + e.Message }

// invoke runs the handler as Lambda does: within the function's timeout, with a
// request id. Its error is an [invocationError].
func (f *function) invoke(ctx context.Context, requestID string, payload []byte) (out []byte, failure error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{
		AwsRequestID:       requestID,
		InvokedFunctionArn: "arn:aws:lambda:local:000000000000:function:" + f.name,
	})
	type result struct {
		out []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = &invocationError{Message: fmt.Sprintf("%v\n%s", p, debug.Stack()), Type: "Runtime.Panic"}
			}
			done <- r
		}()
		r.out, r.err = f.handler.Invoke(ctx, payload)
	}()
	select {
	case r := <-done:
		var failed *invocationError
		if r.err != nil && !errors.As(r.err, &failed) {
			r.err = &invocationError{Message: r.err.Error(), Type: typeName(r.err)}
		}
		return r.out, r.err
	case <-ctx.Done():
		return nil, &invocationError{
			Message: fmt.Sprintf("%s Task timed out after %.2f seconds", requestID, f.timeout.Seconds()), Type: "Sandbox.Timedout",
		}
	}
}

// typeName is the error's type without its package, as Lambda reports it.
func typeName(err error) string {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

func newRequestID() string { return project.NewToken() }
