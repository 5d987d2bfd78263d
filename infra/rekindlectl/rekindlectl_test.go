package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
)

// The command line, over a real database.

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func noonClock() time.Time { return noon }

const hashingSecret = "a secret of a stack, which is long enough"

// bench is an operator at the command line.
type bench struct {
	t       *testing.T
	db      *dynamotest.DB
	now     time.Time
	receipt *project.SweepReceipt
	swept   []bool // the dry_run of each sweep
	broken  error
}

func newBench(t *testing.T) *bench { return &bench{t: t, db: dynamotest.Open(t), now: noon} }

type result struct {
	code     int
	out, err string
}

func (b *bench) run(args ...string) result {
	b.t.Helper()
	var out, errs bytes.Buffer
	a := &app{out: &out, err: &errs, now: func() time.Time { return b.now }}
	a.connect = func(context.Context) (*stack, error) {
		return &stack{
			store:    func() (store, error) { return b.db.Store, nil },
			receipts: func() (receipts, error) { return b.db.Store, nil },
			hasher:   func() (*project.Hasher, error) { return newHasher("the secret", hashingSecret) },
			sweep: func(_ context.Context, dryRun bool) (*project.SweepReceipt, error) {
				b.swept = append(b.swept, dryRun)
				return b.receipt, b.broken
			},
		}, nil
	}
	code := a.execute(b.t.Context(), args)
	if strings.Contains(out.String()+errs.String(), hashingSecret) {
		b.t.Errorf("%v shows the secret:\n%s%s", args, &out, &errs)
	}
	return result{code, out.String(), errs.String()}
}

// ok runs a command that must succeed, without a word on the error output.
func (b *bench) ok(args ...string) string {
	b.t.Helper()
	r := b.run(args...)
	if r.code != exitDone || r.err != "" {
		b.t.Fatalf("%v: got exit code %d\n%s%s", args, r.code, r.out, r.err)
	}
	return r.out
}

// json runs a command that must succeed and print one JSON value.
func (b *bench) json(v any, args ...string) {
	b.t.Helper()
	out := b.ok(append(args, "--json")...)
	d := json.NewDecoder(strings.NewReader(out))
	if err := d.Decode(v); err != nil || d.More() {
		b.t.Fatalf("%v: not one JSON value (%v):\n%s", args, err, out)
	}
}

// refused runs a command that must fail, with nothing on the output.
func (b *bench) refused(code int, says string, args ...string) {
	b.t.Helper()
	r := b.run(args...)
	if r.code != code || !strings.Contains(r.err, says) || r.out != "" {
		b.t.Errorf("%v: got exit code %d\nout: %s\nerr: %s\nwant %d and %q", args, r.code, r.out, r.err, code, says)
	}
	if line := strings.SplitN(r.err, "\n", 2)[0]; !strings.HasPrefix(line, "rekindlectl: ") {
		b.t.Errorf("%v: the first line is %q", args, line)
	}
	if got, want := strings.Contains(r.err, "See rekindlectl"), code == exitUsage; got != want {
		b.t.Errorf("%v: points to the help: got %t, want %t:\n%s", args, got, want, r.err)
	}
}

func (b *bench) tenant(id string, more ...string) {
	b.t.Helper()
	b.ok(append([]string{"tenant", "create", "--id", id, "--name", "The " + id, "--slug", id, "--email", id + "@example.com"}, more...)...)
}

