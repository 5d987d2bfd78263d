package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"rekindle/internal/dynalite"
	"rekindle/internal/dynamo"
	"rekindle/internal/dynamo/schema"
	"rekindle/internal/template"
)

// startWithin is how long the services may take to be there. moto's first
// answers take seconds.
const startWithin = 2 * time.Minute

// services are what functions in containers call.
type services struct {
	env      environment // with the ports that are served
	database *dynalite.Server
	moto     *moto
	doors    []*door
}

// start starts the services on an address, at the ports that env names; 0 is any
// free one. Ctx bounds the start alone.
func start(ctx context.Context, address string, env environment) (s *services, err error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	s = &services{env: environment{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for name, v := range env {
		s.env[name] = v
	}
	if s.database, err = dynalite.Start(ctx, ""); err != nil {
		return s, err
	}
	if s.moto, err = startMoto(ctx, s.env); err != nil {
		return s, err
	}
	for service, at := range map[string]string{"DYNAMODB": s.database.Endpoint(), "BATCH": s.moto.url, "S3": s.moto.url} {
		port, err := s.env.port(service)
		if err != nil {
			return s, err
		}
		d, err := open(net.JoinHostPort(address, port), strings.TrimPrefix(at, "http://"))
		if err != nil {
			return s, err
		}
		s.doors = append(s.doors, d)
		if err := s.env.setPort(service, d.listener.Addr()); err != nil {
			return s, err
		}
	}
	return s, s.seed(ctx)
}

// Close ends the services, and waits for their end.
func (s *services) Close() error {
	var failures []error
	for _, d := range s.doors {
		failures = append(failures, d.Close())
	}
	if s.moto != nil {
		failures = append(failures, s.moto.Close())
	}
	if s.database != nil {
		failures = append(failures, s.database.Close())
	}
	return errors.Join(failures...)
}

// store opens the database from outside the containers.
func (s *services) store() (*dynamo.Store, error) {
	db, err := dynamo.ClientFromEnv(s.lookup)
	if err != nil {
		return nil, err
	}
	return dynamo.New(db, dynamo.Tables{Projects: "ProjectsTable", Tenants: "TenantsTable", Sessions: "SessionsTable", Sweeps: "SweepsTable"}), nil
}

// lookup is the environment of a client outside the containers. Region and
// credentials are those that `sam local` gives the functions where the shell
// has none.
func (s *services) lookup(name string) (string, bool) {
	v, ok := map[string]string{
		"AWS_REGION": region, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		dynamo.EndpointSetting: s.database.Endpoint(),
	}[name]
	return v, ok
}

// seed makes the tables under the names that `sam local` gives the functions,
// their logical ids, and puts the data in.
func (s *services) seed(ctx context.Context) error {
	db, err := dynamo.ClientFromEnv(s.lookup)
	if err != nil {
		return err
	}
	tmpl, err := template.Open("template.yaml", nil)
	if err != nil {
		return err
	}
	for _, t := range tmpl.Tables {
		if err := schema.Create(ctx, db, t, t.LogicalID); err != nil {
			return err
		}
	}
	store, err := s.store()
	if err != nil {
		return err
	}
	return seed(ctx, store, s.env["HASHING_SECRET"], time.Now().UTC())
}

// door leads whoever connects to it on to another address. dynalite and moto
// listen on 127.0.0.1, which containers can't reach.
type door struct {
	listener net.Listener
	to       string

	mu   sync.Mutex
	open map[net.Conn]bool // nil once closed
	done sync.WaitGroup
}

func open(at, to string) (*door, error) {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return nil, fmt.Errorf("can't serve containers: %w", err)
	}
	d := &door{listener: l, to: to, open: map[net.Conn]bool{}}
	d.done.Go(d.serve)
	return d, nil
}

func (d *door) serve() {
	for {
		in, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.done.Go(func() { d.pass(in) })
	}
}

// pass copies both ways until either side is done.
func (d *door) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", d.to)
	if err != nil {
		return
	}
	defer out.Close()
	if !d.keep(in, out) {
		return
	}
	defer d.forget(in, out)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = in.Close()
			_ = out.Close()
		})
	}
	both.Wait()
}

func (d *door) keep(conns ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		return false
	}
	for _, c := range conns {
		d.open[c] = true
	}
	return true
}

func (d *door) forget(conns ...net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range conns {
		delete(d.open, c)
	}
}

// Close cuts every connection.
func (d *door) Close() error {
	err := d.listener.Close()
	d.mu.Lock()
	for c := range d.open {
		_ = c.Close()
	}
	d.open = nil
	d.mu.Unlock()
	d.done.Wait()
	return err
}
