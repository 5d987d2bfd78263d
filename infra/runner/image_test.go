package main_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"rekindle/internal/project"
)

func TestImageRunsTheSampleAndStoresItsOutput(t *testing.T) {
	w := newWorld(t, "Welcome\nPrices")
	w.ends(w.start(`["rekindle-sample"]`), 0)
	w.wants(project.Completed, "")
	files := w.files()
	for _, name := range []string{"index.html", "page-01.html", "page-02.html", "style.css"} {
		if files[name] == "" {
			t.Errorf("%s is not in the zip, which has %d files", name, len(files))
		}
	}
	if log, _ := w.bucket.Object(folder + "stdout.log"); log != "writing page-01.html\nwriting page-02.html\n" {
		t.Errorf("stdout.log has %q", log)
	}
}

func TestImagesCommandIsNobodyAndKnowsNothing(t *testing.T) {
	w := newWorld(t, "Home")
	w.ends(w.start(`["/probe","look"]`), 0)
	w.wants(project.Completed, "")
	files := w.files()
	if files["ids.json"] != "[65532,65532]" {
		t.Errorf("the command ran as %s", files["ids.json"])
	}
	var environ []string
	if err := json.Unmarshal([]byte(files["environ.json"]), &environ); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range strings.Fields("PATH HOME PROJECT_ID PROJECT_NAME PROJECT_DESCRIPTION PROJECT_OBJECTIVES TENANT_ID EXECUTION_ID OUTPUT_DIR PROGRESS_FILE") {
		known[name] = true
	}
	for _, v := range environ {
		if name, _, _ := strings.Cut(v, "="); !known[name] {
			t.Errorf("the command knows %s", v)
		}
	}
	if len(environ) != len(known) {
		t.Errorf("the command knows %q", environ)
	}
}

func TestImageReportsWhyACommandFailed(t *testing.T) {
	w := newWorld(t, "Welcome\nfail: no prices yet")
	w.ends(w.start(`["rekindle-sample"]`), 0)
	w.wants(project.Failed, "no prices yet")
	if log, _ := w.bucket.Object(folder + "stderr.log"); log != "no prices yet\n" || w.bucket.Calls("CreateMultipartUpload") != 0 {
		t.Errorf("stderr.log has %q, and there are %v", log, w.bucket.Keys())
	}
}

func TestImageOutlivesACommandThatRunsOutOfMemory(t *testing.T) {
	w := newWorld(t, "Home")
	w.ends(w.start(`["/probe","hog"]`, "--memory", "64m", "--memory-swap", "64m"), 0)
	p := w.db.Read(t, ref.Key)
	if p.Status != project.Failed || !strings.HasSuffix(p.Error, "The command ran out of memory and was killed") {
		t.Errorf("got %s %q", p.Status, p.Error)
	}
}

func TestImageReportsInTimeThatTheEngineStopsIt(t *testing.T) {
	w := newWorld(t, "Home")
	id := w.start(`["/probe","stay"]`)
	w.says(id, `"msg":"started"`, 1)
	began := time.Now()
	if _, err := docker("stop", "--time", "30", id); err != nil {
		t.Fatal(err)
	}
	// Killed by Docker it would have ended after 30 seconds, with code 137.
	w.ends(id, 0)
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	w.wants(project.Failed, "The execution was stopped by the engine before the command had finished")
	if w.bucket.Calls("CreateMultipartUpload") != 0 {
		t.Error("an upload was begun")
	}
}

// The network is away for two minutes, by the clock: longer than any of the
// runner's own waits. The command ends in their midst.
func TestImageWorksOnWhileTheNetworkIsCut(t *testing.T) {
	w := newWorld(t, "Home")
	id := w.start(`["/probe","work","90s"]`)
	w.says(id, `"msg":"started"`, 1)
	if _, err := docker("network", "disconnect", "bridge", id); err != nil {
		t.Fatal(err)
	}
	cut := time.NewTimer(2 * time.Minute)
	w.says(id, "a heartbeat did not arrive, the work goes on", 1)
	w.says(id, `"msg":"ended"`, 1)
	w.says(id, "a call failed and is made again", 1)
	<-cut.C
	w.wants(project.Running, "")
	if _, err := docker("network", "connect", "bridge", id); err != nil {
		t.Fatal(err)
	}
	w.ends(id, 0)
	w.wants(project.Completed, "")
	if w.files()["done.json"] != "true" {
		t.Error("the output is not what the command wrote")
	}
}

func TestImagesSecondRunnerStartsNothing(t *testing.T) {
	w := newWorld(t, "Home")
	first := w.start(`["/probe","work","1h"]`)
	w.says(first, `"msg":"started"`, 1)
	second := w.start(`["/probe","look"]`)
	w.ends(second, 75)
	log, err := docker("logs", second)
	if err != nil || strings.Contains(log, `"msg":"started"`) || !strings.Contains(log, "already_claimed") {
		t.Errorf("its log: %s, %v", log, err)
	}
	w.wants(project.Running, "")
}
