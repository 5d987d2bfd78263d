package project

import (
	"errors"
	"fmt"
	"strings"
)

// Code names a refusal for programs; a code keeps its meaning for ever.
type Code string

// The codes. What each says to a person stands in [Sentences].
const (
	CodeSessionMissing Code = "session_missing"
	CodeSessionInvalid Code = "session_invalid"
	CodeSessionExpired Code = "session_expired"
	CodeSessionIdle    Code = "session_idle"

	CodeBodyTooLarge          Code = "body_too_large"
	CodeBodyEncoding          Code = "body_encoding_invalid"
	CodeBodyInvalid           Code = "body_invalid"
	CodeContentType           Code = "content_type_unsupported"
	CodeProjectIDInvalid      Code = "project_id_invalid"
	CodeIdempotencyKeyInvalid Code = "idempotency_key_invalid"

	CodeProjectNotFound      Code = "project_not_found"
	CodeRouteNotFound        Code = "route_not_found"
	CodeIdempotencyKeyReused Code = "idempotency_key_reused"
	CodeAttemptDiffers       Code = "attempt_differs"
	CodeNotFailed            Code = "project_not_failed"
	CodeNotPending           Code = "project_not_pending"
	CodeUseRestart           Code = "project_failed_use_restart"

	CodeSubscriptionMissing   Code = "subscription_missing"
	CodeSubscriptionPastDue   Code = "subscription_past_due"
	CodeSubscriptionCanceled  Code = "subscription_canceled"
	CodeSubscriptionUnpaid    Code = "subscription_unpaid"
	CodeSubscriptionSuspended Code = "subscription_suspended"
	CodeSubscriptionUnknown   Code = "subscription_unknown"
	CodeActivationMissing     Code = "activation_code_missing"
	CodeActivationRevoked     Code = "activation_code_revoked"
	CodeFieldMissing          Code = "field_missing"
	CodeTrialSlotTaken        Code = "trial_slot_taken"

	CodeLaunchRefused Code = "launch_refused"

	CodeFieldInvalid    Code = "field_invalid"
	CodeQueryInvalid    Code = "query_invalid"
	CodeCursorInvalid   Code = "cursor_invalid"
	CodeVersionMissing  Code = "version_missing"
	CodeVersionStale    Code = "version_stale"
	CodeProjectRunning  Code = "project_running"
	CodeNotRunning      Code = "project_not_running"
	CodeExtended        Code = "extension_used"
	CodeExtensionEarly  Code = "extension_too_early"
	CodeExtensionLate   Code = "extension_too_late"
	CodeNotCompleted    Code = "project_not_completed"
	CodeOutputMissing   Code = "output_missing"
	CodeAttemptUnknown  Code = "attempt_unknown"
	CodeProjectLimit    Code = "project_limit"
	CodeTrialProject    Code = "trial_project_limit"
	CodeProjectIDsTaken Code = "project_ids_taken"

	CodeActivationMalformed   Code = "activation_code_malformed"
	CodeActivationUnknown     Code = "activation_code_unknown"
	CodeActivationUsed        Code = "activation_code_used"
	CodeActivationExpired     Code = "activation_code_expired"
	CodeActivationCodeRevoked Code = "activation_code_withdrawn"
	CodeActivationPresent     Code = "activation_code_present"

	CodeLoginSlugInvalid Code = "login_slug_invalid"
	CodeLoginRateLimited Code = "login_rate_limited"
	CodeLoginCodeWrong   Code = "login_code_wrong"
	CodeLoginCodeSpent   Code = "login_code_spent"

	CodeTokenInvalid     Code = "execution_token_invalid"
	CodeAttemptClosed    Code = "attempt_closed"
	CodeAlreadyClaimed   Code = "already_claimed"
	CodeExecutionIDWrong Code = "execution_id_invalid"

	CodeUploadUnsupported Code = "upload_unsupported"
	CodeUploadUnknown     Code = "upload_unknown"
	CodeUploadIncomplete  Code = "upload_incomplete"
	CodeOutputTooLarge    Code = "output_too_large"

	CodeContended   Code = "contended"
	CodeUnavailable Code = "unavailable"
	CodeInternal    Code = "internal"
)

