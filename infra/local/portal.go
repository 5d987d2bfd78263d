package main

import (
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"strings"
)

// portalHeaders are what the portal's files are served with: no script, style
// or frame but the portal's own.
var portalHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options": "nosniff",
	"Referrer-Policy":        "no-referrer",
}

// portalTypes are the content types of the portal's files. The machine's own
// table differs from one to the next.
var portalTypes = map[string]string{
	".html":        "text/html; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".svg":         "image/svg+xml",
	".png":         "image/png",
	".ico":         "image/x-icon",
	".json":        "application/json",
	".txt":         "text/plain; charset=utf-8",
	".woff2":       "font/woff2",
	".webmanifest": "application/manifest+json",
}

// notBuilt is what the portal's addresses answer before it was built.
const notBuilt = "The portal is not built. Run `make portal`, and load this page again. The API is served without it."

// withPortal serves the built portal in dir beside the API, as CloudFront does
// in an account: its files, and for its own addresses (a path without a file
// extension) index.html, which finds the page. What is not the portal's goes to
// next. The files are looked up at each request, so that a build shows at once.
func withPortal(dir string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := portalFile(r.URL.EscapedPath())
		if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		for header, value := range portalHeaders {
			w.Header().Set(header, value)
		}
		servePortal(w, r, dir, name)
	})
}

// portalFile returns the file of the portal that a path names as it came, and
// false for a path that is not the portal's: the API's, Lambda's, a download's,
// or one that is strange. A path with an escape is strange, for the portal has
// none.
func portalFile(escaped string) (string, bool) {
	if escaped == "/" {
		return "index.html", true
	}
	name := strings.TrimPrefix(escaped, "/")
	if !fs.ValidPath(name) || strings.ContainsAny(name, `%\:`) {
		return "", false
	}
	first, _, _ := strings.Cut(strings.ToLower(name), "/")
	switch first {
	case "api", "downloads", "2015-03-31":
		return "", false
	}
	for segment := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(segment, ".") {
			return "", false
		}
	}
	if path.Ext(name) == "" {
		return "index.html", true
	}
	return name, true
}

func servePortal(w http.ResponseWriter, r *http.Request, dir, name string) {
	file, info, err := openPortal(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		w.Header().Set("Cache-Control", "no-store")
		text := "Not found"
		if name == "index.html" {
			text = notBuilt
		}
		http.Error(w, text, http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, "The portal's file can't be read", http.StatusInternalServerError)
		return
	}
	defer file.Close()
	kind := portalTypes[path.Ext(name)]
	if kind == "" {
		kind = mime.TypeByExtension(path.Ext(name))
	}
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	// The build names what is in assets/ by its content.
	cache := "no-cache"
	if strings.HasPrefix(name, "assets/") {
		cache = "public, max-age=31536000, immutable"
	}
	w.Header().Set("Cache-Control", cache)
	http.ServeContent(w, r, name, info.ModTime(), file)
}

// openPortal opens a regular file in dir. Neither a path nor a link leads out of
// dir.
func openPortal(dir, name string) (*os.File, fs.FileInfo, error) {
	file, err := os.OpenInRoot(dir, name)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}
