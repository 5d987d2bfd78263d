package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"rekindle/internal/template"
)

// Limits of an HTTP API (API Gateway quotas and important notes).
const (
	maxPayload     = 10 << 20
	maxHeaderBytes = 10_240
)

// gateway is API Gateway's HTTP API on this machine: it turns requests into
// events of payload format 2.0 and hands their JSON to the function of the
// template's route. A path is taken as it came: nothing is cleaned, and nothing
// redirected.
type gateway struct {
	routes    []localRoute
	fallback  *function // $default
	functions map[string]*function
	cors      corsPolicy
	// background is the life of the stack, for invocations that nobody waits for.
	background context.Context
	now        func() time.Time
	log        *slog.Logger
}

// localRoute is a route of the template, cut into the segments of its path.
type localRoute struct {
	method   string
	key      string // "POST /api/…/{project_id}/run"
	segments []string
	function *function
}

// newGateway makes the handler of every request to the stack: the template's
// routes and, beside them, Lambda's Invoke API.
func newGateway(background context.Context, routes []template.Route, cors template.CORS, functions map[string]*function, log *slog.Logger) http.Handler {
	g := &gateway{background: background, functions: functions, cors: corsPolicy(cors), now: time.Now, log: log}
	for _, r := range routes {
		f := functions[r.Function]
		if r.Path == "$default" {
			g.fallback = f
			continue
		}
		g.routes = append(g.routes, localRoute{
			method: strings.ToUpper(r.Method), key: strings.ToUpper(r.Method) + " " + r.Path,
			segments: strings.Split(r.Path, "/"), function: f,
		})
	}
	return g
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, ok := invocationOf(r.URL.EscapedPath()); ok {
		g.serveInvocation(w, r, name)
		return
	}
	if g.cors.preflight(w, r) {
		return
	}
	id := newRequestID()
	w.Header().Set("Apigw-Requestid", id)
	status, header, body := g.answer(r, id)
	for name, values := range header {
		w.Header()[name] = values
	}
	g.cors.apply(w.Header(), r.Header.Get("Origin"))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		// The client may have gone; there is nobody left to tell.
		_, _ = w.Write(body)
	}
}

// own is an answer of the gateway itself, in its own form.
func own(status int, message string) (int, http.Header, []byte) {
	body, err := json.Marshal(map[string]string{"message": message})
	if err != nil {
		panic(err) // a map of strings always marshals
	}
	return status, http.Header{"Content-Type": {"application/json"}}, body
}

func (g *gateway) answer(r *http.Request, id string) (int, http.Header, []byte) {
	if headerBytes(r) > maxHeaderBytes {
		return own(http.StatusRequestHeaderFieldsTooLarge, "Request Header Fields Too Large")
	}
	route, params, err := g.match(r)
	if err != nil {
		return own(http.StatusBadRequest, "Bad Request")
	}
	if route.function == nil {
		return own(http.StatusNotFound, "Not Found")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	if err != nil {
		return own(http.StatusBadRequest, "Bad Request")
	}
	if len(body) > maxPayload {
		return own(http.StatusRequestEntityTooLarge, "Request Entity Too Large")
	}
	payload, err := json.Marshal(g.event(r, route.key, params, body, id))
	if err != nil {
		g.log.Error("encoding an event", "request_id", id, "error", err)
		return own(http.StatusInternalServerError, "Internal Server Error")
	}
	// A client that goes away does not stop the function.
	out, err := route.function.invoke(context.WithoutCancel(r.Context()), id, payload)
	if err != nil {
		g.log.Error("function failed", "function", route.function.name, "request_id", id, "error", err)
		var failed *invocationError
		if errors.As(err, &failed) && failed.Type == "Sandbox.Timedout" {
			return own(http.StatusServiceUnavailable, "Service Unavailable")
		}
		return own(http.StatusInternalServerError, "Internal Server Error")
	}
	return g.response(route.function.name, id, out)
}

func headerBytes(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + 4
		}
	}
	return n
}

