package dynamo_test

import (
	"fmt"
	"testing"
	"time"

	"rekindle/internal/dynamo/dynamotest"
	"rekindle/internal/project"
)

func TestOldestRunningIsTheFirstOfTheIndexFromATimeOn(t *testing.T) {
	db := dynamotest.Open(t)
	oldest := func(since time.Time) time.Time {
		t.Helper()
		var found time.Time
		for shard := range project.Shards {
			at, err := db.OldestRunning(t.Context(), shard, since)
			if err != nil {
				t.Fatal(err)
			}
			if !at.IsZero() && (found.IsZero() || at.Before(found)) {
				found = at
			}
		}
		return found
	}
	if got := oldest(time.Time{}.AddDate(1, 0, 0)); !got.IsZero() {
		t.Errorf("of an empty table it is %s", got)
	}
	for i := range 40 { // over the shards
		p := &project.Project{
			Key: project.Key{TenantID: "acme", ProjectID: fmt.Sprintf("p-%d", i)}, UID: "u", Version: 1, Name: "N", Status: project.Running,
			ExecutionID: 77, Attempt: 1, StartedAt: noon.Add(time.Duration(-i) * time.Hour),
		}
		if i%4 == 3 { // ended: not in the index
			p.Status, p.CompletedAt = project.Failed, noon
		}
		db.Insert(t, p)
	}
	for since, want := range map[time.Time]time.Time{
		noon.AddDate(-1, 0, 0):                     noon.Add(-38 * time.Hour),
		noon.Add(-38 * time.Hour):                  noon.Add(-38 * time.Hour), // at the time itself, too
		noon.Add(-38*time.Hour + time.Millisecond): noon.Add(-37 * time.Hour),
		noon.Add(-35 * time.Hour):                  noon.Add(-34 * time.Hour), // the 35th has ended
		noon:                                       noon,
		noon.Add(time.Millisecond):                 {},
	} {
		if got := oldest(since); !got.Equal(want) {
			t.Errorf("from %s on it is %s, want %s", since, got, want)
		}
	}
}
