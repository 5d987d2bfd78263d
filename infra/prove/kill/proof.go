//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"rekindle/infra/prove/rig"
	"rekindle/internal/project"
)

const (
	tenant  = "proof"
	session = tenant + ".kill-proof-session"

	// settleWithin is how long a project may take to come to rest once the stack
	// serves. A launch that was lost is made again only after 15 seconds.
	settleWithin = 2 * time.Minute
	// lookEvery is the pace of looking at what gives no signal: the API and
	// /proc.
	lookEvery = 50 * time.Millisecond
	// askEvery is the pace of a start that is asked for again.
	askEvery = time.Second
	// goneWithin is how long processes and records of what has ended may last.
	goneWithin = 20 * time.Second
)

// proof is a stack, what was asked of it, and what was found wrong.
type proof struct {
	home    string // of everything; every process of the proof names it
	config  rig.Config
	stack   *rig.Stack
	client  *rig.Client
	hub     *hub
	ctl     string
	codes   []string
	journal journal
	mayEnd  bool // the stack may end by itself, and is started again
}

// newProof builds a stack in home and starts it.
func newProof(ctx context.Context, home string) (*proof, error) {
	for _, folder := range []string{"bin", "data", "locks", "tmp"} {
		if err := os.MkdirAll(filepath.Join(home, folder), 0o755); err != nil {
			return nil, err
		}
	}
	programs, err := rig.Build(ctx, filepath.Join(home, "bin"))
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command, err := json.Marshal([]string{self, commandName, home})
	if err != nil {
		return nil, err
	}
	seed, err := json.Marshal(map[string]any{"tenants": []any{map[string]any{
		"tenant_id": tenant, "name": "Proof", "slug": tenant, "email": "proof@example.com",
		"subscription_state": project.Active, "session_token": session,
	}}})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(home, "seed.json"), seed, 0o600); err != nil {
		return nil, err
	}
	address, err := rig.FreeAddress()
	if err != nil {
		return nil, err
	}
	p := &proof{home: home, ctl: programs.Ctl, journal: journal{}, config: rig.Config{
		Program: programs.Stack, Listen: address, Data: filepath.Join(home, "data"), Seed: filepath.Join(home, "seed.json"),
		// A killed runner leaves its temporary folder: in this proof's own.
		Environ: []string{"PROJECT_COMMAND=" + string(command), "PROJECT_HEARTBEAT_SECONDS=1", "TMPDIR=" + filepath.Join(home, "tmp")},
		LogFile: filepath.Join(home, "stack.log"),
	}}
	if p.hub, err = openHub(home); err != nil {
		return nil, err
	}
	p.client = rig.NewClient("http://"+address, 8)
	return p, p.start(ctx)
}

func (p *proof) start(ctx context.Context) (err error) {
	p.stack, err = rig.Start(ctx, p.config)
	return err
}

// revive starts the stack again once it has ended by itself.
func (p *proof) revive(ctx context.Context) error {
	if err := p.stack.AwaitEnd(); err != nil {
		return err
	}
	return p.start(ctx)
}

// end ends the stack and kills whatever else the proof has left.
func (p *proof) end() error {
	var err error
	if p.stack != nil && p.stack.Serves() {
		err = p.stack.Stop()
	}
	p.hub.close()
	for _, left := range rig.Naming(p.home) {
		kill(left.PID)
	}
	return err
}

// issue has the operator's command line issue activation codes.
func (p *proof) issue(ctx context.Context, n int) error {
	out, err := exec.CommandContext(ctx, p.ctl, "--local="+p.config.Data, "--json", "code", "issue", "--count", fmt.Sprint(n)).Output()
	if err != nil {
		return fmt.Errorf("issuing codes: %w", err)
	}
	var issued []struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal(out, &issued); err != nil {
		return fmt.Errorf("issuing codes: %w", err)
	}
	for _, c := range issued {
		p.codes = append(p.codes, c.Code)
	}
	return nil
}

// call makes a call that has to be answered with this status.
func (p *proof) call(ctx context.Context, want int, c rig.Call, out any) error {
	c.Session = session
	answer, err := p.client.Do(ctx, c)
	if err != nil {
		return err
	}
	if answer.Status != want {
		return fmt.Errorf("%s %s: got %d %s, want %d", c.Method, c.Path, answer.Status, answer.Body, want)
	}
	if out == nil {
		return nil
	}
	return answer.Into(out)
}

func path(id, what string) string { return "/api/tenant/projects/" + id + "/" + what }

// create creates a project that can be run.
func (p *proof) create(ctx context.Context, name string) (string, error) {
	var made struct {
		ProjectID string `json:"project_id"`
	}
	draft := map[string]string{"name": name, "description": "Of a proof", "objectives": "Work until told"}
	if err := p.call(ctx, http.StatusCreated, rig.Call{Method: http.MethodPost, Path: "/api/tenant/projects", Body: draft}, &made); err != nil {
		return "", err
	}
	p.journal[made.ProjectID] = &entry{}
	code := p.codes[0]
	p.codes = p.codes[1:]
	return made.ProjectID, p.call(ctx, http.StatusOK, rig.Call{
		Method: http.MethodPost, Path: path(made.ProjectID, "activation-code"), Body: map[string]string{"code": code},
	}, nil)
}

