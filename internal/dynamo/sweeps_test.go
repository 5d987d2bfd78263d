package dynamo_test

import (
	"errors"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/dynamo"
	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
)

func receipt(began time.Time) project.SweepReceipt {
	return project.SweepReceipt{
		SweepID: project.NewSweepID(began), BeganAt: began, EndedAt: began.Add(time.Second), Cutoff: began.Add(-24 * time.Hour),
		Shards: 16, Pages: 17, Nominated: 3, Failed: 1, Skipped: map[string]int{"ended": 2}, Complete: true,
		Executions: []project.SweptExecution{{
			TenantID: "acme", ProjectID: "site", ExecutionID: 1000, StartedAt: began.Add(-25 * time.Hour), HeartbeatAt: began.Add(-time.Hour), Reason: "too long",
		}},
	}
}

func TestReceiptSurvivesStorageFor90Days(t *testing.T) {
	db := dynamotest.Open(t)
	r := receipt(noon)
	begun := r
	begun.EndedAt, begun.Failed, begun.Executions, begun.Skipped = time.Time{}, 0, nil, map[string]int{}
	for _, want := range []project.SweepReceipt{begun, r} {
		if err := db.KeepReceipt(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		got, err := db.GetReceipt(t.Context(), r.SweepID)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
		}
	}
	out, err := db.Client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &db.Tables.Sweeps})
	if err != nil || len(out.Items) != 1 {
		t.Fatalf("%d items, %v", len(out.Items), err)
	}
	ttl, _ := out.Items[0]["ttl"].(*types.AttributeValueMemberN)
	if want := strconv.FormatInt(noon.Add(90*24*time.Hour).Unix(), 10); ttl == nil || ttl.Value != want {
		t.Errorf("ttl is %v, want the number %s", out.Items[0]["ttl"], want)
	}
	if _, err := db.GetReceipt(t.Context(), "20260301T120000.000Z-nothing"); !errors.Is(err, dynamo.ErrNoReceipt) {
		t.Errorf("an unknown sweep: got %v, want ErrNoReceipt", err)
	}
}

func TestReceiptsAreListedNewestFirst(t *testing.T) {
	db := dynamotest.Open(t)
	var want []string
	for i := range 30 {
		r := receipt(noon.Add(time.Duration(-i) * time.Hour))
		if err := db.KeepReceipt(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if i <= 24 {
			want = append(want, r.SweepID)
		}
	}
	var got []string
	for r, err := range db.Receipts(t.Context(), noon.Add(-24*time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.SweepID)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestAnExecutionIsExtendedOnce(t *testing.T) {
	db := dynamotest.Open(t)
	p := db.Insert(t, sample(site, project.Running))
	extended, err := db.Extend(t.Context(), p.Ref(), 6*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if extended.Extension != 6*time.Hour || extended.Attempts[1000].Extension != 6*time.Hour || extended.Version != p.Version+1 {
		t.Errorf("got %s, its attempt %s, version %d", extended.Extension, extended.Attempts[1000].Extension, extended.Version)
	}
	if want := p.StartedAt.Add(30 * time.Hour); !extended.TimesOutAt(24 * time.Hour).Equal(want) {
		t.Errorf("it times out at %s, want %s", extended.TimesOutAt(24*time.Hour), want)
	}
	before := db.Item(t, site)
	if _, err := db.Extend(t.Context(), p.Ref(), 6*time.Hour); err != nil {
		t.Errorf("as much again: %v", err)
	}
	if _, err := db.Extend(t.Context(), p.Ref(), 7*time.Hour); project.CodeOf(err) != project.CodeContended {
		t.Errorf("by more: got %v, want a lost race", err)
	}
	if !reflect.DeepEqual(before, db.Item(t, site)) {
		t.Error("a second extension changed the item")
	}
}

func TestOnlyTheExecutionThatRunsIsExtended(t *testing.T) {
	for name, change := range map[string]func(*project.Project, *project.Ref){
		"ended":             func(p *project.Project, _ *project.Ref) { p.Status = project.Failed },
		"another execution": func(_ *project.Project, ref *project.Ref) { ref.ExecutionID++ },
		"a namesake":        func(_ *project.Project, ref *project.Ref) { ref.ProjectUID = "uid-0" },
		"gone":              func(_ *project.Project, ref *project.Ref) { ref.ProjectID = "other" },
	} {
		db := dynamotest.Open(t)
		p := sample(site, project.Running)
		ref := p.Ref()
		change(p, &ref)
		db.Insert(t, p)
		before := db.Item(t, site)
		if _, err := db.Extend(t.Context(), ref, time.Hour); project.CodeOf(err) != project.CodeContended {
			t.Errorf("%s: got %v, want a lost race", name, err)
		}
		if !reflect.DeepEqual(before, db.Item(t, site)) {
			t.Errorf("%s: the item was changed", name)
		}
	}
}

func TestLostReplyOfAnExtensionIsASuccess(t *testing.T) {
	db := dynamotest.Open(t)
	p := db.Insert(t, sample(site, project.Running))
	db.Wire.LoseReply("UpdateItem", 1)
	extended, err := db.Extend(t.Context(), p.Ref(), time.Hour)
	if err != nil || extended.Extension != time.Hour {
		t.Errorf("got %+v, %v", extended, err)
	}
}

func TestSettleHonoursTheExtensionThatWasJudged(t *testing.T) {
	db := dynamotest.Open(t)
	p := db.Insert(t, sample(site, project.Running))
	if _, err := db.Extend(t.Context(), p.Ref(), time.Hour); err != nil {
		t.Fatal(err)
	}
	st := project.Settlement{Ref: p.Ref(), Event: project.TimeOut, Error: "e", At: noon, Token: "sweep:s"}
	for _, judged := range []time.Duration{0, 2 * time.Hour} {
		st.Extension = &judged
		if now, err := db.Settle(t.Context(), st); project.CodeOf(err) != project.CodeAttemptClosed || now.Extension != time.Hour {
			t.Errorf("judged by %s: got %v and %+v, want it refused with the project", judged, err, now)
		}
	}
	judged := time.Hour
	st.Extension = &judged
	if _, err := db.Settle(t.Context(), st); err != nil {
		t.Error(err)
	}
}
