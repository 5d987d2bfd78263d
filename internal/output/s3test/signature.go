package s3test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

func newSums() hashes { return hashes{md5.New(), sha256.New()} }

const unsigned = "UNSIGNED-PAYLOAD"

var (
	keys   = aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey, SessionToken: sessionToken}
	signer = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
)

// authenticate checks who sent a request, and that its body is what was signed
// and summed up.
func (b *Bucket) authenticate(r *http.Request, in body) *refusal {
	if sum := r.Header.Get("Content-Md5"); sum != "" {
		want, err := base64.StdEncoding.DecodeString(sum)
		if err != nil {
			return refuse(http.StatusBadRequest, "InvalidDigest", "The Content-MD5 you specified is not valid.")
		}
		if !bytes.Equal(want, in.md5) {
			return refuse(http.StatusBadRequest, "BadDigest", "The Content-MD5 you specified did not match what we received.")
		}
	}
	if r.URL.Query().Has("delete") && r.Header.Get("Content-Md5") == "" && r.Header.Get("X-Amz-Checksum-Crc32") == "" {
		return refuse(http.StatusBadRequest, "InvalidRequest", "Missing required header for this request: Content-MD5")
	}
	if r.URL.Query().Has("X-Amz-Signature") {
		if r.Header.Get("Authorization") != "" {
			return refuse(http.StatusBadRequest, "InvalidArgument", "Only one auth mechanism allowed")
		}
		return b.checkURL(r)
	}
	return checkHeader(r, in)
}

var mismatch = refuse(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")

// signable returns the request as its signer saw it, with the headers that were
// signed alone.
func signable(r *http.Request, query url.Values, headers string) *http.Request {
	u := *r.URL
	u.Scheme, u.Host, u.RawQuery = "http", r.Host, query.Encode()
	out := &http.Request{Method: r.Method, URL: &u, Host: r.Host, Header: http.Header{}}
	for name := range strings.SplitSeq(headers, ";") {
		switch name {
		case "host":
		case "content-length":
			out.ContentLength = r.ContentLength
		default:
			out.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	return out
}

// checkURL checks a presigned URL.
func (b *Bucket) checkURL(r *http.Request) *refusal {
	query := r.URL.Query()
	date, err := time.Parse("20060102T150405Z", query.Get("X-Amz-Date"))
	life, lifeErr := strconv.Atoi(query.Get("X-Amz-Expires"))
	if err != nil || lifeErr != nil || life < 1 || life > 604_800 {
		return refuse(http.StatusBadRequest, "AuthorizationQueryParametersError", "Query-string authentication is not complete")
	}
	now, ends := b.now().UTC(), date.Add(time.Duration(life)*time.Second)
	if !now.Before(ends) {
		p := refuse(http.StatusForbidden, "AccessDenied", "Request has expired")
		p.more = fmt.Sprintf("<X-Amz-Expires>%d</X-Amz-Expires><Expires>%s</Expires><ServerTime>%s</ServerTime>", life, ends.Format(time.RFC3339), now.Format(time.RFC3339))
		return p
	}
	if date.Sub(now) > 15*time.Minute {
		return refuse(http.StatusForbidden, "AccessDenied", "Request is not valid yet")
	}
	if query.Get("X-Amz-Security-Token") != sessionToken {
		return refuse(http.StatusBadRequest, "InvalidToken", "The provided token is malformed or otherwise invalid.")
	}
	got := query.Get("X-Amz-Signature")
	signedHeaders := query.Get("X-Amz-SignedHeaders")
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token"} {
		query.Del(name)
	}
	// Headers of Amazon's own have to be signed.
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") && !strings.Contains(";"+signedHeaders+";", ";"+lower+";") {
			return refuse(http.StatusForbidden, "AccessDenied", "There were headers present in the request which were not signed")
		}
	}
	again, _, err := signer.PresignHTTP(r.Context(), keys, signable(r, query, signedHeaders), unsigned, "s3", Region, date)
	if err != nil {
		return mismatch
	}
	u, err := url.Parse(again)
	if err != nil || u.Query().Get("X-Amz-Signature") != got {
		return mismatch
	}
	return nil
}

// checkHeader checks a request that is signed in its Authorization header.
func checkHeader(r *http.Request, in body) *refusal {
	auth := r.Header.Get("Authorization")
	_, rest, _ := strings.Cut(auth, "SignedHeaders=")
	signedHeaders, _, _ := strings.Cut(rest, ",")
	date, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if auth == "" || err != nil {
		return refuse(http.StatusForbidden, "AccessDenied", "Access Denied")
	}
	payload := r.Header.Get("X-Amz-Content-Sha256")
	if payload != unsigned && payload != in.sha256 {
		return refuse(http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	again := signable(r, r.URL.Query(), signedHeaders)
	if err := signer.SignHTTP(r.Context(), keys, again, payload, "s3", Region, date); err != nil || again.Header.Get("Authorization") != auth {
		return mismatch
	}
	return nil
}
