package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rekindle/internal/secretwatch"
)

// wire sends a request as it is written here, and returns the answer and its
// body.
func (s *liveStack) wire(request string) (*http.Response, string) {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, request) }() // a server that has heard enough hangs up
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatalf("%.100q: %v", request, err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp, string(body)
}

const demoSession = "X-Session-Token: demo.rekindle-demo-session\r\n"

func get(target, headers string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" + headers + "\r\n"
}

func post(target, headers, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", target, len(body), headers, body)
}

// API2, API4 and API8 of the OWASP API Security Top 10, over the real stack's
// wire: headers that are doubled, smuggled or of 1 MB, bodies of 1 MB and more,
// paths that lead elsewhere, and preflights that ask for more than there is. At
// the end the stack serves as at the beginning.
func TestStackStandsHostileRequests(t *testing.T) {
	seed := inRoot(t)
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, options{data: data, seed: seed}, map[string]string{"PATH": os.Getenv("PATH")})
	const status = "/api/tenant/projects/pending-site/status"
	secret, err := os.ReadFile(filepath.Join(data, "secret"))
	if err != nil {
		t.Fatal(err)
	}

	t.Run("two sessions", func(t *testing.T) {
		for _, c := range []struct {
			headers string
			want    int
		}{
			{demoSession, 200},
			{demoSession + demoSession, 200},
			{demoSession + "x-session-token: demo.rekindle-demo-session\r\n", 200},
			{demoSession + "x-session-token: other.session\r\n", 401},
			{"x-session-token: other.session\r\n" + demoSession, 401},
			{"X-SESSION-TOKEN: demo.rekindle-demo-session, other.session\r\n", 401},
			{"X-Session-Token:\r\n" + demoSession, 401},
			{"X_Session_Token: demo.rekindle-demo-session\r\n", 401},
			{"Cookie: x-session-token=demo.rekindle-demo-session\r\n", 401},
			{"X-Session-Token : demo.rekindle-demo-session\r\n", 400},
			{"X-Session-Token: demo.rekindle\r\n -demo-session\r\n", 401},
			{"X-Session-Token: demo.rekindle-demo-session\x00\r\n", 400},
			{"X-Other: a\nX-Session-Token: demo.rekindle-demo-session\r\n", 200}, // a bare line feed ends a line (RFC 9112, 2.2)
		} {
			if resp, body := s.wire(get(status, c.headers)); resp.StatusCode != c.want {
				t.Errorf("%q: got %d %s, want %d", c.headers, resp.StatusCode, body, c.want)
			}
		}
		// Two lengths, or a length and chunks, are two requests to somebody.
		for headers, want := range map[string]int{
			"Content-Length: 2\r\n" + demoSession:                                         400,
			"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" + demoSession: 501,
			"Transfer-Encoding: xchunked\r\n" + demoSession:                               501,
		} {
			if resp, body := s.wire(post("/api/tenant/projects/none/run", headers, "{}GET / HTTP/1.1\r\n\r\n")); resp.StatusCode != want {
				t.Errorf("%q: got %d %s, want %d", headers, resp.StatusCode, body, want)
			}
		}
	})

	t.Run("1 MB", func(t *testing.T) {
		long := strings.Repeat("a", 1<<20)
		for name, c := range map[string]struct {
			request string
			want    int
		}{
			"a header":                   {get(status, "X-Session-Token: demo."+long+"\r\n"), 431},
			"a header of 20 KB":          {get(status, demoSession+"X-Other: "+long[:20_000]+"\r\n"), 431},
			"many headers":               {get(status, strings.Repeat("X-Other: a\r\n", 1<<16)), 431},
			"a path":                     {get("/api/tenant/projects/"+long+"/status", demoSession), 431},
			"a query":                    {get("/api/tenant/projects?search="+long[:9_000], demoSession), 400},
			"a body":                     {post("/api/tenant/projects", demoSession, `{"name":"`+long+`"}`), 413},
			"a body of spaces":           {post("/api/tenant/projects/pending-site/run", demoSession, strings.Repeat(" ", 1<<20)), 413},
			"a body without a session":   {post("/api/tenant/projects", "", `{"name":"`+long+`"}`), 401},
			"a body of somebody unknown": {post("/api/tenant/auth/otp/request", "", `{"tenant_slug":"`+long+`"}`), 413},
			"a body of 11 MB":            {post("/api/tenant/projects", demoSession, strings.Repeat(long, 11)), 413},
			"a body of a runner":         {post("/api/worker/executions/1/claim", "Authorization: Bearer x\r\n", long), 401},
		} {
			resp, body := s.wire(c.request)
			if resp.StatusCode != c.want || len(body) > 2_000 {
				t.Errorf("%s: got %d and %d bytes, want %d: %.200s", name, resp.StatusCode, len(body), c.want, body)
			}
		}
		s.wantStatus("pending-site", "pending")
	})

	t.Run("paths", func(t *testing.T) {
		ups := []string{"..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e", `..\..`, "..%5c..", "%c0%ae%c0%ae", "%252e%252e", "..%00", "%u002e", ".%2e", "....//"}
		for _, up := range ups {
			for _, target := range []string{
				"/" + up + "/secret", "/" + up + "/" + up + "/etc/passwd", "/assets/" + up + "/" + up + "/.local/secret", "//" + up + "/secret", "/./" + up + "/secret",
				"/downloads/" + up + "/secret", "/api/tenant/projects/" + up + "/status", "/api/tenant/projects/" + up + "%2fpending-site/status",
				"/api/tenant/projects/pending-site/" + up + "/status", "/api/tenant/projects/" + up + "/download", "/api/tenant/projects/" + up + "/log",
				"/2015-03-31/functions/" + up + "/invocations", "/api/" + up + "/2015-03-31/functions/CleanupFunction/invocations",
			} {
				resp, body := s.wire(get(target, demoSession))
				if strings.Contains(body, string(secret)) || strings.Contains(body, "root:") {
					t.Fatalf("%s shows a file of this machine", target)
				}
				// The portal's own addresses answer with its page, whatever they are.
				if resp.StatusCode < 400 && !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
					t.Errorf("%s: got %d %.100s", target, resp.StatusCode, body)
				}
				if loc := resp.Header.Get("Location"); loc != "" {
					t.Errorf("%s leads to %s", target, loc)
				}
			}
		}
	})

	t.Run("texts", func(t *testing.T) {
		const text = `<script>alert(1)</script>=cmd|' /C calc'!A0`
		_, out := s.call("POST", "/api/tenant/projects", `{"name":"`+text+`","description":"`+text+`","objectives":"`+text+`"}`)
		if out["name"] != text || out["objectives"] != text {
			t.Errorf("got %v", out)
		}
		for _, target := range []string{"/api/tenant/projects", "/api/tenant/projects/" + fmt.Sprint(out["project_id"]), "/api/tenant/projects/%3Cscript%3E/status", "/api/%3Cscript%3E", "/api/tenant/projects?status=%3Cscript%3E"} {
			resp, body := s.wire(get(target, demoSession))
			if resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(body, "<script>") {
				t.Errorf("%s: got %v %s", target, resp.Header, body)
			}
		}
	})

	t.Run("preflights", func(t *testing.T) {
		preflight := "OPTIONS /api/tenant/projects/pending-site/run HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nOrigin: https://evil.example\r\n" +
			"Access-Control-Request-Method: PATCH\r\nAccess-Control-Request-Headers: authorization, cookie, x-amz-invocation-type\r\n\r\n"
		resp, _ := s.wire(preflight)
		for name, want := range map[string]string{
			"Access-Control-Allow-Headers":     "x-session-token,idempotency-key,if-match,content-type",
			"Access-Control-Allow-Methods":     "GET,POST,PUT,DELETE,OPTIONS",
			"Access-Control-Allow-Credentials": "",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		// Functions are invoked by no page.
		for _, headers := range []string{"Origin: https://evil.example\r\n", "Origin: null\r\n", "Origin: " + s.url + "\r\n"} {
			if resp, _ := s.wire(post("/2015-03-31/functions/CleanupFunction/invocations", headers, "{}")); resp.StatusCode != 403 {
				t.Errorf("an invocation with %q: got %d, want 403", headers, resp.StatusCode)
			}
		}
		s.wantStatus("stuck-site", "running")
	})

	s.wantStatus("pending-site", "pending")
}

