package main

import (
	"net/http"

	"rekindle/internal/output"
)

// withDownloads answers the links to outputs, which in an account are those of
// the bucket, and leaves every other request to the gateway.
func withDownloads(downloads *output.Local, gateway http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if output.IsDownload(r.URL.EscapedPath()) {
			downloads.ServeHTTP(w, r)
			return
		}
		gateway.ServeHTTP(w, r)
	})
}
