package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// maxInvocation is the limit of a synchronous invocation's payload (Lambda
// quotas).
const maxInvocation = 6 << 20

// invocationOf returns the function that a path of Lambda's Invoke API names.
func invocationOf(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "/2015-03-31/functions/")
	if !ok {
		return "", false
	}
	name, ok := strings.CutSuffix(rest, "/invocations")
	return name, ok
}

// serveInvocation is Lambda's Invoke API, so that `aws lambda invoke
// --endpoint-url` works on the stack. Unlike the real one it checks no
// signature; so it answers nothing that a web page of another origin could
// send.
func (g *gateway) serveInvocation(w http.ResponseWriter, r *http.Request, escaped string) {
	if r.Header.Get("Origin") != "" || !isLoopback(r.Host) {
		refuseInvocation(w, http.StatusForbidden, "AccessDeniedException", "Functions are invoked from this machine's command line alone, not by web pages")
		return
	}
	if r.Method != http.MethodPost {
		refuseInvocation(w, http.StatusMethodNotAllowed, "InvalidRequestContentException", "Invoke with POST")
		return
	}
	f := g.named(escaped)
	if f == nil {
		refuseInvocation(w, http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+escaped)
		return
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxInvocation+1))
	switch {
	case err != nil:
		refuseInvocation(w, http.StatusBadRequest, "InvalidRequestContentException", "Could not read the request body")
		return
	case len(payload) > maxInvocation:
		refuseInvocation(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException", "The payload is larger than 6291456 bytes")
		return
	case len(payload) == 0:
		payload = []byte("{}")
	case !json.Valid(payload):
		refuseInvocation(w, http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
		return
	}
	id := newRequestID()
	w.Header().Set("X-Amzn-Requestid", id)
	switch r.Header.Get("X-Amz-Invocation-Type") {
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
		return
	case "Event":
		go func() {
			// As in AWS the invocation outlives its request.
			if _, err := f.invoke(g.background, id, payload); err != nil {
				g.log.Error("function failed", "function", f.name, "request_id", id, "error", err)
			}
		}()
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	out, err := f.invoke(context.WithoutCancel(r.Context()), id, payload)
	if err != nil {
		g.log.Error("function failed", "function", f.name, "request_id", id, "error", err)
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		out, err = json.Marshal(err)
		if err != nil {
			panic(err) // two strings always marshal
		}
	}
	// The client may have gone; there is nobody left to tell.
	_, _ = w.Write(out)
}

// named finds a function by its logical id, alone or at the end of an ARN, with
// or without a qualifier.
func (g *gateway) named(escaped string) *function {
	name, err := url.PathUnescape(escaped)
	if err != nil {
		return nil
	}
	parts := strings.Split(name, ":")
	for i, part := range parts {
		if part == "function" && i+1 < len(parts) {
			return g.functions[parts[i+1]]
		}
	}
	return g.functions[parts[0]]
}

// isLoopback says whether a Host header names this machine. A page whose name
// was made to resolve to this machine has its own name in it.
func isLoopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

func refuseInvocation(w http.ResponseWriter, status int, kind, message string) {
	body, err := json.Marshal(map[string]string{"Type": "User", "Message": message})
	if err != nil {
		panic(err) // a map of strings always marshals
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
