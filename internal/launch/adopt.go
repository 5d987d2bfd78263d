package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rekindle/internal/project"
)

// record is what is kept of a job, so that a later process can take it over:
// <data>/jobs/<job id>.json. No secret is in it.
type record struct {
	JobID       string `json:"job_id"`
	TenantID    string `json:"tenant_id"`
	ProjectID   string `json:"project_id"`
	ProjectUID  string `json:"project_uid"`
	ExecutionID int64  `json:"execution_id"`

	// PID is 0 while the process is being started. Birth is when it was
	// started, in the system's own terms: a number may come twice, the two
	// together don't.
	PID   int    `json:"pid"`
	Birth string `json:"process_start"`

	// End is how it ended, once it has.
	End *ending `json:"end,omitempty"`
}

type ending struct {
	Succeeded bool   `json:"succeeded"`
	Reason    string `json:"reason,omitempty"`
}

func newRecord(jobID string, ref project.Ref) record {
	return record{JobID: jobID, TenantID: ref.TenantID, ProjectID: ref.ProjectID, ProjectUID: ref.ProjectUID, ExecutionID: ref.ExecutionID}
}

// Ref names the job's execution.
func (r record) Ref() project.Ref {
	return project.Ref{
		Key:        project.Key{TenantID: r.TenantID, ProjectID: r.ProjectID},
		ProjectUID: r.ProjectUID, ExecutionID: r.ExecutionID,
	}
}

const (
	recordSuffix  = ".json"
	partialSuffix = ".partial"
)

func (l *Local) recordsDir() string { return filepath.Join(l.cfg.DataDir, "jobs") }

func (l *Local) recordPath(jobID string) string {
	return filepath.Join(l.recordsDir(), jobID+recordSuffix)
}

// write keeps a record: the whole of it, or what was there before.
func (l *Local) write(r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("the record of job %s: %w", r.JobID, err)
	}
	path := l.recordPath(r.JobID)
	if err = os.WriteFile(path+partialSuffix, text, 0o600); err == nil {
		err = os.Rename(path+partialSuffix, path)
	}
	if err != nil {
		_ = os.Remove(path + partialSuffix) // a full disk needs its room
		return fmt.Errorf("the record of job %s: %w", r.JobID, err)
	}
	return nil
}

// removePartial removes the records that a process was killed in writing.
func (l *Local) removePartial() error {
	entries, err := os.ReadDir(l.recordsDir())
	if err != nil {
		return err
	}
	var failures []error
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), partialSuffix) {
			failures = append(failures, os.Remove(filepath.Join(l.recordsDir(), e.Name())))
		}
	}
	return errors.Join(failures...)
}

// read returns the record in a file of the records' folder.
func (l *Local) read(name string) (record, error) {
	var r record
	text, err := os.ReadFile(filepath.Join(l.recordsDir(), name))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	if r.JobID+recordSuffix != name || r.TenantID == "" || r.ProjectID == "" || r.ExecutionID <= 0 || r.PID < 0 {
		return r, errors.New("it is not the record of a job")
	}
	return r, nil
}

// Adopt takes over the jobs that an earlier process launched with the same data
// folder. Those whose runner is gone have their end told before it returns, or
// later if OnEnd fails; the others are watched. Call it once. A record that
// can't be read is left alone, with a line in the log. Ctx bounds the first
// telling alone.
func (l *Local) Adopt(ctx context.Context) error {
	entries, err := os.ReadDir(l.recordsDir())
	if err != nil {
		return fmt.Errorf("reading the job records: %w", err)
	}
	var living, dead []*job
	l.mu.Lock()
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if _, launchedMeanwhile := l.jobs[id]; !ok || launchedMeanwhile {
			continue
		}
		r, err := l.read(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // launched and over since the folder was read
		}
		if err != nil {
			l.log.Warn("the record of a job can't be read", "file", filepath.Join(l.recordsDir(), e.Name()), "error", err)
			continue
		}
		if r.PID == 0 && r.End == nil {
			// The process before was killed as it started the runner, which may
			// be there all the same, and claim at any moment.
			if r.PID = leaderNamed(id); r.PID != 0 {
				r.Birth, _ = inspect(r.PID)
			}
		}
		j := &job{record: r, settled: make(chan struct{})}
		// All are known before the first end is told, for its judge asks
		// whether another job of the execution is alive.
		l.jobs[id] = j
		if r.End == nil && lives(r.PID, r.Birth) {
			living = append(living, j)
		} else {
			j.over = true
			dead = append(dead, j)
		}
	}
	l.mu.Unlock()

	for _, j := range living {
		l.jobLog(j).Info("adopted a job that is running", "pid", j.PID)
		if l.enter() {
			go func() {
				defer l.watchers.Done()
				l.watch(j)
			}()
		}
	}
	for _, j := range dead {
		if j.End == nil {
			l.buryAdopted(j)
			reason := "The runner ended while the local stack was down, without reporting a result"
			if j.PID == 0 {
				reason = "The local stack was stopped while it started the runner"
			}
			l.end(j, JobEnd{Reason: reason})
		}
		if err := l.tell(ctx, j); err != nil && l.enter() {
			l.jobLog(j).Warn("the end of a job is told later", "error", err)
			go func() {
				defer l.watchers.Done()
				l.deliver(j)
			}()
		}
	}
	return nil
}

// watch takes the end of a job that an earlier process started. It is no child
// of ours, so it is looked at every now and then.
func (l *Local) watch(j *job) {
	ticker := time.NewTicker(l.look)
	defer ticker.Stop()
	for lives(j.PID, j.Birth) {
		select {
		case <-ticker.C:
		case <-l.ctx.Done():
			return
		}
	}
	l.buryAdopted(j)
	l.end(j, JobEnd{Reason: "The runner ended without reporting a result"})
	l.deliver(j)
}

// buryAdopted kills what an adopted runner left behind. Where its number has
// been given to another process its session is long gone, and the one of that
// number is a stranger's.
func (l *Local) buryAdopted(j *job) {
	left := l.buryStrays(j)
	birth, _ := inspect(j.PID)
	if j.PID != 0 && (birth == "" || birth == j.Birth) && sameBoot(j.Birth) {
		left += killSession(j.PID, killWithin)
	}
	l.jobLog(j).Info("adopted job ended", "killed_leftovers", left)
}

// lives says whether the process of that number and birth has not ended.
func lives(pid int, birth string) bool {
	if pid <= 0 {
		return false
	}
	found, running := inspect(pid)
	return running && found == birth
}
