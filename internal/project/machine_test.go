package project_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rekindle/internal/project"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestEachStatusTakesTheEventsOfTheMachineAndNoOther(t *testing.T) {
	allowed := map[project.Status]map[project.Event]project.Status{
		project.None:    {project.Create: project.Pending},
		project.Pending: {project.Run: project.Running},
		project.Failed:  {project.Restart: project.Running},
		project.Running: {
			project.Succeed: project.Completed, project.Fail: project.Failed, project.TimeOut: project.Failed, project.Cancel: project.Failed,
		},
	}
	for _, from := range append([]project.Status{project.None}, project.Statuses...) {
		for _, event := range project.Events {
			row, ok := project.Next(from, event)
			want, wantOK := allowed[from][event]
			if ok != wantOK || row.To != want {
				t.Errorf("%q on %s: got %q, %t, want %q, %t", from, event, row.To, ok, want, wantOK)
			}
		}
	}
}

func TestEachEventLeavesOneStatus(t *testing.T) {
	for _, event := range project.Events {
		rows := 0
		for _, row := range project.Transitions {
			if row.Event == event {
				rows++
			}
		}
		if rows != 1 || event.Leaves().Event != event {
			t.Errorf("%s: %d rows, Leaves gives that of %q", event, rows, event.Leaves().Event)
		}
	}
	if row := project.Event("explode").Leaves(); row.Event != "" {
		t.Errorf("an unknown event: got %+v", row)
	}
}

func TestOnlyEventsThatEndAnExecutionHaveAnOutcome(t *testing.T) {
	want := map[project.Event]project.Outcome{
		project.Succeed: project.OutcomeCompleted, project.Fail: project.OutcomeFailed,
		project.TimeOut: project.OutcomeTimedOut, project.Cancel: project.OutcomeCancelled,
	}
	for _, event := range project.Events {
		if got := event.Outcome(); got != want[event] {
			t.Errorf("%s: got %q, want %q", event, got, want[event])
		}
		if leaves := event.Leaves().From == project.Running; leaves != (want[event] != "") {
			t.Errorf("%s: leaves running: %t", event, leaves)
		}
	}
}

func TestTransitionsWriteWhatTheirStatusNeeds(t *testing.T) {
	needs := map[project.Status][]project.Field{
		project.Running:   {project.FieldVersion, project.FieldExecutionID, project.FieldAttempt, project.FieldStartedAt, project.FieldOutput},
		project.Completed: {project.FieldVersion, project.FieldCompletedAt, project.FieldProgress},
		project.Failed:    {project.FieldVersion, project.FieldCompletedAt, project.FieldError},
	}
	for _, row := range project.Transitions {
		for _, f := range needs[row.To] {
			if !slices.Contains(row.Sets, f) {
				t.Errorf("%s: does not set %s", row.Event, f)
			}
		}
	}
	// What only a running or an ended execution has is not left to the next.
	restart := project.Restart.Leaves()
	for _, f := range []project.Field{
		project.FieldError, project.FieldStartedAt, project.FieldCompletedAt,
		project.FieldProgress, project.FieldClaimedAt, project.FieldHeartbeatAt,
	} {
		if !slices.Contains(restart.Clears, f) {
			t.Errorf("restart does not clear %s", f)
		}
	}
	for _, row := range project.Transitions {
		if row.Event != project.Restart && len(row.Clears) > 0 {
			t.Errorf("%s clears %v", row.Event, row.Clears)
		}
		if row.Event == project.Succeed && slices.Contains(row.Sets, project.FieldError) {
			t.Error("a success sets an error")
		}
	}
}

// ready is a project and a tenant that nothing keeps from starting.
func ready(status project.Status) (*project.Project, *project.Tenant) {
	return &project.Project{Status: status, Name: "N", Description: "D", Objectives: "O", ActivationCode: "h"},
		&project.Tenant{Subscription: project.Active}
}

