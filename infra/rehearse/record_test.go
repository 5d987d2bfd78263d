package main

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestRequestsAreReadAsIAMJudgesThem(t *testing.T) {
	const (
		table      = "arn:aws:dynamodb:eu-central-1:123456789012:table/"
		queue      = "arn:aws:batch:eu-central-1:123456789012:job-queue/q"
		definition = "arn:aws:batch:eu-central-1:123456789012:job-definition/d"
	)
	c := &cloud{account: account, region: region, mails: &mailbox{}}
	for _, x := range []struct {
		service, request, target, body string
		want                           []string
	}{
		{"dynamodb", "POST /", "DynamoDB_20120810.GetItem", `{"TableName":"p"}`, []string{"dynamodb:GetItem on " + table + "p"}},
		{"dynamodb", "POST /", "DynamoDB_20120810.Query", `{"TableName":"p","IndexName":"i"}`, []string{"dynamodb:Query on " + table + "p/index/i"}},
		{"dynamodb", "POST /", "DynamoDB_20120810.BatchGetItem", `{"RequestItems":{"s":{},"p":{}}}`, []string{"dynamodb:BatchGetItem on " + table + "p", "dynamodb:BatchGetItem on " + table + "s"}},
		{"s3", "HEAD /b/k/output.zip", "", "", []string{"s3:GetObject on arn:aws:s3:::b/k/output.zip"}},
		{"s3", "GET /b?list-type=2&prefix=k", "", "", []string{"s3:ListBucket on arn:aws:s3:::b"}},
		{"s3", "GET /b/k?uploadId=1", "", "", []string{"s3:ListMultipartUploadParts on arn:aws:s3:::b/k"}},
		{"s3", "PUT /b/k?partNumber=1&uploadId=1", "", "", []string{"s3:PutObject on arn:aws:s3:::b/k"}},
		{"s3", "POST /b/k?uploads", "", "", []string{"s3:PutObject on arn:aws:s3:::b/k"}},
		{"s3", "POST /b/k?uploadId=1", "", "", []string{"s3:PutObject on arn:aws:s3:::b/k"}},
		{"s3", "DELETE /b/k?uploadId=1", "", "", []string{"s3:AbortMultipartUpload on arn:aws:s3:::b/k"}},
		{"s3", "POST /b?delete", "", "<Delete><Object><Key>x</Key></Object><Object><Key>y</Key></Object></Delete>", []string{"s3:DeleteObject on arn:aws:s3:::b/x", "s3:DeleteObject on arn:aws:s3:::b/y"}},
		{"batch", "POST /v1/submitjob", "", `{"jobQueue":"` + queue + `","jobDefinition":"d"}`, []string{"batch:SubmitJob on " + queue, "batch:SubmitJob on " + definition, "batch:SubmitJob on " + definition + ":1"}},
		{"batch", "POST /v1/submitjob", "", `{"jobQueue":"q","jobDefinition":"` + definition + `:7"}`, []string{"batch:SubmitJob on " + queue, "batch:SubmitJob on " + definition + ":7"}},
		{"batch", "POST /v1/listjobs", "", `{}`, []string{"batch:ListJobs on *"}},
		{"batch", "POST /v1/terminatejob", "", `{"jobId":"7"}`, []string{"batch:TerminateJob on arn:aws:batch:eu-central-1:123456789012:job/7"}},
		{"ses", "POST /v2/email/outbound-emails", "", `{"FromEmailAddress":"a@b.example"}`, []string{"ses:SendEmail on arn:aws:ses:eu-central-1:123456789012:identity/a@b.example"}},
		{"kms", "POST /", "TrentService.Decrypt", `{}`, nil},
		{"batch", "POST /v1/canceljob", "", `{}`, nil},
		{"s3", "PUT /b?policy", "", "", nil},
	} {
		method, path, _ := strings.Cut(x.request, " ")
		req := httptest.NewRequest(method, path, strings.NewReader(x.body))
		req.Header.Set("X-Amz-Target", x.target)
		calls, err := (&recorder{cloud: c}).read(x.service, req, []byte(x.body))
		var got []string
		for _, c := range calls {
			got = append(got, c.String())
		}
		if !slices.Equal(got, x.want) || (err == nil) != (x.want != nil) {
			t.Errorf("%s %s %s: got %q, %v, want %q", x.service, x.request, x.target, got, err, x.want)
		}
	}
}

func TestEngineKnowsItsQueueByNameAndByARN(t *testing.T) {
	const arn = "arn:aws:batch:eu-central-1:123456789012:job-definition/runner"
	for given, want := range map[string]bool{
		"runner": true, "runner:3": true, arn: true, arn + ":3": true, "other": false, "": false,
		"arn:aws:batch:eu-west-1:123456789012:job-definition/runner": false,
	} {
		if got := matchesARN(arn, given); got != want {
			t.Errorf("%q: got %t, want %t", given, got, want)
		}
	}
	if matchesARN("", "") {
		t.Error("a queue that is not there has a name")
	}
}