// match finds the route of a request by its path as it came, segment by
// segment. A parameter is decoded once; one that can't be is an error.
func (g *gateway) match(r *http.Request) (localRoute, map[string]string, error) {
	segments := strings.Split(r.URL.EscapedPath(), "/")
	for _, route := range g.routes {
		if route.method != r.Method && route.method != "ANY" {
			continue
		}
		if params, ok := matchSegments(route.segments, segments); ok {
			for name, escaped := range params {
				value, err := url.PathUnescape(escaped)
				if err != nil || !utf8.ValidString(value) {
					return route, nil, errBadPath
				}
				params[name] = value
			}
			return route, params, nil
		}
	}
	return localRoute{key: "$default", function: g.fallback}, nil, nil
}

var errBadPath = errors.New("a path parameter can't be decoded")

func matchSegments(pattern, path []string) (map[string]string, bool) {
	if len(pattern) != len(path) {
		return nil, false
	}
	params := map[string]string{}
	for i, p := range pattern {
		if strings.HasPrefix(p, "{") && strings.HasSuffix(p, "}") && path[i] != "" {
			params[p[1:len(p)-1]] = path[i]
		} else if p != path[i] {
			return nil, false
		}
	}
	return params, true
}

func (g *gateway) event(r *http.Request, key string, params map[string]string, body []byte, id string) events.APIGatewayV2HTTPRequest {
	now := g.now().UTC()
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	headers := map[string]string{"host": r.Host}
	var cookies []string
	for name, values := range r.Header {
		if name == "Cookie" {
			for _, v := range values {
				for c := range strings.SplitSeq(v, ";") {
					cookies = append(cookies, strings.TrimSpace(c))
				}
			}
			continue
		}
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	query := map[string]string{}
	for name, values := range r.URL.Query() {
		query[name] = strings.Join(values, ",")
	}
	path, err := url.PathUnescape(r.URL.EscapedPath())
	if err != nil {
		path = r.URL.EscapedPath()
	}
	e := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: key, RawPath: path, RawQueryString: r.URL.RawQuery,
		Cookies: cookies, Headers: headers, QueryStringParameters: query, PathParameters: params,
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			AccountID: "000000000000", APIID: "local", DomainName: r.Host, DomainPrefix: "local",
			RequestID: id, RouteKey: key, Stage: "$default",
			Time: now.Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
				Method: r.Method, Path: path, Protocol: r.Proto, SourceIP: host, UserAgent: r.UserAgent(),
			},
		},
	}
	if e.Body = string(body); len(body) > 0 && !isText(r.Header.Get("Content-Type"), body) {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return e
}

// isText says whether the gateway hands a body over as it is: text and JSON,
// XML and JavaScript. Every other body is handed over in base64; so is one that
// is not UTF-8, which a JSON event could not carry.
func isText(contentType string, body []byte) bool {
	if !utf8.Valid(body) {
		return false
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch media {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml")
}

// response reads a function's answer of payload format 2.0.
func (g *gateway) response(name, id string, out []byte) (int, http.Header, []byte) {
	var resp events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out, &resp); err != nil || resp.StatusCode < 100 || resp.StatusCode > 599 {
		g.log.Error("the function's answer has not the form of an HTTP answer", "function", name, "request_id", id)
		return own(http.StatusInternalServerError, "Internal Server Error")
	}
	body := []byte(resp.Body)
	if resp.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(resp.Body); err != nil {
			g.log.Error("the function's answer is not valid base64", "function", name, "request_id", id)
			return own(http.StatusInternalServerError, "Internal Server Error")
		}
	}
	header := http.Header{}
	for k, v := range resp.Headers {
		header.Set(k, v)
	}
	for _, c := range resp.Cookies {
		header.Add("Set-Cookie", c)
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	return resp.StatusCode, header, body
}