// ask runs or restarts a project, under a key that is kept until it is answered.
// It returns the execution that began, 0 where the answer was lost or the engine
// refused.
func (p *proof) ask(ctx context.Context, id, operation string) (int64, error) {
	e := p.journal[id]
	if e.open == nil {
		e.open = &start{operation: operation, key: project.NewToken()}
	}
	asked := e.open
	e.last = asked
	answer, err := p.client.Do(ctx, rig.Call{Method: http.MethodPost, Path: path(id, e.open.operation), Session: session, Key: e.open.key})
	if err != nil || answer.Status == http.StatusServiceUnavailable || answer.Status == http.StatusInternalServerError {
		return 0, nil // asked for again
	}
	switch answer.Status {
	case http.StatusOK:
		var began rig.Started
		if err := answer.Into(&began); err != nil {
			return 0, err
		}
		e.open = nil
		if asked.refused { // and could not be failed: now it was launched
			asked.refused = false
			e.refused--
		}
		if n := len(e.executions); n == 0 || e.executions[n-1] != began.ExecutionID {
			e.executions = append(e.executions, began.ExecutionID)
		}
		return began.ExecutionID, nil
	case http.StatusBadGateway:
		e.open = nil
		if !asked.refused {
			asked.refused = true
			e.refused++
		}
		return 0, nil
	}
	return 0, fmt.Errorf("%s %s: got %d %s", operation, id, answer.Status, answer.Body)
}

func (p *proof) status(ctx context.Context, id string) (rig.Status, error) {
	var s rig.Status
	err := p.call(ctx, http.StatusOK, rig.Call{Method: http.MethodGet, Path: path(id, "status")}, &s)
	return s, err
}

// settle waits until a project is at rest. It does what a tenant's program does:
// a start without an answer is sent again under the same key, and so is one whose
// execution nothing claims.
func (p *proof) settle(ctx context.Context, id string) (rig.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var asked time.Time
	e := p.journal[id]
	var s rig.Status
	for {
		if e.open != nil && time.Since(asked) > askEvery {
			asked = time.Now()
			if _, err := p.ask(ctx, id, e.open.operation); err != nil {
				return rig.Status{}, err
			}
		}
		now, err := p.status(ctx, id)
		if err != nil && p.mayEnd {
			if err := p.revive(ctx); err != nil {
				return s, err
			}
			continue
		}
		if err != nil && ctx.Err() == nil {
			return s, err
		}
		if err == nil {
			s = now
		}
		if err == nil && e.open == nil && s.Status != string(project.Running) {
			return s, nil
		}
		if e.open == nil && s.Status == string(project.Running) && s.ClaimedAt == "" && e.last != nil && time.Since(asked) > askEvery {
			e.open = e.last
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return s, fmt.Errorf("%s is still %s (claimed %q, attempt %d) after %s", id, s.Status, s.ClaimedAt, s.Attempt, settleWithin)
		}
	}
}

// check looks for whatever must not be, once everything is at rest.
func (p *proof) check(ctx context.Context, ids ...string) ([]string, error) {
	listed, err := p.client.List(ctx, session)
	if err != nil {
		return nil, err
	}
	statuses := map[string]rig.Status{}
	for _, id := range ids {
		if statuses[id], err = p.status(ctx, id); err != nil {
			return nil, err
		}
	}
	wrong := p.journal.disagreements(listed, statuses)
	for _, s := range listed { // what earlier rounds left stays as it was
		if _, now := statuses[s.ProjectID]; !now && s.Status == string(project.Running) {
			wrong = append(wrong, s.ProjectID+": it is running, and was at rest in an earlier round")
		}
	}
	wrong = append(wrong, p.twins()...)
	if left := p.awaitNone(ctx, p.orphans); len(left) > 0 {
		wrong = append(wrong, "processes are left: "+strings.Join(left, ", "))
	}
	if left := p.awaitNone(ctx, p.records); len(left) > 0 {
		wrong = append(wrong, "records of jobs are left: "+strings.Join(left, ", "))
	}
	return wrong, nil
}

// twins returns what was seen of two commands at once since it was last asked.
func (p *proof) twins() []string {
	fresh := p.hub.found()
	screams, err := os.ReadFile(screamsOf(p.home))
	switch {
	case err == nil:
		fresh = append(fresh, strings.Split(strings.TrimSpace(string(screams)), "\n")...)
		err = os.Remove(screamsOf(p.home))
	case errors.Is(err, os.ErrNotExist):
		err = nil
	}
	if err != nil {
		fresh = append(fresh, err.Error())
	}
	return fresh
}

// orphans returns the processes that belong neither to the stack nor to its
// database.
func (p *proof) orphans() []string {
	database, _ := p.stack.Database()
	var left []string
	for _, found := range rig.Naming(p.home) {
		if found.PID != p.stack.PID() && found.PID != database.PID {
			left = append(left, found.String())
		}
	}
	return left
}

// records returns the launcher's records of jobs that it has not forgotten.
func (p *proof) records() []string {
	entries, err := os.ReadDir(filepath.Join(p.config.Data, "jobs"))
	if err != nil {
		return []string{err.Error()}
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// awaitNone looks until nothing is found, and returns what is found in the end.
func (p *proof) awaitNone(ctx context.Context, find func() []string) []string {
	ctx, cancel := context.WithTimeout(ctx, goneWithin)
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		left := find()
		if len(left) == 0 {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return left
		}
	}
}