func lines(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n") }

func wantText(t *testing.T, got string, want ...string) {
	t.Helper()
	if !slices.Equal(lines(got), want) {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestTenantFromCreationToSuspension(t *testing.T) {
	b := newBench(t)
	wantText(t, b.ok("tenant", "create", "--id", "zeta", "--name", "Zeta Ltd.", "--slug", "zeta-ltd", "--email", "ops@zeta.example", "--subscription", "trialing"),
		"tenant        zeta", "name          Zeta Ltd.", "slug          zeta-ltd", "email         ops@zeta.example", "subscription  trialing")
	b.tenant("acme")
	wantText(t, b.ok("tenant", "list"),
		"TENANT  SLUG      SUBSCRIPTION  NAME       EMAIL",
		"acme    acme      none          The acme   acme@example.com",
		"zeta    zeta-ltd  trialing      Zeta Ltd.  ops@zeta.example")
	var shown map[string]any
	b.json(&shown, "tenant", "set-subscription", "zeta", "suspended")
	want := map[string]any{"tenant_id": "zeta", "name": "Zeta Ltd.", "slug": "zeta-ltd", "email": "ops@zeta.example", "subscription_state": "suspended"}
	if !reflect.DeepEqual(shown, want) {
		t.Errorf("got %v, want %v", shown, want)
	}
	b.json(&shown, "tenant", "show", "zeta")
	if !reflect.DeepEqual(shown, want) {
		t.Errorf("shown: got %v, want %v", shown, want)
	}
	b.json(&shown, "tenant", "set-subscription", "zeta", "none")
	if shown["subscription_state"] != "none" {
		t.Errorf("got %v, want none", shown)
	}
}

func TestListsOfNothingAreEmptyLists(t *testing.T) {
	b := newBench(t)
	for _, args := range [][]string{{"tenant", "list"}, {"code", "list"}, {"project", "list", "--status", "running"}, {"project", "list", "--status", "failed"}} {
		if out := b.ok(append(args, "--json")...); out != "[]\n" {
			t.Errorf("%v: got %q, want an empty list", args, out)
		}
	}
}

func TestBadInputIsRefusedWithItsReason(t *testing.T) {
	b := newBench(t)
	b.tenant("acme")
	create := func(id, name, slug, email string) []string {
		return []string{"tenant", "create", "--id", id, "--name", name, "--slug", slug, "--email", email}
	}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitFailed, `there is a tenant "acme" already`, create("acme", "Acme", "acme-2", "a@b.example")},
		{exitFailed, `the slug "acme" is another tenant's`, create("acme-2", "Acme", "acme", "a@b.example")},
		{exitUsage, `--id: an id is 1 to 63 characters of a-z, 0-9, - and _, and begins with a letter or a digit; it is "A.b"`, create("A.b", "Acme", "acme", "a@b.example")},
		{exitUsage, `--id: an id is 1 to 63`, create("code#x", "Acme", "acme", "a@b.example")},
		{exitUsage, `--slug: a slug is 1 to 63 characters of a-z, 0-9 and -, and begins with a letter or a digit; it is "Acme Inc"`, create("a", "Acme", "Acme Inc", "a@b.example")},
		{exitUsage, `--name: a name is one line of 1 to 100 characters; it is ""`, create("a", " ", "acme", "a@b.example")},
		{exitUsage, `--name: a name is one line`, create("a", "A\x1b[2Jb", "acme", "a@b.example")},
		{exitUsage, `--email: write an address alone, such as ops@example.com; it is "ops"`, create("a", "Acme", "acme", "ops")},
		{exitUsage, `--email: write an address alone`, create("a", "Acme", "acme", "Ops <ops@b.example>")},
		{exitUsage, `required flag(s) "email", "name", "slug" not set`, []string{"tenant", "create", "--id", "a"}},
		{exitUsage, `a subscription is active, trialing, past_due, canceled, unpaid, suspended or none, not "gold"`, append(create("a", "A", "a", "a@b.example"), "--subscription", "gold")},
		{exitUsage, `a subscription is active, trialing, past_due, canceled, unpaid, suspended or none, not "gold"`, []string{"tenant", "set-subscription", "acme", "gold"}},
		{exitNotFound, `there is no tenant "nobody"`, []string{"tenant", "set-subscription", "nobody", "active"}},
		{exitNotFound, `there is no tenant "nobody"`, []string{"tenant", "show", "nobody"}},
		{exitUsage, `accepts 1 arg(s), received 0`, []string{"tenant", "show"}},
		{exitUsage, `say which: create, list, show or set-subscription`, []string{"tenant"}},
		{exitUsage, `unknown command "rename" for "rekindlectl tenant"`, []string{"tenant", "rename"}},
		{exitUsage, `unknown command "tenants" for "rekindlectl"`, []string{"tenants"}},
		{exitUsage, `unknown flag: --loud`, []string{"tenant", "list", "--loud"}},

		{exitUsage, `--count is a number from 1 to 1000; it is 0`, []string{"code", "issue", "--count", "0"}},
		{exitUsage, `--count is a number from 1 to 1000; it is 1001`, []string{"code", "issue", "--count", "1001"}},
		{exitUsage, `invalid argument "many" for "--count"`, []string{"code", "issue", "--count", "many"}},
		{exitUsage, `invalid argument "soon" for "--expires" flag: write a duration above zero, such as 90m, 720h or 30d`, []string{"code", "issue", "--expires", "soon"}},
		{exitUsage, `write a duration above zero`, []string{"code", "issue", "--expires", "-1h"}},
		{exitUsage, `write a duration above zero`, []string{"code", "issue", "--expires", "0d"}},
		{exitUsage, `write a duration above zero`, []string{"code", "issue", "--expires", "99999999d"}},
		{exitUsage, `that is neither an activation code, which reads XXXX-XXXX-XXXX-XXXX, nor a hash of 12 to 64 digits`, []string{"code", "revoke", "ABC"}},
		{exitNotFound, `There is no such activation code`, []string{"code", "revoke", "ABCD-EFGH-JKLM-NPQR"}},
		{exitNotFound, `There is no such activation code`, []string{"code", "revoke", strings.Repeat("a", 64)}},
		{exitNotFound, `there is no activation code whose hash begins with aaaaaaaaaaaa`, []string{"code", "revoke", strings.Repeat("a", 12)}},

		{exitUsage, `required flag(s) "status" not set`, []string{"project", "list"}},
		{exitUsage, `a project is pending, running, completed or failed, not "stuck"`, []string{"project", "list", "--status", "stuck"}},
		{exitUsage, `write a duration above zero`, []string{"project", "list", "--status", "running", "--older-than", "20"}},
		{exitNotFound, `there is no tenant "nobody"`, []string{"project", "list", "--status", "running", "--tenant", "nobody"}},
		{exitNotFound, `tenant "acme" has no project "site"`, []string{"project", "show", "acme", "site"}},

		{exitUsage, `at least one of the flags in the group [tenant token-hash] is required`, []string{"session", "revoke"}},
		{exitUsage, `none of the others can be`, []string{"session", "revoke", "--tenant", "acme", "--token-hash", strings.Repeat("a", 64)}},
		{exitUsage, `--token-hash: the SHA-256 of a token is 64 digits of 0-9 and a-f`, []string{"session", "revoke", "--token-hash", "acme.secret-token"}},
		{exitNotFound, `there is no session with this hash`, []string{"session", "revoke", "--token-hash", strings.Repeat("a", 64)}},
		{exitNotFound, `there is no tenant "nobody"`, []string{"session", "revoke", "--tenant", "nobody"}},
		{exitUsage, `unknown command "now" for "rekindlectl sweep"`, []string{"sweep", "now"}},
	} {
		b.refused(c.code, c.says, c.args...)
	}
	if r := b.run("session", "revoke", "--token-hash", "acme.secret-token"); strings.Contains(r.err, "secret-token") {
		t.Errorf("a token given for a hash is repeated: %s", r.err)
	}
	var all []map[string]any
	if b.json(&all, "tenant", "list"); len(all) != 1 || all[0]["slug"] != "acme" {
		t.Errorf("after the refusals: got %v, want acme alone, as it was", all)
	}
}

func TestCodesAreShownOnceAndOnlyTheirHashesAreKept(t *testing.T) {
	b := newBench(t)
	out := lines(b.ok("code", "issue", "--count", "3", "--expires", "30d"))
	if len(out) != 4 || !regexp.MustCompile(`^CODE +EXPIRES$`).MatchString(out[0]) {
		t.Fatalf("got %q", out)
	}
	hasher, err := project.NewHasher(hashingSecret)
	if err != nil {
		t.Fatal(err)
	}
	list := b.ok("code", "list") + b.ok("code", "list", "--json")
	for _, line := range out[1:] {
		code, expires, _ := strings.Cut(line, "  ")
		if read, err := project.ReadActivationCode(code); err != nil || read != code || expires != "2026-03-31T12:00:00Z" {
			t.Errorf("got %q", line)
		}
		if strings.Contains(list, code) {
			t.Errorf("the list shows %s:\n%s", code, list)
		}
		c, err := b.db.GetCode(t.Context(), hasher.Hash(project.KindActivation, code))
		if err != nil || c.Hint != code[15:] || !c.IssuedAt.Equal(noon) {
			t.Errorf("%s: kept as %+v, %v", code, c, err)
		}
	}
	var issued []map[string]any
	b.json(&issued, "code", "issue")
	if len(issued) != 1 || issued[0]["state"] != "unused" || issued[0]["expires_at"] != "2026-03-31T12:00:00Z" || issued[0]["code"] == nil || issued[0]["hash"] == nil {
		t.Errorf("got %v", issued)
	}
}

func TestCodesIssuedBeforeAFaultAreShown(t *testing.T) {
	b := newBench(t)
	b.db.Wire.Set(func(op string, n int, next func() (*http.Response, error)) (*http.Response, error) {
		if op == "PutItem" && n > 2 {
			return dynamotest.Answer(400, `{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","message":"no"}`), nil
		}
		return next()
	})
	r := b.run("code", "issue", "--count", "5")
	if r.code != exitFailed || len(lines(r.out)) != 3 || !strings.Contains(r.err, "2 of 5 codes issued") {
		t.Errorf("got %d\n%s%s", r.code, r.out, r.err)
	}
}

func TestCodeIsRevokedByItselfItsHashOrTheBeginningOfIt(t *testing.T) {
	b := newBench(t)
	var issued []codeView
	b.json(&issued, "code", "issue", "--count", "3")
	for i, named := range []string{strings.ToLower(issued[0].Code), issued[1].Hash, issued[2].Hash[:12]} {
		b.now = noon.Add(time.Duration(i+1) * time.Minute)
		var got map[string]any
		b.json(&got, "code", "revoke", named)
		if got["state"] != "revoked" || got["revoked_at"] != b.now.Format(time.RFC3339) || got["hash"] != issued[i].Hash || got["code"] != nil {
			t.Errorf("%s: got %v", named, got)
		}
	}
	var again map[string]any
	if b.json(&again, "code", "revoke", issued[1].Hash); again["revoked_at"] != "2026-03-01T12:02:00Z" {
		t.Errorf("revoked again: got %v, want the first time", again)
	}
}

func TestCodeListTellsWhatBecameOfEach(t *testing.T) {
	b := newBench(t)
	hashes := []string{"1", "2", "3", "4", "5"}
	for i := range hashes {
		hashes[i] = strings.Repeat(hashes[i], 64)
		c := project.ActivationCode{Hash: hashes[i], Hint: fmt.Sprintf("HNT%d", i+2), IssuedAt: noon.Add(time.Duration(i) * time.Minute), ExpiresAt: noon.Add(time.Hour)}
		if i == 4 {
			c.ExpiresAt = noon.Add(100 * time.Hour)
		}
		if err := b.db.IssueCode(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for i, id := range []string{"kept", "withdrawn"} {
		p := b.db.Insert(t, failedProject("acme", id))
		p.ActivationCode = ""
		if _, err := b.db.AssignCode(t.Context(), b.db.Read(t, p.Key), hashes[i], noon); err != nil {
			t.Fatal(err)
		}
	}
	b.ok("code", "revoke", hashes[1])
	b.ok("code", "revoke", hashes[2])
	b.now = noon.Add(2 * time.Hour)
	wantText(t, b.ok("code", "list"),
		"HINT  STATE    ISSUED                EXPIRES               USED BY         HASH",
		"HNT2  used     2026-03-01T12:00:00Z  2026-03-01T13:00:00Z  acme/kept       111111111111",
		"HNT3  revoked  2026-03-01T12:01:00Z  2026-03-01T13:00:00Z  acme/withdrawn  222222222222",
		"HNT4  revoked  2026-03-01T12:02:00Z  2026-03-01T13:00:00Z  -               333333333333",
		"HNT5  expired  2026-03-01T12:03:00Z  2026-03-01T13:00:00Z  -               444444444444",
		"HNT6  unused   2026-03-01T12:04:00Z  2026-03-05T16:00:00Z  -               555555555555")
	if got := b.db.Read(t, project.Key{TenantID: "acme", ProjectID: "withdrawn"}); got.ActivationCodeRevokedAt.IsZero() {
		t.Error("the project keeps the right to run by a revoked code")
	}
}

// failedProject has no code, so that one can be assigned.
func failedProject(tenant, id string) *project.Project {
	return &project.Project{
		Key: project.Key{TenantID: tenant, ProjectID: id}, UID: "uid-" + id, Version: 1, CreatedAt: noon.Add(-48 * time.Hour),
		Name: "Site", Description: "a description", Objectives: "the objectives", Status: project.Failed,
		ExecutionID: 100001, Attempt: 1, StartedAt: noon.Add(-2 * time.Hour), CompletedAt: noon.Add(-time.Hour), Error: "it broke",
		Attempts: map[int64]project.Attempt{100001: {
			ExecutionID: 100001, Number: 1, StartedAt: noon.Add(-2 * time.Hour), CompletedAt: noon.Add(-time.Hour), Outcome: project.OutcomeFailed,
			Error: "it broke", RunnerID: "runner-secret", JobID: "job-1", StartedBy: "token-of-request", KeyHash: "key-hash",
			Late: &project.Late{Outcome: project.OutcomeCompleted, ReceivedAt: noon},
		}},
	}
}

func runningProject(tenant, id string, d time.Duration) *project.Project {
	p := failedProject(tenant, id)
	p.Status, p.StartedAt, p.CompletedAt, p.Error = project.Running, noon.Add(-d), time.Time{}, ""
	p.ActivationCode = "a-code-hash"
	return p
}

func TestProjectListFindsWhatHasBeenRunningForLong(t *testing.T) {
	b := newBench(t)
	b.tenant("acme")
	b.db.Insert(t, runningProject("acme", "young", time.Hour))
	b.db.Insert(t, runningProject("acme", "old", 21*time.Hour+30*time.Minute))
	b.db.Insert(t, runningProject("zeta", "ancient", 60*time.Hour))
	broken := b.db.Insert(t, failedProject("acme", "broken"))
	wantText(t, b.ok("project", "list", "--status", "running", "--older-than", "20h"),
		"TENANT  PROJECT  STATUS   SINCE                 AGE     ATTEMPT  EXECUTION  HEARTBEAT  ERROR",
		"zeta    ancient  running  2026-02-27T00:00:00Z  2d12h   1        100001     -          -",
		"acme    old      running  2026-02-28T14:30:00Z  21h30m  1        100001     -          -")
	var all []map[string]any
	b.json(&all, "project", "list", "--status", "running", "--tenant", "acme")
	if len(all) != 2 || all[0]["project_id"] != "old" || all[1]["project_id"] != "young" {
		t.Errorf("got %v, want old and young", all)
	}
	b.json(&all, "project", "list", "--status", "failed")
	want := map[string]any{
		"tenant_id": "acme", "project_id": "broken", "name": "Site", "execution_status": "failed", "since": "2026-03-01T11:00:00Z",
		"attempt": 1.0, "execution_id": 100001.0, "execution_error": broken.Error,
	}
	if len(all) != 1 || !reflect.DeepEqual(all[0], want) {
		t.Errorf("got %v, want %v", all, want)
	}
}

func TestProjectShowTellsWhyItCantRunAndNoSecrets(t *testing.T) {
	b := newBench(t)
	b.tenant("acme", "--subscription", "past_due")
	b.db.Insert(t, failedProject("acme", "site"))
	text := b.ok("project", "show", "acme", "site")
	for _, want := range []string{
		"status           failed", "blocked          Your subscription is past due: settle the open invoice to create and run projects", "activation code  none",
		"error            it broke",
		"ATTEMPT  EXECUTION  OUTCOME  STARTED               CLAIMED  HEARTBEAT  ENDED                 SWEEP  LATE       JOB    ERROR",
		"1        100001     failed   2026-03-01T10:00:00Z  -        -          2026-03-01T11:00:00Z  -      completed  job-1  it broke",
	} {
		if !slices.Contains(lines(text), want) {
			t.Errorf("no line reads %q:\n%s", want, text)
		}
	}
	var shown map[string]any
	b.json(&shown, "project", "show", "acme", "site")
	if shown["blocked_reason"] != project.Sentences[project.CodeSubscriptionPastDue] || len(shown["attempts"].([]any)) != 1 || shown["execution_id"] != 100001.0 {
		t.Errorf("got %v", shown)
	}
	text += b.ok("project", "show", "acme", "site", "--json")
	for _, secret := range []string{"runner-secret", "token-of-request", "key-hash", "the objectives", "a description"} {
		if strings.Contains(text, secret) {
			t.Errorf("it shows %q:\n%s", secret, text)
		}
	}
}

func TestTablesObeyNoTerminalCommandOfATenant(t *testing.T) {
	b := newBench(t)
	p := failedProject("acme", "site")
	p.Error = "first line\nsecond\x1b[2J\x07" + strings.Repeat("ä", 100)
	b.db.Insert(t, p)
	out := b.ok("project", "list", "--status", "failed")
	if strings.ContainsAny(out, "\x1b\x07") || len(lines(out)) != 2 || !strings.HasSuffix(lines(out)[1], "first line second?[2J?"+strings.Repeat("ä", 37)+"…") {
		t.Errorf("got %q", out)
	}
}

func TestSessionsAreRevokedByTenantOrOneByOne(t *testing.T) {
	b := newBench(t)
	b.tenant("acme")
	var tokens []string
	for range 3 {
		token := project.NewSessionToken("acme")
		tokens = append(tokens, token)
		s := &project.Session{TokenHash: project.Hash(token), TenantID: "acme", ExpiresAt: noon.Add(time.Hour), LastSeen: noon}
		if put, err := b.db.PutSession(t.Context(), s, noon); err != nil || !put {
			t.Fatal(put, err)
		}
	}
	wantText(t, b.ok("session", "revoke", "--token-hash", project.Hash(tokens[0])), "1 session revoked")
	wantText(t, b.ok("session", "revoke", "--tenant", "acme"), "2 sessions revoked")
	var got map[string]int
	if b.json(&got, "session", "revoke", "--tenant", "acme"); got["revoked"] != 0 {
		t.Errorf("got %v, want none left", got)
	}
}

func TestSweepPrintsItsReceipt(t *testing.T) {
	b := newBench(t)
	b.receipt = &project.SweepReceipt{
		SweepID: "sweep-1", BeganAt: noon, EndedAt: noon.Add(1234 * time.Millisecond), Cutoff: noon.Add(-24 * time.Hour), DryRun: true, Shards: 16, Pages: 17, Nominated: 4, Failed: 1,
		Skipped: map[string]int{"ended": 2, "gone": 1}, Complete: true,
	}
	wantText(t, b.ok("sweep", "--dry-run"),
		"sweep            sweep-1", "began            2026-03-01T12:00:00Z", "took             1.234s", "started before   2026-02-28T12:00:00Z", "shards read      16", "pages            17",
		"nominated        4", "would be failed  1", "skipped          2 ended, 1 gone", "complete         yes")
	b.receipt.DryRun = false
	if out := b.ok("sweep"); !strings.Contains(out, "\nfailed          1\n") {
		t.Errorf("got %s", out)
	}
	if !slices.Equal(b.swept, []bool{true, false}) {
		t.Errorf("dry runs: got %v, want true and false", b.swept)
	}
	var got project.SweepReceipt
	if b.json(&got, "sweep"); !reflect.DeepEqual(got, *b.receipt) {
		t.Errorf("got %+v, want %+v", got, *b.receipt)
	}
	b.receipt.Complete = false
	if r := b.run("sweep"); r.code != exitFailed || !strings.Contains(r.out, "complete        no") || !strings.Contains(r.err, "the sweep is incomplete") {
		t.Errorf("incomplete: got %d\n%s%s", r.code, r.out, r.err)
	}
	b.broken = errors.New("nobody answers")
	b.refused(exitFailed, "nobody answers", "sweep")
}

// sweptAt keeps the receipt of a sweep that failed n projects.
func (b *bench) sweptAt(began time.Time, n int, change ...func(*project.SweepReceipt)) string {
	b.t.Helper()
	r := project.SweepReceipt{
		SweepID: project.NewSweepID(began), BeganAt: began, EndedAt: began.Add(1500 * time.Millisecond), Cutoff: began.Add(-24 * time.Hour),
		Shards: 16, Pages: 16, Nominated: n, Failed: n, Skipped: map[string]int{}, Complete: true,
	}
	for i := range min(n, project.MaxSweptListed) {
		r.Executions = append(r.Executions, project.SweptExecution{
			TenantID: "acme", ProjectID: fmt.Sprintf("site-%d", i), ExecutionID: 1000, StartedAt: began.Add(-25 * time.Hour), Reason: "too long",
		})
	}
	for _, f := range change {
		f(&r)
	}
	if err := b.db.KeepReceipt(b.t.Context(), r); err != nil {
		b.t.Fatal(err)
	}
	return r.SweepID
}

func TestSweepListShowsTheLastTwoDaysOrMore(t *testing.T) {
	b := newBench(t)
	wantText(t, b.ok("sweep", "list"), "SWEEP  BEGAN  TOOK  NOMINATED  FAILED  SKIPPED  DRY RUN  COMPLETE")
	old := b.sweptAt(noon.Add(-72*time.Hour), 2)
	empty := b.sweptAt(noon.Add(-2*time.Hour), 0)
	dry := b.sweptAt(noon.Add(-time.Hour), 1, func(r *project.SweepReceipt) { r.DryRun = true })
	cut := b.sweptAt(noon.Add(-time.Minute), 0, func(r *project.SweepReceipt) { r.EndedAt = time.Time{} })
	wantText(t, b.ok("sweep", "list"),
		"SWEEP                          BEGAN                 TOOK  NOMINATED  FAILED  SKIPPED  DRY RUN  COMPLETE",
		cut+"  2026-03-01T11:59:00Z  -     0          0       -        no       no end",
		dry+"  2026-03-01T11:00:00Z  1.5s  1          1       -        yes      yes",
		empty+"  2026-03-01T10:00:00Z  1.5s  0          0       -        no       yes")
	if out := lines(b.ok("sweep", "list", "--since", "90d", "--failed")); len(out) != 2 || !strings.HasPrefix(out[1], old) {
		t.Errorf("got %q, want the one that failed some", out)
	}
	var got []map[string]any
	if b.json(&got, "sweep", "list", "--since", "90d"); len(got) != 4 || got[3]["sweep_id"] != old {
		t.Errorf("got %v, want all four", got)
	}
	b.refused(exitUsage, "write a duration above zero", "sweep", "list", "--since", "0")
}

func TestSweepShowNamesWhatWasFailed(t *testing.T) {
	b := newBench(t)
	id := b.sweptAt(noon, 102)
	out := lines(b.ok("sweep", "show", id))
	if !slices.Contains(out, "failed          102") || !slices.Contains(out, "TENANT  PROJECT  EXECUTION  STARTED               HEARTBEAT  REASON") ||
		!slices.Contains(out, "acme    site-0   1000       2026-02-28T11:00:00Z  -          too long") || out[len(out)-1] != "and 2 more, which the function's log names" {
		t.Errorf("got\n%s", strings.Join(out, "\n"))
	}
	var got project.SweepReceipt
	if b.json(&got, "sweep", "show", id); got.SweepID != id || len(got.Executions) != project.MaxSweptListed {
		t.Errorf("got %+v", got)
	}
	b.refused(exitNotFound, `there is no receipt of a sweep "20200101T000000.000Z-0"`, "sweep", "show", "20200101T000000.000Z-0")
	b.refused(exitUsage, "accepts 1 arg(s)", "sweep", "show")
}

func TestProjectShowTellsTheSweepThatFailedIt(t *testing.T) {
	b := newBench(t)
	p := failedProject("acme", "site")
	p.SweepID, p.Extension = "sweep-1", 90*time.Minute
	a := p.Attempts[p.ExecutionID]
	a.Swept, a.HeartbeatAt = &project.Swept{SweepID: "sweep-1", Cutoff: noon}, noon.Add(-time.Hour)
	p.Attempts[p.ExecutionID] = a
	b.db.Insert(t, p)
	text := b.ok("project", "show", "acme", "site")
	for _, want := range []string{"ended by sweep   sweep-1", "extended by      1h30m0s"} {
		if !slices.Contains(lines(text), want) {
			t.Errorf("no line reads %q:\n%s", want, text)
		}
	}
	var shown struct {
		SweepID  string           `json:"sweep_id"`
		Attempts []map[string]any `json:"attempts"`
	}
	b.json(&shown, "project", "show", "acme", "site")
	if shown.SweepID != "sweep-1" || shown.Attempts[0]["sweep_cutoff"] != "2026-03-01T12:00:00Z" || shown.Attempts[0]["heartbeat_at"] != "2026-03-01T11:00:00Z" {
		t.Errorf("got %+v", shown)
	}
}

func TestFaultsOfTheDatabaseAreToldWithTheirCause(t *testing.T) {
	b := newBench(t)
	b.db.Wire.Set(func(string, int, func() (*http.Response, error)) (*http.Response, error) {
		return dynamotest.Answer(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"too much at once"}`), nil
	})
	b.refused(exitFailed, "too much at once", "tenant", "show", "acme")
}

func TestHelpTellsTheExitCodesAndCompletionCompletes(t *testing.T) {
	b := newBench(t)
	if out := b.ok("--help"); !strings.Contains(out, "Exit codes: 0 done; 1 refused or failed; 2 the command line is wrong; 3 what the\ncommand names is not there.") {
		t.Errorf("got %s", out)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out := b.ok("completion", shell); !strings.Contains(out, "rekindlectl") {
			t.Errorf("%s: got %s", shell, out)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"tenant", "set-subscription", "acme", ""}, "past_due"},
		{[]string{"tenant", "create", "--subscription", ""}, "trialing"},
		{[]string{"project", "list", "--status", ""}, "running"},
	} {
		if r := b.run(append([]string{"__complete"}, c.args...)...); !slices.Contains(lines(r.out), c.want) {
			t.Errorf("%v: got %s, want %s among it", c.args, r.out, c.want)
		}
	}
}