func TestCheckStartRefusesInTheOrderOfTheContract(t *testing.T) {
	p := &project.Project{Status: project.Completed, ActivationCodeRevokedAt: at}
	var tenant *project.Tenant
	for _, step := range []struct {
		code   project.Code
		detail string
		mend   func()
	}{
		{project.CodeNotFailed, "Only failed projects can be restarted. Current status: completed", func() { p.Status = project.Failed }},
		{project.CodeSubscriptionMissing, "", func() { tenant = &project.Tenant{Subscription: project.Suspended} }},
		{project.CodeSubscriptionSuspended, "", func() { tenant.Subscription = project.Trialing }},
		{project.CodeActivationMissing, "", func() { p.ActivationCode = "h" }},
		{project.CodeActivationRevoked, "", func() { p.ActivationCodeRevokedAt = time.Time{} }},
		{project.CodeFieldMissing, "The project has no name: fill it in to run the project", func() { p.Name = "N" }},
		{project.CodeFieldMissing, "The project has no description: fill it in to run the project", func() { p.Description = "D" }},
		{project.CodeFieldMissing, "The project has no objectives: fill it in to run the project", func() { p.Objectives = "O" }},
	} {
		err := project.CheckStart(project.Restart, p, tenant)
		if project.CodeOf(err) != step.code || step.detail != "" && err.Error() != step.detail {
			t.Errorf("got %v, want %s %q", err, step.code, step.detail)
		}
		step.mend()
	}
	if err := project.CheckStart(project.Restart, p, tenant); err != nil {
		t.Errorf("with everything mended: got %v", err)
	}
}

func TestCheckStartOfEachStatus(t *testing.T) {
	for status, want := range map[project.Status]map[project.Event]string{
		project.Pending:   {project.Run: "", project.Restart: "Only failed projects can be restarted. Current status: pending"},
		project.Running:   {project.Run: "Only pending projects can be run. Current status: running", project.Restart: "Only failed projects can be restarted. Current status: running"},
		project.Completed: {project.Run: "Only pending projects can be run. Current status: completed", project.Restart: "Only failed projects can be restarted. Current status: completed"},
		project.Failed:    {project.Run: "Only pending projects can be run. Current status: failed. Use restart to run it again", project.Restart: ""},
	} {
		for event, detail := range want {
			p, tenant := ready(status)
			err := project.CheckStart(event, p, tenant)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != detail {
				t.Errorf("%s of a %s project: got %q, want %q", event, status, got, detail)
			}
		}
	}
}

func TestExpectedAttempt(t *testing.T) {
	p := &project.Project{Attempt: 3, Status: project.Failed}
	three, two := 3, 2
	if err := project.CheckAttempt(p, nil); err != nil {
		t.Errorf("no expectation: %v", err)
	}
	if err := project.CheckAttempt(p, &three); err != nil {
		t.Errorf("the present one: %v", err)
	}
	if err := project.CheckAttempt(p, &two); project.CodeOf(err) != project.CodeAttemptDiffers || !strings.Contains(err.Error(), "attempt 3 with status failed") {
		t.Errorf("another: %v", err)
	}
}

func TestExecutionIDsNeverRepeatAndFitANumber(t *testing.T) {
	var last int64
	for _, now := range []time.Time{at, at, at.Add(-48 * time.Hour), at.Add(-48 * time.Hour), time.Unix(0, 0), at.Add(time.Hour), time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)} {
		for range 2000 {
			id := project.NextExecutionID(last, now)
			if id <= last || id >= 1<<53 {
				t.Fatalf("after %d at %s: got %d", last, now, id)
			}
			last = id
		}
	}
	if a, b := project.NextExecutionID(0, at), project.NextExecutionID(0, at.Add(time.Second)); b <= a {
		t.Errorf("a second later: got %d after %d", b, a)
	}
}

func TestTimeoutSetting(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"24": 24 * time.Hour, "48": 48 * time.Hour, "0.5": 30 * time.Minute, ".5": 30 * time.Minute, "24.": 24 * time.Hour, "87600": 87600 * time.Hour,
	} {
		if got, err := project.ParseTimeout(text); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "0.0", "-1", "+1", " 24", "24 ", "24h", "1e3", "0x10", "NaN", "Inf", "1,5", "1.2.3", ".", "0.0001", "87601", strings.Repeat("9", 400), "٢٤"} {
		if got, err := project.ParseTimeout(text); err == nil || !strings.Contains(err.Error(), project.TimeoutSetting) {
			t.Errorf("%q: got %s, %v, want a refusal that names the setting", text, got, err)
		}
	}
}

