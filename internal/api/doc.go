// Package api answers the calls of API Gateway: an HTTP API event (payload
// format 2.0) in, JSON out.
//
// The checks come in one order for every call: session (401), malformed input
// (400), project (404), Idempotency-Key, expected_attempt (409), and then what
// [project.CheckStart] says (400). Nothing is written before they have passed.
//
// A tenant's handler receives a caller, which only the session check makes, so
// none can be written without it. The tenant comes from the session alone.
//
// A [project.Error] becomes an answer with its sentence as "detail", its code
// as "code", its fields beside them, and the HTTP status that the package's one
// map gives its code. Any other error is logged with the request id and
// answered with a 500 that says nothing but that id.
package api
