package s3test

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func (b *Bucket) page() int {
	if b.PageSize > 0 {
		return b.PageSize
	}
	return 1000
}

func (b *Bucket) listParts(up *upload, query url.Values) func(http.ResponseWriter) {
	after, _ := strconv.Atoi(query.Get("part-number-marker")) // 0 if there is none
	var numbers []int
	for _, n := range slices.Sorted(maps.Keys(up.parts)) {
		if n > after {
			numbers = append(numbers, n)
		}
	}
	more := len(numbers) > b.page()
	numbers = numbers[:min(len(numbers), b.page())]
	var x strings.Builder
	fmt.Fprintf(&x, "<ListPartsResult><IsTruncated>%t</IsTruncated>", more)
	if more {
		fmt.Fprintf(&x, "<NextPartNumberMarker>%d</NextPartNumberMarker>", numbers[len(numbers)-1])
	}
	for _, n := range numbers {
		fmt.Fprintf(&x, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag><Size>%d</Size></Part>", n, up.parts[n].etag, up.parts[n].size)
	}
	x.WriteString("</ListPartsResult>")
	return text(x.String())
}

// get answers with an object, or the last bytes of it.
func (b *Bucket) get(key string, r *http.Request) (func(http.ResponseWriter), *refusal) {
	o, ok := b.objects[key]
	switch {
	case !ok && b.Unlisted:
		return nil, refuse(http.StatusForbidden, "AccessDenied", "Access Denied")
	case !ok:
		return nil, refuse(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
	}
	part := r.Header.Get("Range")
	if part == "" || r.Method == http.MethodHead {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", strconv.FormatInt(o.size, 10))
			if r.Method == http.MethodGet {
				fmt.Fprint(w, o.text)
			}
		}, nil
	}
	suffix, ok := strings.CutPrefix(part, "bytes=-")
	n, err := strconv.Atoi(suffix)
	if !ok || err != nil {
		b.t.Errorf("s3test does not know the range %q", part)
	}
	if o.size == 0 {
		return nil, refuse(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable")
	}
	return func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusPartialContent)
		fmt.Fprint(w, o.text[max(0, len(o.text)-n):])
	}, nil
}

func (b *Bucket) list(query url.Values) func(http.ResponseWriter) {
	var keys []string
	for key := range b.objects {
		if strings.HasPrefix(key, query.Get("prefix")) && key > query.Get("continuation-token") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	more := len(keys) > b.page()
	keys = keys[:min(len(keys), b.page())]
	var x strings.Builder
	fmt.Fprintf(&x, "<ListBucketResult><IsTruncated>%t</IsTruncated>", more)
	if more {
		fmt.Fprintf(&x, "<NextContinuationToken>%s</NextContinuationToken>", keys[len(keys)-1])
	}
	for _, key := range keys {
		fmt.Fprintf(&x, "<Contents><Key>%s</Key></Contents>", key)
	}
	x.WriteString("</ListBucketResult>")
	return text(x.String())
}

func (b *Bucket) remove(in body) func(http.ResponseWriter) {
	var wanted struct {
		Quiet  bool
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal([]byte(in.text), &wanted); err != nil || !wanted.Quiet || len(wanted.Object) == 0 {
		b.t.Errorf("deleting %+v: %v", wanted, err)
	}
	var x strings.Builder
	x.WriteString("<DeleteResult>")
	for _, o := range wanted.Object {
		if slices.Contains(b.Locked, o.Key) {
			fmt.Fprintf(&x, "<Error><Key>%s</Key><Code>AccessDenied</Code></Error>", o.Key)
			continue
		}
		delete(b.objects, o.Key)
	}
	x.WriteString("</DeleteResult>")
	return text(x.String())
}