// Whoever guesses login codes gains nothing by a restart of the stack: tries and
// codes of the hour are kept with the data.
func TestLoginLimitsOutliveTheStack(t *testing.T) {
	seed := inRoot(t)
	o := options{data: filepath.Join(t.TempDir(), "data"), seed: seed}
	const ask, guess = "/api/tenant/auth/otp/request", "/api/tenant/auth/otp/verify"
	var s *liveStack
	want := func(path, body string, status int, code string) {
		t.Helper()
		if got, out := s.call("POST", path, body); got != status || code != "" && out["code"] != code {
			t.Errorf("%s: got %d %v, want %d %s", path, got, out, status, code)
		}
	}
	s = start(t, o, nil)
	for range 2 {
		want(ask, `{"tenant_slug":"demo"}`, 200, "")
	}
	code := mailedCode(t, o.data)
	wrong := `{"tenant_slug":"demo","code":"` + map[bool]string{true: "000001", false: "000000"}[code == "000000"] + `"}`
	for range 3 {
		want(guess, wrong, 401, "login_code_wrong")
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, o, nil)
	for range 2 {
		want(guess, wrong, 401, "login_code_wrong")
	}
	want(guess, `{"tenant_slug":"demo","code":"`+code+`"}`, 401, "login_code_spent")
	want(ask, `{"tenant_slug":"demo"}`, 200, "")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, o, nil)
	want(ask, `{"tenant_slug":"demo"}`, 429, "login_rate_limited")
}

