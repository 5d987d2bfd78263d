package settle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"rekindle/internal/launch"
	"rekindle/internal/project"
	"rekindle/internal/telemetry"
	"rekindle/internal/token"
)

// Handler is the Lambda handler of AWS Batch's "Batch Job State Change" events,
// which EventBridge delivers at least once, in any order, and late.
//
// An event repeats the environment of the job's container, and with it the
// execution token: that says whose job it was. So neither the event nor any
// part of it that is not named in the code goes into a log or an error.
type Handler struct {
	settler *Settler
	keys    *token.Keyring
	log     *slog.Logger
}

// NewHandler makes the handler. A nil log is the system's.
func NewHandler(settler *Settler, keys *token.Keyring, log *slog.Logger) *Handler {
	if log == nil {
		log = slog.Default()
	}
	return &Handler{settler: settler, keys: keys, log: telemetry.WithRequestIDs(log)}
}

// batchEvent is as much of the event as is needed. Its detail is like the
// JobDetail of DescribeJobs; members that are not here may come and go.
type batchEvent struct {
	Source     string   `json:"source"`
	DetailType string   `json:"detail-type"`
	Detail     batchJob `json:"detail"`
}

type batchJob struct {
	ID           string         `json:"jobId"`
	Name         string         `json:"jobName"`
	Status       string         `json:"status"`
	StatusReason string         `json:"statusReason"`
	IsCancelled  bool           `json:"isCancelled"`
	IsTerminated bool           `json:"isTerminated"`
	Container    batchContainer `json:"container"`
	Attempts     []struct {
		StatusReason string         `json:"statusReason"`
		Container    batchContainer `json:"container"`
	} `json:"attempts"`
}

type batchContainer struct {
	ExitCode    *int   `json:"exitCode"` // nil where the container never ran
	Reason      string `json:"reason"`
	Environment []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"environment"`
}

// Invoke settles what the event tells of. A job that is not of this system is
// passed over. An error has the event delivered again, and put by when that
// does not help.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	job, err := readBatchEvent(payload)
	if err != nil {
		return nil, err
	}
	log := h.log.With("job_id", job.ID, "job_name", clip(job.Name), "job_status", clip(job.Status))
	if job.Status != "SUCCEEDED" && job.Status != "FAILED" {
		log.InfoContext(ctx, "event passed over: the job has not ended")
		return nothing, nil
	}
	ref, err := h.execution(job)
	if err != nil {
		log.WarnContext(ctx, "event passed over: "+err.Error())
		return nothing, nil
	}
	end := launch.JobEnd{Ref: ref, JobID: job.ID, Succeeded: job.Status == "SUCCEEDED"}
	if !end.Succeeded {
		end.Reason = reasonOf(job)
	}
	if err := h.settler.JobEnded(ctx, end); err != nil {
		return nil, err
	}
	return nothing, nil
}

// nothing is what Lambda answers for a function without a result.
var nothing = []byte("null")

func readBatchEvent(payload []byte) (batchJob, error) {
	var e batchEvent
	if err := json.Unmarshal(payload, &e); err != nil {
		return batchJob{}, fmt.Errorf("the event can't be read: %w", withoutValue(err))
	}
	if e.Source != "aws.batch" || e.DetailType != "Batch Job State Change" {
		return batchJob{}, fmt.Errorf("the event is %.100q of %.100q, not \"Batch Job State Change\" of \"aws.batch\"", e.DetailType, e.Source)
	}
	if e.Detail.ID == "" || len(e.Detail.ID) > maxJobName {
		return batchJob{}, fmt.Errorf("the event names no job by an id of 1 to %d bytes", maxJobName)
	}
	return e.Detail, nil
}

// maxJobName is how long the name of a job may be in AWS Batch, in characters.
// Its ids are UUIDs.
const maxJobName = 128

// clip makes a text of an event fit for a line of the log.
func clip(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxJobName)], "")
}

// withoutValue is a JSON error that repeats nothing of the text but its kind
// and place.
func withoutValue(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		value, _, _ := strings.Cut(kind.Value, " ")
		return fmt.Errorf("%q is of the kind %s", kind.Field, value)
	}
	return err
}

// execution returns which execution a job was of: the one that its token speaks
// for, if the job has that one's name. Its errors are for the log and say
// nothing of the token.
func (h *Handler) execution(job batchJob) (project.Ref, error) {
	rest, ours := strings.CutPrefix(job.Name, "rk-")
	digits, uid, _ := strings.Cut(rest, "-")
	id, err := strconv.ParseInt(digits, 10, 64)
	if !ours || uid == "" || err != nil || id <= 0 || strconv.FormatInt(id, 10) != digits {
		return project.Ref{}, errors.New("the job's name is none of an execution's")
	}
	for _, v := range job.Container.Environment {
		if v.Name != "REKINDLE_EXECUTION_TOKEN" {
			continue
		}
		claims, err := h.keys.Verify(token.Execution, v.Value)
		switch {
		case err != nil:
			return project.Ref{}, errors.New("the job's token is not valid")
		case launch.JobName(claims.Ref()) != job.Name:
			return project.Ref{}, errors.New("the job's token is another execution's")
		}
		return claims.Ref(), nil
	}
	return project.Ref{}, errors.New("the job has no token")
}
