package api

import (
	"context"
	"strconv"
	"strings"

	"rekindle/internal/project"
)

// Outputs is where executions' outputs and logs are.
type Outputs interface {
	OutputRemover
	// Tail returns the last lines of what an execution wrote to a stream,
	// "stdout" or "stderr"; nothing if there is no log yet. The text may not
	// be UTF-8.
	Tail(ctx context.Context, ref project.Ref, stream string, lines int) (string, error)
	// Download returns a link to a zip of an execution's output, to be saved
	// under a name. It refuses with CodeOutputMissing.
	Download(ctx context.Context, ref project.Ref, name string) (project.Link, error)
}

// Limits of the lines of a log.
const (
	defaultTail = 200
	maxTail     = 1_000
)

// Log is the answer to GET …/log: the last lines of what an attempt's command
// wrote.
type Log struct {
	Attempt     int    `json:"attempt"`
	ExecutionID int64  `json:"execution_id"`
	Stdout      string `json:"stdout"`
	Stderr      string `json:"stderr"`
}

// Download is the answer to GET …/download. It is no redirect: with one, a
// browser would send the session to wherever the outputs are.
type Download struct {
	URL       string `json:"url"`
	ExpiresAt Stamp  `json:"expires_at"`
	Size      int64  `json:"size"` // bytes
	Name      string `json:"name"`
}

// outputRoutes makes the routes of what executions wrote.
func outputRoutes(g gate, outputs Outputs) map[string]route {
	o := &outputCalls{outputs}
	const one = "/api/tenant/projects/{project_id}"
	return map[string]route{
		"GET " + one + "/log":      projectRoute(g, parseLog, o.log),
		"GET " + one + "/download": projectRoute(g, noInput, o.download),
	}
}

type outputCalls struct{ outputs Outputs }

// logInput is what a caller wants to see of a log.
type logInput struct {
	lines   int
	attempt int // 0: the present one
}

// parseLog reads the query. A parameter that is empty is one that is absent.
func parseLog(req *request) (logInput, error) {
	query := req.event.QueryStringParameters
	in := logInput{lines: defaultTail}
	if v := query["tail"]; v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxTail {
			return in, invalidQuery("tail", "must be a whole number from 1 to "+strconv.Itoa(maxTail))
		}
		in.lines = n
	}
	if v := query["attempt"]; v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return in, invalidQuery("attempt", "must be a whole number from 1 on")
		}
		in.attempt = n
	}
	return in, nil
}

// log shows the end of an attempt's log, of any that the status lists.
func (o *outputCalls) log(ctx context.Context, req *request, c *caller, in logInput) (any, error) {
	if in.attempt == 0 {
		in.attempt = c.project.Attempt
	}
	ref := c.project.Ref()
	if ref.ExecutionID = executionOf(c.project, in.attempt); ref.ExecutionID == 0 {
		return nil, project.Refuse(project.CodeAttemptUnknown, project.Fields{"attempt": in.attempt})
	}
	req.executionID = ref.ExecutionID
	answer := &Log{Attempt: in.attempt, ExecutionID: ref.ExecutionID}
	for stream, text := range map[string]*string{"stdout": &answer.Stdout, "stderr": &answer.Stderr} {
		got, err := o.outputs.Tail(ctx, ref, stream, in.lines)
		if err != nil {
			return nil, err
		}
		*text = strings.ToValidUTF8(got, "\ufffd")
	}
	return answer, nil
}

// executionOf returns the execution of a project's attempt, 0 for one that it
// does not remember.
func executionOf(p *project.Project, attempt int) int64 {
	if attempt == p.Attempt {
		return p.ExecutionID
	}
	for _, a := range p.Attempts {
		if a.Number == attempt {
			return a.ExecutionID
		}
	}
	return 0
}

// download gives a link to what a completed project's execution wrote.
func (o *outputCalls) download(ctx context.Context, req *request, c *caller, _ struct{}) (any, error) {
	p := c.project
	if p.Status != project.Completed {
		return nil, project.Refuse(project.CodeNotCompleted, project.Fields{"status": p.Status})
	}
	req.executionID = p.ExecutionID
	link, err := o.outputs.Download(ctx, p.Ref(), p.ProjectID+".zip")
	if err != nil {
		return nil, err
	}
	return &Download{URL: link.URL, ExpiresAt: Stamp(link.ExpiresAt), Size: link.Size, Name: link.Name}, nil
}
