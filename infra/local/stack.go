package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"rekindle/internal/dynalite"
	"rekindle/internal/dynamo"
	"rekindle/internal/dynamo/schema"
	"rekindle/internal/launch"
	"rekindle/internal/mail"
	"rekindle/internal/output"
	"rekindle/internal/project"
	"rekindle/internal/settings"
	"rekindle/internal/settle"
	"rekindle/internal/template"
	"rekindle/internal/token"
)

const (
	// startWithin is how long database and tables may take to be there.
	startWithin = time.Minute
	// stopWithin is how long the work of a stack that keeps nothing may take to
	// end, and drainWithin how long requests may, at shutdown.
	stopWithin  = 10 * time.Second
	drainWithin = 5 * time.Second
)

// serve runs the stack until ctx ends. It prints one line, "ready URL", to
// stdout once it serves.
func serve(ctx context.Context, o options, process settings.Lookup, stdout io.Writer, log *slog.Logger) (err error) {
	if o.now == nil {
		o.now = time.Now
	}
	// Whatever can be wrong with files, ports and folders comes first, before
	// anything is started.
	from, err := readDotEnv(filepath.Join(filepath.Dir(o.template), ".env"), process)
	if err != nil {
		return err
	}
	tmpl, err := template.Open(o.template, nil)
	if err != nil {
		return err
	}
	var seeds *seed
	if o.seed != "" {
		if seeds, err = readSeed(o.seed, o.now().UTC()); err != nil {
			return err
		}
	}
	data, release, err := openData(o.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("can't serve at %s: %w", o.listen, err)
	}
	defer listener.Close()
	url := "http://" + listener.Addr().String()

	secret, err := keptSecret(filepath.Join(data, "secret"))
	if err != nil {
		return err
	}
	hashing, err := keptSecret(filepath.Join(data, "hashing-secret"))
	if err != nil {
		return err
	}
	db, stopDB, err := startParts(ctx, o.data == "", data, from.lookup)
	if err != nil {
		return err
	}
	defer func() {
		if e := stopDB(); !errors.Is(err, e) { // one that ended by itself was told of
			err = errors.Join(err, e)
		}
	}()

	portal := filepath.Join(filepath.Dir(o.template), "portal", "dist")
	s := &localStack{template: tmpl, set: from.lookup, now: o.now, log: log, portal: portal, machine: machine{
		endpoint: db.endpoint, output: filepath.Join(data, "output"), secret: secret, hashing: hashing,
	}}
	if err := s.build(ctx, data, url); err != nil {
		return from.blame(err, o.template)
	}
	unpublish, err := s.publish(data, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unpublish()) }()
	if seeds != nil {
		hasher, err := project.NewHasher(hashing)
		if err != nil {
			return err
		}
		seeds.hashCodes(hasher)
		n, err := seeds.insert(ctx, s.store, o.now().UTC())
		if err != nil {
			return err
		}
		if n > 0 {
			log.Info("seeded", "file", o.seed, "inserted", n)
		}
	}
	return s.run(ctx, listener, url, stdout, db, o.data == "")
}

// openData makes the data folder and takes it. An empty name is a temporary
// folder, which release removes.
func openData(name string) (dir string, release func() error, err error) {
	if name == "" {
		if dir, err = os.MkdirTemp("", "rekindle-"); err != nil {
			return "", nil, fmt.Errorf("a temporary data folder: %w", err)
		}
		return dir, func() error { return os.RemoveAll(dir) }, nil
	}
	if dir, err = filepath.Abs(name); err != nil {
		return "", nil, fmt.Errorf("the data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("the data folder: %w", err)
	}
	release, err = lockData(dir)
	return dir, release, err
}

// keptSecret returns the secret in a file, and makes it at first.
func keptSecret(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret := project.NewToken() + project.NewToken()
		if err := writeWhole(path, []byte(secret)); err != nil {
			return "", fmt.Errorf("a secret of this stack: %w", err)
		}
		return secret, nil
	}
	if err != nil {
		return "", fmt.Errorf("a secret of this stack: %w", err)
	}
	return string(text), nil
}

// database is where the tables are. Done is closed if it ends by itself, and
// why says why.
type database struct {
	endpoint string
	done     <-chan struct{}
	why      func() error
}

// startParts starts the database and, beside it, builds the runner and the
// sample command.
func startParts(ctx context.Context, keepNothing bool, data string, set settings.Lookup) (database, func() error, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	built := make(chan error, 1)
	go func() { built <- buildPrograms(ctx, filepath.Join(data, "bin")) }()

	db, stop := database{}, func() error { return nil }
	var err error
	if endpoint, given := set(dynamo.EndpointSetting); given {
		if db.endpoint = endpoint; endpoint == "" {
			err = fmt.Errorf("%s is set but empty: unset it to use dynalite, or give a URL", dynamo.EndpointSetting)
		}
	} else {
		dir := ""
		if !keepNothing {
			dir = filepath.Join(data, "dynamodb")
		}
		var server *dynalite.Server
		if server, err = dynalite.Start(ctx, dir); err == nil {
			db, stop = database{server.Endpoint(), server.Done(), server.Err}, server.Close
		}
	}
	if err = errors.Join(err, <-built); err != nil {
		return db, nil, errors.Join(err, stop())
	}
	return db, stop, nil
}

