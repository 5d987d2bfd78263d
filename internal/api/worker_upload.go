package api

import (
	"context"
	"fmt"

	"rekindle/internal/project"
	"rekindle/internal/token"
)

// Uploads is where the outputs of executions go. The methods are documented at
// output.S3.
type Uploads interface {
	BeginUpload(ctx context.Context, ref project.Ref) (uploadID string, err error)
	SignPart(ctx context.Context, ref project.Ref, part project.UploadPart) (project.PartLink, error)
	CompleteUpload(ctx context.Context, ref project.Ref, in project.UploadComplete, limit int64) error
	SignLogs(ctx context.Context, ref project.Ref, sizes project.LogSizes) (*project.LogLinks, error)
}

// mayUpload refuses a call of an upload unless outputs are uploaded here and the
// execution is the runner's that calls. One read decides.
//
// An upload has no record of its own: its object follows from the token, and
// its parts are S3's to tell.
func (w *worker) mayUpload(ctx context.Context, t token.Claims) error {
	if w.cfg.Uploads == nil {
		return project.Refuse(project.CodeUploadUnsupported, nil)
	}
	p, err := w.store.Get(ctx, t.Ref().Key)
	if project.CodeOf(err) == project.CodeProjectNotFound {
		return project.Refuse(project.CodeAttemptClosed, nil)
	}
	if err != nil {
		return err
	}
	if !p.Runs(t.Ref()) || p.Attempts[t.ExecutionID].RunnerID != t.RunnerID {
		return project.Refuse(project.CodeAttemptClosed, nil)
	}
	return nil
}

func (w *worker) upload(ctx context.Context, req *request, t token.Claims) (any, error) {
	if err := req.decode(&struct{}{}, true); err != nil {
		return nil, err
	}
	if err := w.mayUpload(ctx, t); err != nil {
		return nil, err
	}
	id, err := w.cfg.Uploads.BeginUpload(ctx, t.Ref())
	if err != nil {
		return nil, err
	}
	return project.Upload{UploadID: id, PartBytes: project.PartBytes, LimitBytes: w.cfg.Limit}, nil
}

// maxUploadID is how long an id that S3 gave may be, in characters. It is about
// 130 today.
const maxUploadID = 1024

func (w *worker) uploadPart(ctx context.Context, req *request, t token.Claims) (any, error) {
	var in project.UploadPart
	if err := req.decode(&in, false); err != nil {
		return nil, err
	}
	switch {
	case !isPrintable(in.UploadID, maxUploadID):
		return nil, errUploadID
	case in.Part < 1 || in.Part > project.MaxParts:
		return nil, invalidBody(fmt.Sprintf("part is 1 to %d", project.MaxParts))
	case in.Bytes < 1 || in.Bytes > project.PartBytes:
		return nil, invalidBody(fmt.Sprintf("bytes is 1 to %d", project.PartBytes))
	}
	if err := w.mayUpload(ctx, t); err != nil {
		return nil, err
	}
	if int64(in.Part-1)*project.PartBytes+in.Bytes > w.cfg.Limit {
		return nil, project.TooLarge(w.cfg.Limit)
	}
	return w.cfg.Uploads.SignPart(ctx, t.Ref(), in)
}

func (w *worker) uploadComplete(ctx context.Context, req *request, t token.Claims) (any, error) {
	var in project.UploadComplete
	if err := req.decode(&in, false); err != nil {
		return nil, err
	}
	switch {
	case !isPrintable(in.UploadID, maxUploadID):
		return nil, errUploadID
	case in.Parts < 1 || in.Parts > project.MaxParts:
		return nil, invalidBody(fmt.Sprintf("parts is 1 to %d", project.MaxParts))
	case in.Bytes < 1:
		return nil, invalidBody("bytes is at least 1")
	}
	if err := w.mayUpload(ctx, t); err != nil {
		return nil, err
	}
	if err := w.cfg.Uploads.CompleteUpload(ctx, t.Ref(), in, w.cfg.Limit); err != nil {
		return nil, err
	}
	w.log.InfoContext(ctx, "output stored", "tenant_id", t.TenantID, "project_id", t.ProjectID,
		"execution_id", t.ExecutionID, "parts", in.Parts, "bytes", in.Bytes)
	return project.Stored{Bytes: in.Bytes}, nil
}

var errUploadID = invalidBody(fmt.Sprintf("upload_id is 1 to %d printable ASCII characters", maxUploadID))
