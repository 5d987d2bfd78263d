// Command rehearse deploys template.yaml to an emulator of AWS on this machine and
// drives the deployed stack through what tenants, runners, operators and AWS itself
// do with it. It is `make rehearse`, and part of continuous integration.
//
// What is real: the build that `sam build` makes; SAM's transform; CloudFormation's
// change sets, parameters, conditions, references and dynamic references; the built
// bootstraps, run by Lambda's runtime API with the environment that the stack gives
// them, behind an HTTP API's routes and aliases; the runner and rekindlectl; each
// role's policies, which the emulator enforces on every signed call and every
// presigned URL; DynamoDB, S3 and Secrets Manager.
//
// Between each function and AWS stands a recorder of its own. At the end, what a
// function called and what its policy allows are held against each other, action
// by action and resource by resource: a call that is not allowed fails the
// rehearsal, and so does a permission that nothing called. What the functions wrote
// to their logs is read as CloudWatch does: metrics, and whose each line is.
//
// What integrators hear is real from the stream to the bus's and the topic's
// queues, but for the pipe between stream and bus: the rehearsal plays it, by the
// template's filters and input template.
//
// What is not: AWS Batch is an engine of the rehearsal's own, for the emulator ends
// every job at once and can't stop one; mails end at the recorder, for the emulator
// judges them without their sender. Batch's resources and CodeDeploy's are left
// out of the deployed template, and each is printed. What the emulator stores and
// does not act on (backups, encryption, TTL, throttles, alarms, gradual
// deployments, retries) is asserted on the transformed template. No network is
// needed but for the packages that `make rehearse` installs.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

const (
	account   = "123456789012"
	region    = "eu-central-1"
	stackName = "rekindle-rehearsal"
	// accessKey is the emulator's own: it may do everything.
	accessKey = "test"
	sender    = "login@rekindle.example"
)

func main() {
	python := flag.String("python", ".venv/rehearse/bin/python", "Python with what requirements-rehearse.txt names")
	verbose := flag.Bool("v", false, "print every permission and how often it was used")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, expire := context.WithTimeout(ctx, 10*time.Minute) // a cold build cache takes most of it
	r := &rehearsal{python: *python, verbose: *verbose, began: time.Now()}
	r.run(ctx)
	r.close()
	expire()
	cancel()
	if len(r.problems) > 0 {
		fmt.Printf("\nThe rehearsal failed, with %d problems:\n", len(r.problems))
		for _, p := range r.problems {
			fmt.Println("-", p)
		}
		os.Exit(1)
	}
	fmt.Printf("\nThe rehearsal succeeded in %s.\n", time.Since(r.began).Round(time.Second))
}

type rehearsal struct {
	python   string
	verbose  bool
	began    time.Time
	problems []string
	folder   string // for logs and the operator's command line

	template  mapping // transformed
	cloud     *cloud
	recorders map[string]*recorder
	pipeCalls []call // of the pipe that is played
	stack     *deployed
	emulator  *exec.Cmd
	lifeline  func() error  // closes the emulator's standard input
	ended     chan struct{} // closed when it has ended
}

// deployed is what stack.py says of the stack.
type deployed struct {
	Status    string
	Failures  []string
	Notes     []string
	Outputs   map[string]string
	Secrets   map[string]string
	Resources map[string]struct{ Type, ID string }
	Functions map[string]struct {
		Name, ARN   string
		Environment map[string]string
		Policies    []rolePolicy
		Managed     []string
		Aliases     []string
	}
	PipePolicies []rolePolicy // of the pipe's role
}

// rolePolicy is one that a role has inline.
type rolePolicy struct {
	Name     string
	Document json.RawMessage
}