// buildPrograms builds the runner and the sample command into dir.
func buildPrograms(ctx context.Context, dir string) error {
	var wg sync.WaitGroup
	failures := make([]error, 2)
	for i, name := range []string{"runner", "sample"} {
		wg.Go(func() {
			cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "rekindle-"+name), "./infra/"+name)
			if out, err := cmd.CombinedOutput(); err != nil {
				failures[i] = fmt.Errorf("building ./infra/%s: %w: %s", name, err, strings.TrimSpace(string(out)))
			}
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

// localStack is the template, built on this machine.
type localStack struct {
	template *template.Template
	set      settings.Lookup
	now      func() time.Time
	machine  machine
	portal   string // the folder of the built portal
	log      *slog.Logger

	tables    dynamo.Tables
	store     *dynamo.Store
	engine    *launch.Local
	outputs   *output.Local
	functions map[string]*function
}

// build makes the tables, the engine, the outputs and the functions.
func (s *localStack) build(ctx context.Context, data, url string) error {
	command, err := s.command()
	if err != nil {
		return err
	}
	if err := s.makeTables(ctx); err != nil {
		return err
	}
	keys, err := token.NewKeyring(s.machine.secret)
	if err != nil {
		return err
	}
	var settler *settle.Settler
	s.engine, err = launch.NewLocal(launch.LocalConfig{
		Runner: filepath.Join(data, "bin", "rekindle-runner"), DataDir: data, APIURL: url, Command: command, Keys: keys,
		OnEnd: func(ctx context.Context, end launch.JobEnd) error { return settler.JobEnded(ctx, end) },
		Log:   s.log,
	})
	if err != nil {
		return err
	}
	settler = settle.New(s.store, s.engine, s.now, s.log)
	hasher, err := project.NewHasher(s.machine.hashing)
	if err != nil {
		return err
	}
	s.outputs, err = output.NewLocal(output.LocalConfig{OutputDir: s.machine.output, DataDir: data, URL: url, Hasher: hasher, Now: s.now})
	if err != nil {
		return err
	}
	mailer := mail.NewLocal(filepath.Join(data, "mail"), os.Stderr, s.now)
	s.functions = make(map[string]*function, len(s.template.Functions))
	for _, f := range s.template.Functions {
		handler, err := buildHandler(f, environment(f, s.set, s.machine), s.engine, s.outputs, mailer, s.now, s.log)
		if err != nil {
			return err
		}
		s.functions[f.LogicalID] = &function{name: f.LogicalID, handler: handler, timeout: f.Timeout}
	}
	return nil
}

// command is PROJECT_COMMAND, which the template gives to the functions that
// launch.
func (s *localStack) command() (string, error) {
	for _, f := range s.template.Functions {
		if v, ok := environment(f, s.set, s.machine)("PROJECT_COMMAND"); ok && v != "" {
			return v, nil
		}
	}
	return "", &settings.Problem{Setting: "PROJECT_COMMAND", Err: errors.New("PROJECT_COMMAND is empty: it is what runs a project")}
}

// makeTables makes the template's tables where they are absent, and the store
// over them.
func (s *localStack) makeTables(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	client, err := dynamo.ClientFromEnv(environment(template.Function{}, s.set, s.machine))
	if err != nil {
		return err
	}
	tables := map[string]string{}
	for _, t := range s.template.Tables {
		if err := schema.Create(ctx, client, t, t.Name); err != nil {
			return err
		}
		tables[t.LogicalID] = t.Name
	}
	for _, id := range []string{"ProjectsTable", "TenantsTable", "SessionsTable", "SweepsTable"} {
		if tables[id] == "" {
			return fmt.Errorf("Resources.%s: the store needs this table", id)
		}
	}
	s.tables = dynamo.Tables{
		Projects: tables["ProjectsTable"], Tenants: tables["TenantsTable"], Sessions: tables["SessionsTable"], Sweeps: tables["SweepsTable"],
	}
	s.store = dynamo.New(client, s.tables)
	return nil
}

// run serves until ctx ends or the database does.
func (s *localStack) run(ctx context.Context, listener net.Listener, url string, stdout io.Writer, db database, stopWork bool) error {
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	server := &http.Server{
		Handler: withDownloads(s.outputs, withPortal(s.portal,
			newGateway(background, s.template.Routes, s.template.CORS, s.functions, s.log))),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    4 * maxHeaderBytes, // the gateway itself answers what is over its limit
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	// What was launched before this start: the dead are failed, the living
	// watched.
	if err := s.engine.Adopt(background); err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { runSchedules(background, s.template.Schedules, s.functions, realTicker, s.log) })
	fmt.Fprintln(stdout, "ready "+url)

	var err error
	select {
	case <-ctx.Done():
		s.log.Info("stopping")
	case <-db.done:
		err = fmt.Errorf("the database ended by itself: %w", db.why())
	case err = <-served:
		err = fmt.Errorf("serving: %w", err)
	}
	if stopWork {
		// Their runners report while the API still answers.
		stopping, cancel := context.WithTimeout(background, stopWithin)
		defer cancel()
		err = errors.Join(err, s.engine.StopAll(stopping))
	}
	drain, cancelDrain := context.WithTimeout(background, drainWithin)
	defer cancelDrain()
	if e := server.Shutdown(drain); e != nil {
		err = errors.Join(err, fmt.Errorf("ending the last requests: %w", e))
	}
	cancel()
	wg.Wait()
	return errors.Join(err, s.engine.Close())
}
