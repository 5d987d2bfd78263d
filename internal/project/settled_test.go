package project_test

import (
	"testing"
	"time"

	"rekindle/internal/project"
)

func TestSettlementKnowsItsOwnWrite(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)
	s := project.Settlement{Ref: project.Ref{ExecutionID: 77}, At: at, Token: "runner:r-1"}
	stored := at.Truncate(time.Millisecond) // the store's times have milliseconds
	for name, c := range map[string]struct {
		attempt project.Attempt
		want    bool
	}{
		"its own":           {project.Attempt{SettledBy: "runner:r-1", CompletedAt: stored}, true},
		"the same, earlier": {project.Attempt{SettledBy: "runner:r-1", CompletedAt: stored.Add(-time.Second)}, false},
		"somebody else's":   {project.Attempt{SettledBy: "job:j-1", CompletedAt: stored}, false},
		"none":              {project.Attempt{}, false},
	} {
		p := &project.Project{Attempts: map[int64]project.Attempt{77: c.attempt}}
		if got := s.WroteBy(p); got != c.want {
			t.Errorf("%s: got %t, want %t", name, got, c.want)
		}
	}
	if s.WroteBy(&project.Project{}) {
		t.Error("an attempt that is not remembered is taken for its own")
	}
}