// problem keeps what is wrong; the rehearsal goes on where it can.
func (r *rehearsal) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// say prints a line about a step that is done.
func (r *rehearsal) say(format string, args ...any) {
	fmt.Printf("%5.1fs  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

func (r *rehearsal) run(ctx context.Context) {
	for _, step := range []func(context.Context) error{r.transform, r.build, r.start, r.deploy, r.journey, r.watch, r.judge} {
		if err := step(ctx); err != nil {
			r.problem("%v", err)
			return // there is nothing to go on with
		}
	}
}

// transform makes the template that CloudFormation gets, and checks it.
func (r *rehearsal) transform(ctx context.Context) error {
	var err error
	if r.template, err = r.transformed(ctx, firstRevision); err != nil {
		return err
	}
	r.say("SAM transforms template.yaml into %d resources", len(resourcesOf(r.template)))
	checks := checkTransformed(r.template)
	r.problems = append(r.problems, checks.problems...)
	r.say("the transformed template is checked: %d assertions, %d failed", checks.count, len(checks.problems))
	wrong := checkChecks(r.template, checks)
	r.problems = append(r.problems, wrong...)
	r.say("the checks see what is broken on purpose: %d ways, %d unseen", len(breakages), len(wrong))
	return nil
}

// The revisions that are deployed, as `make deploy` names them.
const firstRevision, secondRevision = "0000000001", "0000000002"

func (r *rehearsal) transformed(ctx context.Context, revision string) (t mapping, err error) {
	out, err := r.stackPy(ctx, nil, "transform", "template.yaml", revision)
	if err == nil {
		err = json.Unmarshal(out, &t)
	}
	if err != nil {
		return nil, fmt.Errorf("SAM's transform: %w", err)
	}
	return t, nil
}

// build builds the functions as `sam build` does: by the makefile that their
// ContextPath names, each into a folder of its own.
func (r *rehearsal) build(ctx context.Context) error {
	var err error
	if r.folder, err = os.MkdirTemp("", "rehearse-"); err != nil {
		return err
	}
	functions := ofType(r.template, "AWS::Lambda::Function")
	for _, id := range functions {
		folder := r.artefacts(id)
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
		c := exec.CommandContext(ctx, "make", "--makefile", "infra/sam/"+architecture()+"/Makefile", "build-"+id)
		c.Env = append(os.Environ(), "ARTIFACTS_DIR="+folder)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w: %s", id, err, out)
		}
	}
	r.say("%d functions are built for %s, as sam build does", len(functions), architecture())
	return nil
}

func (r *rehearsal) artefacts(function string) string { return filepath.Join(r.folder, function) }

// architecture is this machine's processor, as SAM names it.
func architecture() string {
	if runtime.GOARCH == "amd64" {
		return "x86_64"
	}
	return runtime.GOARCH
}

// stackPy runs stack.py to its end.
func (r *rehearsal) stackPy(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, r.python, append([]string{"infra/rehearse/stack.py"}, args...)...)
	var stderr bytes.Buffer
	c.Stdin, c.Stderr = bytes.NewReader(stdin), &stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// start starts the emulator, and a recorder for each function.
func (r *rehearsal) start(ctx context.Context) error {
	// A port is free until somebody takes it; the emulator can't be told to pick
	// its own.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	log, err := os.Create(filepath.Join(r.folder, "emulator.log"))
	if err != nil {
		return err
	}
	c := exec.Command(r.python, "infra/rehearse/stack.py", "serve", port, account, region)
	c.Stdout, c.Stderr = log, log
	c.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") }), "TMPDIR="+r.folder)
	stdin, err := c.StdinPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("starting the emulator: %w", err)
	}
	r.emulator, r.lifeline, r.ended = c, stdin.Close, make(chan struct{})
	go func() {
		c.Wait() //nolint:errcheck // its log says more
		close(r.ended)
	}()
	base := &url.URL{Scheme: "http", Host: "127.0.0.1:" + port}
	for {
		resp, err := http.Get(base.String() + "/_ministack/health")
		if err == nil {
			resp.Body.Close()
			break
		}
		select {
		case <-r.ended:
			return fmt.Errorf("the emulator ended: %s: %s", c.ProcessState, r.emulatorLog())
		case <-ctx.Done():
			return fmt.Errorf("the emulator does not serve: %w: %s", ctx.Err(), r.emulatorLog())
		case <-time.After(50 * time.Millisecond):
		}
	}
	r.cloud = &cloud{account: account, region: region, emulator: base, engine: &engine{}, mails: &mailbox{}}
	r.recorders = map[string]*recorder{}
	for _, id := range ofType(r.template, "AWS::Lambda::Function") {
		if r.recorders[id], err = record(id, r.cloud); err != nil {
			return err
		}
	}
	r.say("the emulator serves, with %d recorders between it and the functions", len(r.recorders))
	return nil
}

// emulatorLog is the end of the emulator's log.
func (r *rehearsal) emulatorLog() string {
	text, err := os.ReadFile(filepath.Join(r.folder, "emulator.log"))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2000):]))
}

func (r *rehearsal) close() {
	if r.lifeline != nil {
		http.DefaultClient.CloseIdleConnections()
		r.lifeline() //nolint:errcheck // it has ended
		select {
		case <-r.ended:
		case <-time.After(20 * time.Second):
			r.problem("the emulator does not end, and is killed")
			r.emulator.Process.Kill() //nolint:errcheck // as above
		}
		r.say("the emulator has ended: %s", r.emulator.ProcessState)
	}
	for _, rec := range r.recorders {
		rec.server.Close()
	}
	if r.folder != "" {
		os.RemoveAll(r.folder)
	}
}

// deploy packages the functions and deploys the stack.
func (r *rehearsal) deploy(ctx context.Context) error {
	d, err := r.execute(ctx, "CREATE", r.template, nil)
	if err != nil {
		return err
	}
	for _, n := range d.Notes {
		r.say("%s", n)
	}
	r.stack = d
	r.cloud.engine.queue, r.cloud.engine.definition = d.standIn("AWS::Batch::JobQueue", r.template), strings.TrimSuffix(d.standIn("AWS::Batch::JobDefinition", r.template), ":1")
	r.say("the change set is executed: %d resources, %s", len(d.Resources), d.Status)
	r.checkEnvironments()
	return nil
}