// Sentences has what each code says to a person. A {name} is filled from the
// error's field of that name. docs/errors.md is checked against it.
var Sentences = map[Code]string{
	CodeSessionMissing: "Session token required: send it in the X-Session-Token header",
	CodeSessionInvalid: "Unknown session token: please sign in",
	CodeSessionExpired: "Session expired: please sign in again",
	CodeSessionIdle:    "Session expired after 30 minutes without use: please sign in again",

	CodeBodyTooLarge:          "The request body is larger than {limit_bytes} bytes",
	CodeBodyEncoding:          "The request body is marked as base64 but is not valid base64",
	CodeBodyInvalid:           "The request body is not what this call takes: {problem}",
	CodeContentType:           "Send the request body as application/json, not as {content_type}",
	CodeProjectIDInvalid:      "A project id is 1 to 100 characters of a-z, 0-9, - and _, and begins with a letter or a digit",
	CodeIdempotencyKeyInvalid: "An Idempotency-Key is 1 to 255 printable ASCII characters",

	CodeProjectNotFound:      "Project not found",
	CodeRouteNotFound:        "There is nothing at this path for this method",
	CodeIdempotencyKeyReused: "This Idempotency-Key was used for {operation}; use a new key for another operation",
	CodeAttemptDiffers:       "The project is at attempt {attempt} with status {status}, not at the attempt that you expected",
	CodeNotFailed:            "Only failed projects can be restarted. Current status: {status}",
	CodeNotPending:           "Only pending projects can be run. Current status: {status}",
	CodeUseRestart:           "Only pending projects can be run. Current status: failed. Use restart to run it again",

	CodeSubscriptionMissing:   "Your account has no subscription: projects can't be created or run without one",
	CodeSubscriptionPastDue:   "Your subscription is past due: settle the open invoice to create and run projects",
	CodeSubscriptionCanceled:  "Your subscription was canceled: renew it to create and run projects",
	CodeSubscriptionUnpaid:    "Your subscription is unpaid: pay it to create and run projects",
	CodeSubscriptionSuspended: "Your account is suspended: contact support to create and run projects",
	CodeSubscriptionUnknown:   "Your subscription does not allow creating and running projects. Current state: {subscription_state}",
	CodeActivationMissing:     "The project has no activation code: assign one to run it",
	CodeActivationRevoked:     "The project's activation code was revoked: assign another to run it",
	CodeFieldMissing:          "The project has no {field}: fill it in to run the project",
	CodeTrialSlotTaken:        "A trial runs one project at a time, and {running_project_id} is running",

	CodeLaunchRefused: "The project could not be launched: {reason}",

	CodeFieldInvalid:    "The {field} {problem}",
	CodeQueryInvalid:    "The query parameter {parameter} {problem}",
	CodeCursorInvalid:   "The cursor is not one that this list gave out: begin again without it",
	CodeVersionMissing:  "Send the version that you edit in the If-Match header",
	CodeVersionStale:    "The project was changed meanwhile, and is at version {version}: load it again",
	CodeProjectRunning:  "The project is running: {action} is possible once it has ended",
	CodeNotRunning:      "Only running projects can be {action}. Current status: {status}",
	CodeExtended:        "This execution was extended before, and times out at {times_out_at}: an execution is extended once",
	CodeExtensionEarly:  "This execution can be extended from {extendable_at} on",
	CodeExtensionLate:   "This execution timed out at {times_out_at}, and can't be extended any more",
	CodeNotCompleted:    "Only completed projects can be downloaded. Current status: {status}",
	CodeOutputMissing:   "The project's output is not there any more",
	CodeAttemptUnknown:  "The project does not remember attempt {attempt}",
	CodeProjectLimit:    "An account has at most {limit} projects: delete one to create another",
	CodeTrialProject:    "A trial includes {limit} project: subscribe to create more",
	CodeProjectIDsTaken: "Too many projects have this name: choose another",

	CodeActivationMalformed:   "An activation code reads XXXX-XXXX-XXXX-XXXX, without the letters I and O and the digits 0 and 1",
	CodeActivationUnknown:     "There is no such activation code",
	CodeActivationUsed:        "This activation code has been used",
	CodeActivationExpired:     "This activation code has expired",
	CodeActivationCodeRevoked: "This activation code was revoked",
	CodeActivationPresent:     "The project has an activation code already",

	CodeLoginSlugInvalid: "An account name is 1 to 63 characters of a-z, 0-9 and -",
	CodeLoginRateLimited: "Too many login codes were requested: try again in {retry_after_seconds} seconds",
	CodeLoginCodeWrong:   "The login code is wrong or has expired",
	CodeLoginCodeSpent:   "Too many wrong login codes: request a new one",

	CodeTokenInvalid:     "The execution token is missing or not valid for this execution",
	CodeAttemptClosed:    "This execution is not running any more: stop its work",
	CodeAlreadyClaimed:   "Another runner has claimed this execution",
	CodeExecutionIDWrong: "An execution id is a positive whole number",

	CodeUploadUnsupported: "Outputs are folders of this machine: nothing is uploaded",
	CodeUploadUnknown:     "This execution has no such upload",
	CodeUploadIncomplete:  "The upload is not complete: {problem}",
	CodeOutputTooLarge:    "The output is larger than {limit_megabytes} MB",

	CodeContended:   "Too many requests for this project at once: try again in a moment",
	CodeUnavailable: "The service is busy: try again in a moment",
	CodeInternal:    "Something went wrong on our side. The request id {request_id} helps us find it",
}

// Fields are what an error carries beside its sentence. They fill the
// sentence's {names} and stand in the HTTP answer.
type Fields map[string]any

// Error is a refusal that its receiver can act on. Whatever else goes wrong is
// an ordinary error: it is logged, and shown to nobody.
type Error struct {
	Code   Code
	Fields Fields
	Err    error // the cause, for the log alone; may be nil
}

// Refuse makes the error of a code. Fields may be nil.
func Refuse(code Code, fields Fields) *Error {
	return &Error{Code: code, Fields: fields}
}

// Error returns the code's sentence with its fields filled in.
func (e *Error) Error() string {
	fill := make([]string, 0, 2*len(e.Fields))
	for name, value := range e.Fields {
		fill = append(fill, "{"+name+"}", fmt.Sprint(value))
	}
	return strings.NewReplacer(fill...).Replace(Sentences[e.Code])
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the [Error] in err's chain, or "" if there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
