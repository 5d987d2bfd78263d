package mail_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rekindle/internal/mail"
	"rekindle/internal/settings"
)

func reader(env map[string]string) *settings.Reader {
	return settings.From(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func TestLocalMailIsAPrivateFileAndOnTheConsole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	var console bytes.Buffer
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := mail.NewLocal(dir, &console, func() time.Time { return at })
	if err := l.Send(t.Context(), "../ops@acme.example", "Subject", "123456 is the code\n"); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v, %v, want one file", files, err)
	}
	if name, want := files[0].Name(), "20260301T120000.000000000Z-.._ops@acme.example.txt"; name != want {
		t.Errorf("the file is %s, want %s", name, want)
	}
	path := filepath.Join(dir, files[0].Name())
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{string(text), console.String()} {
		if !strings.Contains(got, "123456") || !strings.Contains(got, "Subject: Subject") {
			t.Errorf("got %q, want subject and code", got)
		}
	}
}

func TestSESGetsTheMail(t *testing.T) {
	var got struct {
		FromEmailAddress string
		Destination      struct{ ToAddresses []string }
		Content          struct {
			Simple struct {
				Subject struct{ Data, Charset string }
				Body    struct {
					Text struct{ Data, Charset string }
				}
			}
		}
	}
	var path string
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.Method + " " + r.URL.Path
		text, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(text, &got); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"MessageId":"m"}`)
	}))
	defer server.Close()
	r := reader(map[string]string{
		"OTP_SENDER": "login@example.com", "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
		"AWS_ENDPOINT_URL_SESV2": server.URL,
	})
	ses := mail.SESFrom(r)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if err := ses.Send(t.Context(), "ops@acme.example", "Subject", "Text"); err != nil {
		t.Fatal(err)
	}
	simple := got.Content.Simple
	if path != "POST /v2/email/outbound-emails" || got.FromEmailAddress != "login@example.com" || len(got.Destination.ToAddresses) != 1 ||
		got.Destination.ToAddresses[0] != "ops@acme.example" || simple.Subject.Data != "Subject" || simple.Body.Text.Data != "Text" {
		t.Errorf("%s got %+v", path, got)
	}
	status = http.StatusBadRequest
	if err := ses.Send(t.Context(), "ops@acme.example", "Subject", "secret text"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error without the text", err)
	}
}

func TestSystemWithoutASenderStartsAndSendsNothing(t *testing.T) {
	r := reader(map[string]string{"OTP_SENDER": ""})
	ses := mail.SESFrom(r)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if err := ses.Send(t.Context(), "ops@acme.example", "Subject", "Text"); !errors.Is(err, mail.ErrNoSender) {
		t.Errorf("got %v, want %v", err, mail.ErrNoSender)
	}
}

func TestSenderMustBeAnAddress(t *testing.T) {
	for _, from := range []string{"login", "Login <login@example.com>", "a@b, c@d"} {
		r := reader(map[string]string{"OTP_SENDER": from})
		mail.SESFrom(r)
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), "OTP_SENDER") {
			t.Errorf("%q: got %v", from, err)
		}
	}
}
