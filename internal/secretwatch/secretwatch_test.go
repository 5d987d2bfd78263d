package secretwatch_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rekindle/internal/project"
	"rekindle/internal/secretwatch"
	"rekindle/internal/token"
)

// issued is one of each secret, made as the system makes them.
func issued(t *testing.T) map[string]string {
	t.Helper()
	keys, err := token.NewKeyring(strings.Repeat("k", token.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	ref := project.Ref{Key: project.Key{TenantID: "acme", ProjectID: "site"}, ProjectUID: "uid", ExecutionID: 77}
	return map[string]string{
		"session": project.NewSessionToken("acme"), "execution": keys.Mint(token.Execution, ref, ""), "report": keys.Mint(token.Report, ref, "r"),
		"activation": project.NewActivationCode(), "login": "login code " + project.NewLoginCode(), "key": strings.Repeat("k", 40),
		"url": "https://b.s3.amazonaws.com/k?X-Amz-Signature=" + strings.Repeat("0", 64), "link": "/downloads/e30." + strings.Repeat("0", 64),
		"bearer": "Authorization: Bearer abcdefgh", "test session": "demo.rekindle-demo-session",
	}
}

func TestEachSecretIsKnownByItsForm(t *testing.T) {
	for name, secret := range issued(t) {
		for _, text := range []string{secret, "error: " + secret + " was refused", `{"x":"` + secret + `"}`} {
			if secretwatch.Find(text) == "" {
				t.Errorf("%s was not found in %q", name, text)
			}
		}
	}
	for range 1_000 { // whatever signs chance puts into one
		for _, s := range []string{project.NewSessionToken("t-1"), project.NewActivationCode()} {
			if secretwatch.Find(s) == "" {
				t.Errorf("%q was not found", s)
			}
		}
	}
}

func TestWhatIsLoggedEveryDayIsNoSecret(t *testing.T) {
	for _, text := range []string{
		"", "request", "tenant_id=acme project_id=price-list execution_id=61336621583043 took=123456", project.NewToken(), project.Hash("x"),
		"dynamodb.eu-central-1.amazonaws.com", "2026-03-01T12:00:00.000Z", "/out/acme/" + project.NewToken() + "/77/",
		"The command exited with code 3", "hint=WXYZ", "4c7599ae-0a82-49aa-ba5a-4727fcce14a8", "rekindle/internal/api.(*Handler).Invoke",
	} {
		if kind := secretwatch.Find(text); kind != "" {
			t.Errorf("%q was taken for %s", text, kind)
		}
	}
}

// leak is what the child process of the next test logs.
const leak = "SECRETWATCH_LEAK"

// A secret in a line ends the test that logs it, in whatever way it gets there.
func TestPlantedSecretEndsTheProcess(t *testing.T) {
	if how := os.Getenv(leak); how != "" {
		secret := issued(t)["execution"]
		log := secretwatch.New(slog.DiscardHandler)
		switch how {
		case "message":
			log.Info("got " + secret)
		case "attribute":
			log.Info("request", "error", errors.New("refused: "+secret))
		case "debug":
			log.Debug("request", "token", secret)
		case "with":
			log.With("token", secret).Info("request")
		case "group":
			log.WithGroup("g").Info("request", slog.Group("h", "token", secret))
		case "struct":
			log.Info("request", "event", struct{ Token string }{secret})
		case "default":
			slog.Default().Warn("request", "token", secret)
		case "recovered":
			func() {
				defer func() { _ = recover() }()
				log.Info("request", "token", secret)
			}()
		case "nothing":
			log.Info("request", "execution_id", 77)
		}
		return
	}
	for how, want := range map[string]int{
		"message": 86, "attribute": 86, "debug": 86, "with": 86, "group": 86, "struct": 86, "default": 86, "recovered": 86, "nothing": 0,
	} {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestPlantedSecretEndsTheProcess$")
		cmd.Env = append(os.Environ(), leak+"="+how)
		out, err := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: got exit code %d, %v, want %d: %s", how, got, err, want, out)
		}
		if (want != 0) != bytes.Contains(out, []byte("SECRET IN A LOG")) {
			t.Errorf("%s: said %s", how, out)
		}
	}
}

// unwatched are the files of tests that may make a logger of another kind.
var unwatched = map[string]string{
	"internal/api/bench_test.go":               "measures speed, and the same calls are watched in the tests",
	"internal/api/projects_bench_test.go":      "measures speed, and the same calls are watched in the tests",
	"internal/api/fuzz_test.go":                "logs what the fuzzer makes up, which may look like anything",
	"internal/secretwatch/secretwatch_test.go": "plants secrets",
}

var makesLogger = regexp.MustCompile(`\bslog\.(New|SetDefault|NewLogLogger)\(`)

func TestEachLoggerOfTheTestsIsWatched(t *testing.T) {
	root := filepath.Join("..", "..")
	watched := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", ".local", ".venv", "node_modules"}, d.Name()) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		watched += bytes.Count(text, []byte("secretwatch.New("))
		if unwatched[filepath.ToSlash(name)] == "" {
			for _, found := range makesLogger.FindAll(text, -1) {
				t.Errorf("%s calls %s…): use secretwatch.New, or say in unwatched why not", name, found)
			}
		}
		return nil
	})
	if err != nil || watched < 10 {
		t.Errorf("%d watched loggers, %v", watched, err)
	}
}