func TestHeartbeatSetting(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "2": 2 * time.Minute, "7.5": 450 * time.Second} {
		if got, err := project.ParseHeartbeatTimeout(text); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"0", "1.9", "-3", "soon"} {
		if _, err := project.ParseHeartbeatTimeout(text); err == nil || !strings.Contains(err.Error(), project.HeartbeatSetting) {
			t.Errorf("%q: got %v, want a refusal that names the setting", text, err)
		}
	}
}

func TestLimitIsNamedInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		24 * time.Hour: "more than 24 hours", 48 * time.Hour: "more than 48 hours", time.Hour: "more than 1 hour", 30 * time.Minute: "more than 0.5 hours", 36 * time.Second: "more than 0.01 hours",
	} {
		if got := project.TimedOut(d); !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %q, want …%s", d, got, want)
		}
	}
	if got := project.FellSilent(5 * time.Minute); !strings.HasSuffix(got, "for 5 minutes") {
		t.Errorf("got %q", got)
	}
}

func TestErrorsAreClippedToTheirEnd(t *testing.T) {
	for in, want := range map[string]string{
		"  boom \n":          "boom",
		"a\x00b\x1b[31mc\td": "ab[31mc\td",
		"bad \xff byte":      "bad \uFFFD byte",
		"":                   "",
	} {
		if got := project.ClipError(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	for _, filler := range []string{"x", "ż", "世", "🔄"} {
		got := project.ClipError(strings.Repeat(filler, 2000) + "the reason")
		if len(got) > project.MaxError || !utf8.ValidString(got) || !strings.HasSuffix(got, "the reason") || !strings.HasPrefix(got, "… "+filler) {
			t.Errorf("%s: got %d bytes: %.20q…", filler, len(got), got)
		}
	}
}

func TestProgressIsClipped(t *testing.T) {
	for in, want := range map[project.Progress]project.Progress{
		{Percent: -5, Message: "a"}:     {Percent: 0, Message: "a"},
		{Percent: 250, Message: "\x00"}: {Percent: 100},
	} {
		if got := project.ClipProgress(in); got != want {
			t.Errorf("%+v: got %+v, want %+v", in, got, want)
		}
	}
	got := project.ClipProgress(project.Progress{Message: strings.Repeat("世", 300)}).Message
	if len(got) > project.MaxProgressMessage || !utf8.ValidString(got) {
		t.Errorf("got %d bytes, valid %t", len(got), utf8.ValidString(got))
	}
}

func TestSessionEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		now  time.Time
		want project.Code
	}{
		{"fresh", at, ""},
		{"just before idle", at.Add(30*time.Minute - time.Millisecond), ""},
		{"idle", at.Add(30 * time.Minute), project.CodeSessionIdle},
		{"expired", at.Add(24 * time.Hour), project.CodeSessionExpired},
	} {
		s := project.Session{ExpiresAt: at.Add(24 * time.Hour), LastSeen: at}
		if got := project.CodeOf(s.Check(c.now)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	busy := project.Session{ExpiresAt: at.Add(24 * time.Hour), LastSeen: at.Add(24*time.Hour - time.Minute)}
	if got := project.CodeOf(busy.Check(at.Add(24 * time.Hour))); got != project.CodeSessionExpired {
		t.Errorf("used to its end: got %q", got)
	}
}

func TestSessionTokenNamesItsTenant(t *testing.T) {
	for token, want := range map[string]string{
		"acme.secret": "acme", "a.b.secret": "a.b", ".secret": "", "acme.": "", "acme": "", "": "",
		"a." + strings.Repeat("x", 510): "a", "a." + strings.Repeat("x", 511): "",
	} {
		got, ok := project.SplitSessionToken(token)
		if got != want || ok != (want != "") {
			t.Errorf("%.20q: got %q, %t, want %q", token, got, ok, want)
		}
	}
	if tenant, ok := project.SplitSessionToken(project.NewSessionToken("acme")); !ok || tenant != "acme" {
		t.Errorf("a new token: got %q, %t", tenant, ok)
	}
}

func TestProjectIDs(t *testing.T) {
	for id, ok := range map[string]bool{
		"a": true, "0": true, "site-1_b": true, strings.Repeat("a", 100): true,
		"": false, "-a": false, "_a": false, "A": false, "a b": false, "a/b": false, "a.b": false, "a\x00": false, "a\n": false, "ż": false, strings.Repeat("a", 101): false,
	} {
		if err := project.CheckProjectID(id); (err == nil) != ok {
			t.Errorf("%.20q: got %v, want allowed: %t", id, err, ok)
		}
	}
}

func TestSentencesAreFilledFromFields(t *testing.T) {
	err := fmt.Errorf("doing: %w", project.Refuse(project.CodeNotFailed, project.Fields{"status": project.Completed}))
	if project.CodeOf(err) != project.CodeNotFailed || !strings.HasSuffix(err.Error(), "Current status: completed") {
		t.Errorf("got %v", err)
	}
	cause := errors.New("cause")
	if e := (&project.Error{Code: project.CodeUnavailable, Err: cause}); !errors.Is(e, cause) || strings.Contains(e.Error(), "cause") {
		t.Errorf("the cause is for the log alone: %v", e)
	}
	if project.CodeOf(cause) != "" {
		t.Errorf("an ordinary error has code %q", project.CodeOf(cause))
	}
}

func TestActivationCodes(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		code := project.NewActivationCode()
		if got, err := project.ReadActivationCode(code); err != nil || got != code || seen[code] {
			t.Fatalf("%s: read as %q, %v, seen before: %t", code, got, err, seen[code])
		}
		seen[code] = true
	}
	for _, typed := range []string{"abcd-efgh-jklm-2345", "ABCDEFGHJKLM2345", " abcd efgh jklm 2345 "} {
		if got, err := project.ReadActivationCode(typed); err != nil || got != "ABCD-EFGH-JKLM-2345" {
			t.Errorf("%q: got %q, %v", typed, got, err)
		}
	}
	for _, typed := range []string{"", "ABCD-EFGH-JKLM-234", "ABCD-EFGH-JKLM-23456", "ABCD-EFGH-IKLM-2345", "ABCD-EFGH-JKLM-2O45", "ABCD-EFGH-JKLM-2345\x00", strings.Repeat("A", 100_000)} {
		if got, err := project.ReadActivationCode(typed); project.CodeOf(err) != project.CodeActivationMalformed {
			t.Errorf("%.30q: got %q, %v", typed, got, err)
		}
	}
}

func TestHashesOfOneKindAreNoneOfAnother(t *testing.T) {
	h, err := project.NewHasher(strings.Repeat("k", 32))
	if err != nil {
		t.Fatal(err)
	}
	other, err := project.NewHasher(strings.Repeat("o", 32))
	if err != nil {
		t.Fatal(err)
	}
	a := h.Hash(project.KindActivation, "x")
	if a != h.Hash(project.KindActivation, "x") || a == h.Hash(project.KindLogin, "x") || a == other.Hash(project.KindActivation, "x") {
		t.Error("a hash depends on key, kind and secret, and on nothing else")
	}
	if _, err := project.NewHasher("short"); err == nil {
		t.Error("a short key: got a hasher")
	}
}

func TestDrafts(t *testing.T) {
	good := project.Draft{Name: "  My site ", Description: strings.Repeat("ż", project.MaxDescription), Objectives: strings.Repeat("世", project.MaxObjectives)}
	if err := good.Check(); err != nil || good.Name != "My site" {
		t.Errorf("got %q, %v", good.Name, err)
	}
	for field, d := range map[string]project.Draft{
		"name is missing":             {Name: " \n"},
		"name is longer than 100":     {Name: strings.Repeat("ż", 101)},
		"name has a line break":       {Name: "a\nb"},
		"description is longer than":  {Name: "a", Description: strings.Repeat("x", project.MaxDescription+1)},
		"objectives is longer than":   {Name: "a", Objectives: strings.Repeat("x", project.MaxObjectives+1)},
		"objectives has a NUL":        {Name: "a", Objectives: "a\x00"},
		"description has a NUL":       {Name: "a", Description: "\x00"},
		"name has a NUL character in": {Name: "a\x00"},
	} {
		if err := d.Check(); project.CodeOf(err) != project.CodeFieldInvalid || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

func TestSlugs(t *testing.T) {
	for name, want := range map[string]string{
		"My Site": "my-site", "  --A  b--": "a-b", "Żółw 7": "w-7", "世界": "project", "": "project", "a/../b": "a-b", strings.Repeat("ab ", 100): "",
	} {
		got := project.SlugOf(name)
		if want != "" && got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
		if err := project.CheckProjectID(got); err != nil || len(got) > 95 {
			t.Errorf("%.20q: %q is no id with room for a number", name, got)
		}
	}
}
