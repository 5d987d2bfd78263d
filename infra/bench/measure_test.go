package main

import (
	"strings"
	"testing"
	"time"

	"rekindle/internal/dynalite/dynalitetest"
	"rekindle/internal/project"
)

// quick is the environment of a quick section in a test.
func quick(t *testing.T, section string) *env {
	t.Helper()
	dynalitetest.ForTest(t) // says how to install what is missing
	t.Chdir("../..")
	return &env{quick: true, work: t.TempDir(), section: section, notes: map[string][]string{}, log: new(strings.Builder)}
}

// The calls that docs/decisions.md and docs/deploy.md reckon with.
func TestRequestsCostTheCallsThatAreReckonedWith(t *testing.T) {
	e := quick(t, "calls")
	rows, err := runCalls(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"status": 1, "run": 2, "restart": 2, "restart/large": 2, "run/trial": 3, "restart/trial/own-slot": 3, "restart/trial/other-slot": 4,
		"claim": 1, "heartbeat": 1, "result": 1, "cancel": 2, "extend": 2, "session-touch": 1, "sweep/write": 1,
	}
	for _, r := range rows {
		calls, ok := r.get("calls/op")
		if expected, known := want[r.Name]; known && (!ok || calls != expected) {
			t.Errorf("%s: got %v calls, want %v", r.Name, calls, expected)
		}
		delete(want, r.Name)
		if size, _ := r.get("item-bytes"); strings.HasSuffix(r.Name, "/large") && r.Name != "list-20/large" && size < 30_000 {
			t.Errorf("%s: the item has %v bytes: that is no large one", r.Name, size)
		}
	}
	if len(want) > 0 {
		t.Errorf("not measured: %v", want)
	}
}

// A copy that was put into the database's folder is one like the store's own: the
// store reads it, and the sweep finds it.
func TestSweepFindsTheCopiesAndTellsAWrongNumber(t *testing.T) {
	e := quick(t, "sweep")
	d, err := openDatabase(t.Context(), e.work, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	stuck := bare.project(project.Key{}, project.Running, noon.Add(-25*time.Hour))
	if err := fill(t.Context(), e.work, copies{stuck, "stuck", 0, 40}, copies{bare.project(project.Key{}, project.Running, noon.Add(-time.Hour)), "healthy", 0, 40}); err != nil {
		t.Fatal(err)
	}
	if d, err = openDatabase(t.Context(), e.work, false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	key := project.Key{TenantID: "stuck-0", ProjectID: "stuck-7"}
	p, err := d.store.Get(t.Context(), key)
	if err != nil || p.ExecutionID != stuck.ExecutionID || !p.StartedAt.Equal(stuck.StartedAt.Add(7*time.Millisecond)) || len(p.Attempts) != 1 {
		t.Errorf("a copy: got %+v, %v", p, err)
	}
	_, read, err := oneRead(t.Context(), d, "read", 40)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := oneRead(t.Context(), d, "read", 41); err == nil {
		t.Error("40 nominated of 41: got no error")
	}
	r, swept, err := oneSweep(t.Context(), d, "sweep", 40)
	if err != nil {
		t.Fatal(err)
	}
	if read.Calls != swept.Calls || read.Read != swept.Read || read.Calls != project.Shards {
		t.Errorf("the index alone: %+v; the sweep: %+v; want the same reads, a page a shard", read, swept)
	}
	if v, _ := r.get("writes"); v != 40 {
		t.Errorf("got %v writes, want 40", v)
	}
	if p, err := d.store.Get(t.Context(), key); err != nil || p.Status != project.Failed {
		t.Errorf("after the sweep: got %+v, %v, want it failed", p, err)
	}
	if _, _, err := oneSweep(t.Context(), d, "again", 40); err == nil {
		t.Error("nothing is stuck any more: a sweep that was to fail 40 is to be an error")
	}
}
