package output

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"rekindle/internal/project"
)

// downloadsPath is where [Local.ServeHTTP] answers.
const downloadsPath = "/downloads/"

// IsDownload says whether a request's path, as it came, is one for
// [Local.ServeHTTP].
func IsDownload(escapedPath string) bool { return strings.HasPrefix(escapedPath, downloadsPath) }

// ticket is what a link is good for.
type ticket struct {
	TenantID    string `json:"t"`
	ProjectUID  string `json:"u"`
	ExecutionID int64  `json:"e"`
	Name        string `json:"n"`
	Expires     int64  `json:"x"` // milliseconds since 1970
}

// sign returns the ticket as text, with its HMAC.
func (l *Local) sign(t ticket) string {
	text, err := json.Marshal(t)
	if err != nil {
		panic(err) // texts and numbers always marshal
	}
	token := base64.RawURLEncoding.EncodeToString(text)
	return token + "." + l.cfg.Hasher.Hash(project.KindDownload, token)
}

// read returns the ticket of a text that sign made.
func (l *Local) read(signed string) (t ticket, ok bool) {
	token, mac, _ := strings.Cut(signed, ".")
	if !hmac.Equal([]byte(mac), []byte(l.cfg.Hasher.Hash(project.KindDownload, token))) {
		return t, false
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	return t, err == nil && json.Unmarshal(text, &t) == nil
}

// ServeHTTP answers GET and HEAD of the links that [Local.Download] gives: 200
// with the zip, 206 with a part of it, 403 for a link that has expired, 404 for
// one that is not ours or whose output is gone.
func (l *Local) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, no-store")
	h.Set("Referrer-Policy", "no-referrer") // the link itself is the permission
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "method_not_allowed", "Downloads take GET and HEAD alone")
		return
	}
	t, ok := l.read(strings.TrimPrefix(r.URL.EscapedPath(), downloadsPath))
	if !ok {
		refuse(w, http.StatusNotFound, "download_unknown", "There is no such download")
		return
	}
	if l.cfg.Now().UnixMilli() >= t.Expires {
		refuse(w, http.StatusForbidden, "download_expired", "The link has expired: ask for a new one")
		return
	}
	ref := project.Ref{Key: project.Key{TenantID: t.TenantID}, ProjectUID: t.ProjectUID, ExecutionID: t.ExecutionID}
	f, err := os.Open(l.zipPath(ref))
	if err != nil {
		refuse(w, http.StatusNotFound, string(project.CodeOutputMissing), project.Sentences[project.CodeOutputMissing])
		return
	}
	defer f.Close()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", disposition(t.Name))
	http.ServeContent(w, r, "", time.Time{}, f)
}

// disposition makes a browser save a file under a name, of which only what is
// safe in a header and as a file's name is kept.
func disposition(name string) string {
	name = strings.TrimLeft(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '_'
	}, name), ".")
	if name == "" {
		name = "output.zip"
	}
	return mime.FormatMediaType("attachment", map[string]string{"filename": name})
}

func refuse(w http.ResponseWriter, status int, code, detail string) {
	body, err := json.Marshal(map[string]string{"detail": detail, "code": code})
	if err != nil {
		panic(err) // a map of strings always marshals
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client may have gone; there is nobody left to tell.
	_, _ = w.Write(body)
}
