package output

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"rekindle/internal/project"
)

// zipName is the object that an execution's output is.
const zipName = "output.zip"

// BeginUpload begins the upload of an execution's zip and returns its id. One that
// is never completed goes by the bucket's own rule.
func (s *S3) BeginUpload(ctx context.Context, ref project.Ref) (string, error) {
	got, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &s.bucket, Key: s.zipKey(ref), ContentType: aws.String("application/zip"),
	})
	if err != nil {
		return "", s3Error("beginning the upload of execution "+strconv.FormatInt(ref.ExecutionID, 10), err)
	}
	return aws.ToString(got.UploadId), nil
}

// SignPart returns a URL that one part of an upload may be sent to, with exactly
// as many bytes, at least 1. An upload of another execution is none of this one:
// S3 itself refuses it.
func (s *S3) SignPart(ctx context.Context, ref project.Ref, part project.UploadPart) (project.PartLink, error) {
	if part.Bytes < 1 {
		// A length of 0 is not signed, and would so bind nothing.
		return project.PartLink{}, fmt.Errorf("a part of %d bytes can't be signed", part.Bytes)
	}
	expires := s.now().Add(s3Life)
	signed, err := s.presign.PresignUploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: s.zipKey(ref), UploadId: &part.UploadID,
		PartNumber: aws.Int32(int32(part.Part)), ContentLength: &part.Bytes,
	}, s3.WithPresignExpires(s3Life))
	if err != nil {
		return project.PartLink{}, s3Error("signing a part of execution "+strconv.FormatInt(ref.ExecutionID, 10), err)
	}
	return project.PartLink{URL: signed.URL, ExpiresAt: expires}, nil
}

// CompleteUpload makes an execution's zip of its parts. It asks S3 for them: parts
// 1 to n have to be there and no other, with as many bytes as the runner says and
// limit at most. A zip that was completed before, its answer lost, is a success.
// Refusals are CodeUploadUnknown, CodeUploadIncomplete and CodeOutputTooLarge.
func (s *S3) CompleteUpload(ctx context.Context, ref project.Ref, in project.UploadComplete, limit int64) error {
	doing := "completing the upload of execution " + strconv.FormatInt(ref.ExecutionID, 10)
	key := s.zipKey(ref)
	parts, total, err := s.listParts(ctx, key, in.UploadID)
	switch {
	case codeOf(err) == "NoSuchUpload":
		return s.completed(ctx, ref, in.Bytes)
	case err != nil:
		return s3Error(doing, err)
	case total > limit:
		return project.TooLarge(limit)
	}
	if len(parts) != in.Parts || total != in.Bytes {
		return project.Refuse(project.CodeUploadIncomplete, project.Fields{
			"problem": fmt.Sprintf("%d parts of %d bytes are there, not %d of %d", len(parts), total, in.Parts, in.Bytes),
		})
	}
	for i, p := range parts {
		if aws.ToInt32(p.PartNumber) != int32(i+1) {
			return project.Refuse(project.CodeUploadIncomplete, project.Fields{"problem": fmt.Sprintf("part %d is not there", i+1)})
		}
	}
	_, err = s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: key, UploadId: &in.UploadID, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}, func(o *s3.Options) { o.HTTPClient = s.patient })
	switch code := codeOf(err); {
	case code == "NoSuchUpload": // the client met its own first try
		return s.completed(ctx, ref, in.Bytes)
	case code == "EntityTooSmall" || code == "InvalidPart":
		return &project.Error{Code: project.CodeUploadIncomplete, Fields: project.Fields{"problem": "S3 answered " + code}, Err: err}
	case err != nil:
		return s3Error(doing, err)
	}
	return nil
}

// listParts returns what an upload has, in the order of the parts' numbers, and
// how many bytes that is.
func (s *S3) listParts(ctx context.Context, key *string, uploadID string) (parts []types.CompletedPart, total int64, err error) {
	pages := s3.NewListPartsPaginator(s.client, &s3.ListPartsInput{Bucket: &s.bucket, Key: key, UploadId: &uploadID})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, 0, err
		}
		for _, p := range page.Parts {
			parts = append(parts, types.CompletedPart{PartNumber: p.PartNumber, ETag: p.ETag})
			total += aws.ToInt64(p.Size)
		}
	}
	return parts, total, nil
}

// completed answers for an upload that is not there: it was completed if the zip
// is, with as many bytes.
func (s *S3) completed(ctx context.Context, ref project.Ref, bytes int64) error {
	head, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.zipKey(ref)})
	// Who may not list the bucket is told 403 of an object that is not there.
	if status := statusOf(err); status == http.StatusNotFound || status == http.StatusForbidden {
		return &project.Error{Code: project.CodeUploadUnknown, Err: err}
	}
	if err != nil {
		return s3Error("looking for the zip of execution "+strconv.FormatInt(ref.ExecutionID, 10), err)
	}
	if aws.ToInt64(head.ContentLength) != bytes {
		return project.Refuse(project.CodeUploadUnknown, nil)
	}
	return nil
}

// SignLogs returns URLs that the ends of an execution's logs may be sent to, with
// exactly as many bytes; nil where there is none to send.
func (s *S3) SignLogs(ctx context.Context, ref project.Ref, sizes project.LogSizes) (*project.LogLinks, error) {
	links := project.LogLinks{ExpiresAt: s.now().Add(s3Life)}
	for _, l := range []struct {
		stream string
		bytes  int64
		url    *string
	}{{Stdout, sizes.Stdout, &links.Stdout}, {Stderr, sizes.Stderr, &links.Stderr}} {
		if l.bytes == 0 {
			continue // nothing to bind, and an absent log reads like an empty one
		}
		name, err := logName(l.stream)
		if err != nil {
			return nil, err
		}
		signed, err := s.presign.PresignPutObject(ctx, &s3.PutObjectInput{
			Bucket: &s.bucket, Key: aws.String(s.key(ref, name)), ContentLength: &l.bytes,
		}, s3.WithPresignExpires(s3Life))
		if err != nil {
			return nil, s3Error("signing a log of execution "+strconv.FormatInt(ref.ExecutionID, 10), err)
		}
		*l.url = signed.URL
	}
	if links.Stdout == "" && links.Stderr == "" {
		return nil, nil
	}
	return &links, nil
}

func (s *S3) zipKey(ref project.Ref) *string { return aws.String(s.key(ref, zipName)) }

// codeOf returns S3's word for its refusal, empty if err is none.
func codeOf(err error) string {
	var refused interface {
		error
		ErrorCode() string
	}
	if errors.As(err, &refused) {
		return refused.ErrorCode()
	}
	return ""
}

// clocked signs URLs as of a clock, where the SDK takes the system's.
type clocked struct {
	s3.HTTPPresignerV4
	now func() time.Time
}

func (c clocked) PresignHTTP(ctx context.Context, keys aws.Credentials, r *http.Request, hash, service, region string, _ time.Time, opts ...func(*v4.SignerOptions)) (string, http.Header, error) {
	return c.HTTPPresignerV4.PresignHTTP(ctx, keys, r, hash, service, region, c.now().UTC(), opts...)
}