// execute makes a change set, to create or update the stack, and executes it.
func (r *rehearsal) execute(ctx context.Context, kind string, template mapping, parameters map[string]string) (*deployed, error) {
	artefacts, endpoints := map[string]string{}, map[string]string{}
	for id, rec := range r.recorders {
		artefacts[id], endpoints[id] = filepath.Join(r.artefacts(id), "bootstrap"), rec.url
	}
	const elsewhere = "http://recorder.invalid" // each function's own replaces it
	all := map[string]string{
		"Architecture": architecture(), "OtpSender": sender, "AlarmEmail": "ops@rekindle.example", "PortalEnabled": "true",
		"DynamoDBEndpoint": elsewhere, "BatchEndpoint": elsewhere, "S3Endpoint": elsewhere, "Revision": firstRevision,
	}
	maps.Copy(all, parameters)
	plan, err := json.Marshal(map[string]any{
		"endpoint": r.cloud.emulator.String(), "region": region, "access_key": accessKey, "stack": stackName, "kind": kind,
		"template": template, "artefacts": artefacts, "endpoints": endpoints, "parameters": all,
	})
	if err != nil {
		return nil, err
	}
	out, err := r.stackPy(ctx, plan, "deploy")
	if err != nil {
		return nil, fmt.Errorf("the deployment: %w; the emulator says: %s", err, r.emulatorLog())
	}
	var d deployed
	if err := json.Unmarshal(out, &d); err != nil {
		return nil, fmt.Errorf("the deployment: %w", err)
	}
	if d.Status != kind+"_COMPLETE" || len(d.Failures) > 0 {
		return nil, fmt.Errorf("the stack is %s: %s: mend template.yaml, or, where the emulator is at fault, leave the type out in infra/rehearse/stack.py", d.Status, strings.Join(d.Failures, "; "))
	}
	return &d, nil
}

// standIn is the ARN that stands in for the one resource of a type that is left
// out.
func (d *deployed) standIn(kind string, template mapping) string {
	for _, id := range ofType(template, kind) {
		return d.Outputs["StandIn"+id]
	}
	return ""
}

// judge holds what the functions called against what they may.
func (r *rehearsal) judge(context.Context) error {
	var rows []row
	for _, id := range slices.Sorted(maps.Keys(r.stack.Functions)) {
		var policies []statement
		for _, p := range r.stack.Functions[id].Policies {
			s, err := readPolicy(p.Name, p.Document)
			if err != nil {
				return err
			}
			policies = append(policies, s...)
		}
		calls := r.recorders[id].take()
		r.problems = append(r.problems, checkJudgement(id, policies, calls)...)
		found := compare(id, policies, calls)
		for i := range found {
			found[i].Problem = r.short(found[i].Problem)
		}
		rows = append(rows, found...)
		for _, d := range r.recorders[id].denied {
			r.problems = append(r.problems, r.short(d))
		}
		for _, m := range r.stack.Functions[id].Managed {
			if m != "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole" {
				r.problem("%s has the managed policy %s: nothing holds it against what is called; give the function a policy of its own", id, m)
			}
		}
	}
	var policies []statement
	for _, p := range r.stack.PipePolicies {
		s, err := readPolicy(p.Name, p.Document)
		if err != nil {
			return err
		}
		policies = append(policies, s...)
	}
	r.problems = append(r.problems, checkJudgement("EventsPipe", policies, r.pipeCalls)...)
	rows = append(rows, compare("EventsPipe", policies, r.pipeCalls)...)
	used, exempted := 0, 0
	for _, row := range rows {
		switch {
		case row.Problem != "":
			r.problems = append(r.problems, row.Problem)
		case row.Calls == 0:
			exempted++
		default:
			used++
		}
	}
	r.say("permissions of %d functions and the pipe: %d used, %d exempt, %d wrong", len(r.stack.Functions), used, exempted, len(rows)-used-exempted)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "function\taction\tresource\tcalls\tnote")
	for _, row := range rows {
		note := cmp.Or(row.Note, row.Sid)
		if row.Problem != "" {
			note = "WRONG"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", row.Function, row.Action, r.short(row.Resource), row.Calls, note)
	}
	if r.verbose || used+exempted < len(rows) {
		w.Flush()
	}
	fmt.Println("Not held against calls: AWSLambdaBasicExecutionRole, by which Lambda itself writes each function's log.")
	return nil
}

// short names a resource of the stack as the template does.
func (r *rehearsal) short(arn string) string {
	for id, res := range r.stack.Resources {
		if res.Type == "AWS::DynamoDB::Table" || res.Type == "AWS::S3::Bucket" || res.Type == "AWS::SQS::Queue" {
			arn = strings.ReplaceAll(arn, filepath.Base(res.ID), id)
		}
	}
	return strings.NewReplacer("arn:aws:", "", region+":", "", account+":", "", stackName+"-", "").Replace(arn)
}
