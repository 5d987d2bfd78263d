package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"rekindle/internal/awsenv"
	"rekindle/internal/project"
)

// s3Life is how long a presigned URL can be used. It ends earlier if the
// credentials that signed it do.
const s3Life = 15 * time.Minute

// S3 has outputs and logs in a bucket: <tenant>/<project uid>/<execution id>/
// with output.zip, stdout.log and stderr.log. It is safe for concurrent use.
type S3 struct {
	client  *s3.Client
	patient *http.Client // without a limit of its own: S3 may take minutes to join the parts of an upload
	presign *s3.PresignClient
	bucket  string
	prefix  string // of every key: empty, or ending in a slash
	now     func() time.Time
}

// NewS3 makes the outputs at base, which is s3://bucket or s3://bucket/prefix,
// over the environment; see [awsenv.Read]. A nil now is the system's clock.
func NewS3(lookup func(string) (string, bool), base string, now func() time.Time) (*S3, error) {
	bucket, prefix, ok := splitBase(base)
	if !ok {
		return nil, fmt.Errorf("outputs lie at s3://bucket, not at %q", base)
	}
	env, err := awsenv.Read(lookup, "S3")
	if err != nil {
		return nil, err
	}
	if now == nil {
		now = time.Now
	}
	client := s3.New(s3.Options{
		Region: env.Region, Credentials: env.Credentials, HTTPClient: env.HTTP,
		Retryer: env.Retryer, BaseEndpoint: env.Endpoint,
		// Another endpoint has no host name a bucket.
		UsePathStyle: env.Endpoint != nil,
		// A part of an object has no checksum to be held to, and a browser
		// computes none.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }) // as the client's own
	presign := s3.NewPresignClient(client, func(o *s3.PresignOptions) { o.Presigner = clocked{signer, now} })
	patient := *env.HTTP
	patient.Timeout = 0
	return &S3{client: client, patient: &patient, presign: presign, bucket: bucket, prefix: prefix, now: now}, nil
}

func splitBase(base string) (bucket, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(base, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return bucket, prefix, ok && bucket != ""
}

func (s *S3) key(ref project.Ref, name string) string {
	return s.prefix + ref.TenantID + "/" + ref.ProjectUID + "/" + strconv.FormatInt(ref.ExecutionID, 10) + "/" + name
}

// Tail returns the last lines of what an execution wrote to [Stdout] or
// [Stderr]; of a log that is not there yet, nothing.
func (s *S3) Tail(ctx context.Context, ref project.Ref, stream string, lines int) (string, error) {
	name, err := logName(stream)
	if err != nil {
		return "", err
	}
	if checkIDs(ref.TenantID, ref.ProjectUID) != nil {
		return "", nil
	}
	text, err := s.readTail(ctx, s.key(ref, name))
	if err != nil {
		return "", s3Error("reading the log of execution "+strconv.FormatInt(ref.ExecutionID, 10), err)
	}
	return lastLines(text, lines), nil
}

func (s *S3) readTail(ctx context.Context, key string) ([]byte, error) {
	got, err := s.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &s.bucket, Key: &key, Range: aws.String("bytes=-" + strconv.Itoa(project.MaxLog)),
	})
	// An empty object has no last bytes: 416.
	if status := statusOf(err); status == http.StatusNotFound || status == http.StatusRequestedRangeNotSatisfiable {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	return io.ReadAll(io.LimitReader(got.Body, project.MaxLog))
}

// Download returns a presigned URL of an execution's zip, to be saved under a
// name. One that is not there is refused with CodeOutputMissing.
func (s *S3) Download(ctx context.Context, ref project.Ref, name string) (project.Link, error) {
	missing := project.Refuse(project.CodeOutputMissing, nil)
	if checkIDs(ref.TenantID, ref.ProjectUID) != nil {
		return project.Link{}, missing
	}
	doing := "the download of execution " + strconv.FormatInt(ref.ExecutionID, 10)
	key := s.key(ref, zipName)
	head, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key})
	if statusOf(err) == http.StatusNotFound {
		return project.Link{}, missing
	}
	if err != nil {
		return project.Link{}, s3Error(doing, err)
	}
	expires := s.now().Add(s3Life)
	signed, err := s.presign.PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: &s.bucket, Key: &key,
		ResponseContentType:        aws.String("application/zip"),
		ResponseContentDisposition: aws.String(disposition(name)),
	}, s3.WithPresignExpires(s3Life))
	if err != nil {
		return project.Link{}, s3Error(doing, err)
	}
	return project.Link{URL: signed.URL, ExpiresAt: expires, Size: aws.ToInt64(head.ContentLength), Name: name}, nil
}

// Remove deletes the output and logs of every execution of one incarnation of a
// project. What is not there is no error.
func (s *S3) Remove(ctx context.Context, tenantID, projectUID string) error {
	if err := checkIDs(tenantID, projectUID); err != nil {
		return fmt.Errorf("removing an output: %w", err)
	}
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
		Bucket: &s.bucket, Prefix: aws.String(s.prefix + tenantID + "/" + projectUID + "/"),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err == nil {
			err = s.deleteAll(ctx, page.Contents)
		}
		if err != nil {
			return s3Error("removing the output of project "+projectUID, err)
		}
	}
	return nil
}

// deleteAll deletes the objects of one page: 1,000 at most, as many as one call
// takes.
func (s *S3) deleteAll(ctx context.Context, objects []types.Object) error {
	if len(objects) == 0 {
		return nil
	}
	ids := make([]types.ObjectIdentifier, len(objects))
	for i, o := range objects {
		ids[i] = types.ObjectIdentifier{Key: o.Key}
	}
	got, err := s.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
		Bucket: &s.bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
	})
	if err != nil {
		return err
	}
	if n := len(got.Errors); n > 0 {
		e := got.Errors[0]
		return fmt.Errorf("%d of %d objects were not deleted; the first, %s: %s", n, len(ids), aws.ToString(e.Key), aws.ToString(e.Code))
	}
	return nil
}

// statusOf returns the HTTP status of S3's refusal, 0 if err is none.
func statusOf(err error) int {
	var refused *awshttp.ResponseError
	if errors.As(err, &refused) {
		return refused.HTTPStatusCode()
	}
	return 0
}

// s3Error wraps an error of S3. One that a later call may not meet is
// CodeUnavailable.
func s3Error(doing string, err error) error {
	if awsenv.IsTransient(err) {
		return &project.Error{Code: project.CodeUnavailable, Err: fmt.Errorf("%s: %w", doing, err)}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
