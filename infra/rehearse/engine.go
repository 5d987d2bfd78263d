package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// engine is AWS Batch, as far as the functions call it: the emulator ends every
// job at once and can't stop one. It takes jobs for the stack's queue and
// definition alone, and they live until they are stopped or ended.
type engine struct {
	queue, definition string // ARNs; the definition's has no revision

	mu     sync.Mutex
	jobs   []*job
	refuse int // so many submissions are answered with a fault
}

type job struct {
	ID, Name, Status string
	Token, Command   string
}

// matchesARN says whether a name or ARN, with or without a revision, is that of a
// resource.
func matchesARN(arn, given string) bool {
	name := arn[strings.LastIndexByte(arn, '/')+1:]
	given, _, _ = strings.Cut(strings.TrimPrefix(given, arn[:len(arn)-len(name)]), ":")
	return name != "" && given == name
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var in struct {
		JobName, JobQueue, JobDefinition, JobId string
		Filters                                 []struct {
			Name   string
			Values []string
		}
		ContainerOverrides struct {
			Environment []struct{ Name, Value string }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		batchFault(w, http.StatusBadRequest, "ClientException", err.Error())
		return
	}
	var out any = map[string]any{}
	switch r.URL.Path {
	case "/v1/submitjob":
		if e.refuse > 0 {
			e.refuse--
			batchFault(w, http.StatusInternalServerError, "ServerException", "the rehearsal breaks this call")
			return
		}
		if !matchesARN(e.queue, in.JobQueue) || !matchesARN(e.definition, in.JobDefinition) {
			batchFault(w, http.StatusBadRequest, "ClientException", fmt.Sprintf("the stack has the queue %s and the definition %s, not %s and %s", e.queue, e.definition, in.JobQueue, in.JobDefinition))
			return
		}
		j := &job{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", len(e.jobs)+1), Name: in.JobName, Status: "RUNNING"}
		for _, v := range in.ContainerOverrides.Environment {
			switch v.Name {
			case "REKINDLE_EXECUTION_TOKEN":
				j.Token = v.Value
			case "PROJECT_COMMAND":
				j.Command = v.Value
			}
		}
		e.jobs = append(e.jobs, j)
		out = map[string]any{"jobId": j.ID, "jobName": j.Name}
	case "/v1/listjobs":
		if !matchesARN(e.queue, in.JobQueue) {
			batchFault(w, http.StatusBadRequest, "ClientException", "there is no queue "+in.JobQueue)
			return
		}
		list := []any{}
		for _, j := range e.jobs {
			if len(in.Filters) == 1 && slices.Contains(in.Filters[0].Values, j.Name) {
				list = append(list, map[string]any{"jobId": j.ID, "jobName": j.Name, "status": j.Status})
			}
		}
		out = map[string]any{"jobSummaryList": list}
	case "/v1/terminatejob":
		for _, j := range e.jobs {
			if j.ID == in.JobId {
				j.Status = "FAILED"
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out) //nolint:errcheck // the function that asked is gone
}

func batchFault(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"message": message}) //nolint:errcheck // as above
}

// last returns the last job.
func (e *engine) last() job {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.jobs) == 0 {
		return job{}
	}
	return *e.jobs[len(e.jobs)-1]
}

// stopped says whether a job was stopped.
func (e *engine) stopped(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.jobs, func(j *job) bool { return j.ID == id && j.Status == "FAILED" })
}

// breakNext has the next n submissions answered with a fault.
func (e *engine) breakNext(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refuse = n
}