// mailedCode reads the login code of the last mail.
func mailedCode(t *testing.T, data string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "mail", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no mails: %v", err)
	}
	text, err := os.ReadFile(files[len(files)-1]) // their names begin with the time
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^\d{6}\b`).FindString(string(text))
}

// powerless marks the process in which the next test has no capabilities.
const powerless = "REKINDLE_TEST_POWERLESS"

// A tenant's command, run by the real stack, finds none of the platform's
// secrets: not in its environment, not in its parent's, whose memory it can't
// read either, and not on its command line. Links that it leaves in its output
// lead nowhere.
func TestCommandOfTheStackFindsNoSecret(t *testing.T) {
	if os.Getuid() == 0 && os.Getenv(powerless) == "" {
		// Root may read every process. Without its capabilities it is a user
		// like any other: the test runs again as that, and the stack with it.
		setpriv, err := exec.LookPath("setpriv")
		if err != nil {
			t.Skip("as root this needs setpriv (util-linux) to see what a user may read")
		}
		cmd := exec.Command(setpriv, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), powerless+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	seed := inRoot(t)
	data := filepath.Join(t.TempDir(), "data")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "planted-1", "AWS_SECRET_ACCESS_KEY": "planted-2", "AWS_SESSION_TOKEN": "planted-3", "AWS_PROFILE": "planted-4",
		"HASHING_SECRET": "planted-5", "EXECUTION_TOKEN_SECRET": "planted-6", "REKINDLE_ANYTHING": "planted-7", "GITHUB_TOKEN": "planted-8",
		"DATABASE_URL": "planted-9",
	} {
		t.Setenv(name, value)
	}
	script := filepath.Join(t.TempDir(), "command.sh")
	err := os.WriteFile(script, []byte(`
cd "$OUTPUT_DIR" || exit 9
env > env.txt
# Its own process shows that reading would work.
cat /proc/$$/environ > own.txt || exit 8
for what in environ mem maps auxv; do
  if head -c 1 /proc/$PPID/$what > /dev/null 2>&1; then echo "read the runner's $what" >&2; exit 7; fi
done
tr '\0' ' ' < /proc/$PPID/cmdline > lines.txt
ln -s "$SECRET_FILE" link.txt; ln -s `+data+`/secret secret.txt; ln -s `+data+` folder; ln -s / root
mkdir -p sub; ln -s ../.. sub/up; ln -s /proc/self/environ environ.txt
mkfifo pipe.txt
printf x > 'a\b.txt'; printf x > '..%2f..%2fup.txt'
exit 0
`), 0o755)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, options{data: data, seed: seed}, map[string]string{
		"PATH": os.Getenv("PATH"), "PROJECT_COMMAND": `["/bin/sh","` + script + `"]`,
		"AWS_SECRET_ACCESS_KEY": "planted-a", "HASHING_SECRET": "planted-b", "EXECUTION_TOKEN_SECRET": "planted-c",
	})
	id := s.begin("run", "pending-site")
	s.logs.await(t, "execution ended", "execution_id="+id)
	out := s.wantStatus("pending-site", "completed")
	folder := fmt.Sprint(out["output_folder_path"])
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	secrets := map[string]string{"secret": read(filepath.Join(data, "secret")), "hashing secret": read(filepath.Join(data, "hashing-secret"))}
	env := read(filepath.Join(folder, "env.txt"))
	for line := range strings.Lines(env) {
		name, _, _ := strings.Cut(line, "=")
		if regexp.MustCompile(`^(AWS|ECS|REKINDLE)_|SECRET|TOKEN|_URL$|PASSWORD|PROFILE`).MatchString(name) {
			t.Errorf("the command got %s", name)
		}
	}
	if strings.Contains(env, "planted") || !strings.Contains(env, "TENANT_ID=demo") {
		t.Errorf("the command's environment:\n%s", env)
	}
	if own := read(filepath.Join(folder, "own.txt")); !strings.Contains(own, "TENANT_ID=demo") {
		t.Errorf("the command could not read itself, so nothing is shown: %q", own)
	}
	if lines := read(filepath.Join(folder, "lines.txt")); !strings.Contains(lines, "rekindle-runner") || secretwatch.Find(lines) != "" {
		t.Errorf("the runner's command line: %q", lines)
	}

	_, link := s.project("status", "pending-site")
	if link["execution_status"] != "completed" {
		t.Fatalf("got %v", link)
	}
	_, link = s.call("GET", "/api/tenant/projects/pending-site/download", "")
	u, err := url.Parse(fmt.Sprint(link["url"]))
	if err != nil {
		t.Fatal(err)
	}
	resp, text := s.wire(get(u.Path, ""))
	if resp.StatusCode != 200 {
		t.Fatalf("the download: %d %.200s", resp.StatusCode, text)
	}
	z, err := zip.NewReader(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		for name, secret := range secrets {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s of the zip holds the %s", f.Name, name)
			}
		}
		if strings.ContainsAny(f.Name, "\\") || strings.Contains(f.Name, "../") || filepath.IsAbs(f.Name) || !f.Mode().IsRegular() {
			t.Errorf("the zip has %q, %v", f.Name, f.Mode())
		}
		switch f.Name {
		case "env.txt", "own.txt", "lines.txt", "a_b.txt", "..%2f..%2fup.txt":
		default:
			t.Errorf("the zip has %q", f.Name)
		}
	}
}

// quietRunners fails the test if the log of a runner that the stack started holds
// a secret. The stack's own log is watched as it is written.
func quietRunners(t *testing.T, data string) {
	t.Helper()
	if data == "" {
		return
	}
	err := filepath.WalkDir(filepath.Join(data, "logs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "runner.log" {
			return nil // of a stack that never ran there are none
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if kind := secretwatch.Find(string(text)); kind != "" {
			t.Errorf("%s of %s in the log of a runner:\n%s", kind, path, text)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
