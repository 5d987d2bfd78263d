package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"rekindle/internal/awsenv"
	"rekindle/internal/project"
	"rekindle/internal/template"
)

// facts is what the model takes from the project, so that no number of it is
// written twice.
type facts struct {
	// Of the code.
	shards      int // of the index of running projects
	attempts    int // that the SDK makes of one call
	pageSize    int // entries that one query of the sweep reads
	stops       int // jobs that the sweep stops at once
	shares      int // fair-share identifiers that tenants are spread over
	maxProjects int // of a tenant

	// Of template.yaml, with its parameters' defaults.
	heartbeat  time.Duration // between two of a running project
	limit      time.Duration // after which the sweep fails an execution
	sweepEvery time.Duration
	sweepTime  time.Duration // that one sweep may take
	sweepMB    int
	lambdaMB   int // of a function that answers calls
	vcpu, gb   float64
	maxVCPUs   float64
	local      template.Index // created-at
	global     template.Index // status-started-at
	routes     map[string]throttle
	paths      []string // of all routes, with their methods
	otherRoute throttle
	count      map[string]int // resources by type, without those of the portal
	addresses  int            // of the subnets that the stack makes
	callRate   int            // calls a second that all routes let through together
	tracing    bool           // whether X-Ray samples calls
	logDays    int
	outputDays int

	// Of the portal.
	pollEvery time.Duration // while a running project is watched
}

// throttle is what API Gateway lets through of a route.
type throttle struct{ rate, burst int }

// Routes that the model asks for.
const (
	routeRun       = "POST /api/tenant/projects/{project_id}/run"
	routeRestart   = "POST /api/tenant/projects/{project_id}/restart"
	routeStatus    = "GET /api/tenant/projects/{project_id}/status"
	routeHeartbeat = "POST /api/worker/executions/{execution_id}/heartbeat"
	routeMail      = "POST /api/tenant/auth/otp/request"
)

// readFacts reads them from the project at root.
func readFacts(root string) (*facts, error) {
	f := &facts{
		shards: project.Shards, attempts: awsenv.MaxAttempts, maxProjects: project.MaxProjects,
		routes: map[string]throttle{}, count: map[string]int{},
	}
	for _, c := range []struct {
		file, name string
		to         *int
	}{
		{"internal/dynamo/stale.go", "pageSize", &f.pageSize},
		{"internal/sweep/sweep.go", "stops", &f.stops},
		{"internal/launch/batch.go", "shareBuckets", &f.shares},
	} {
		n, err := constant(filepath.Join(root, filepath.FromSlash(c.file)), c.name)
		if err != nil {
			return nil, err
		}
		*c.to = n
	}
	var err error
	if f.pollEvery, err = fastestPoll(filepath.Join(root, "portal", "src", "lib", "polling.ts")); err != nil {
		return nil, err
	}
	path := filepath.Join(root, "template.yaml")
	if err := f.readTemplate(path); err != nil {
		return nil, err
	}
	return f, f.readYAML(path)
}

// constant returns a whole number that a Go file declares.
func constant(file, name string) (int, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return 0, err
	}
	for _, d := range parsed.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			continue
		}
		for _, s := range decl.Specs {
			spec := s.(*ast.ValueSpec)
			for i, id := range spec.Names {
				if id.Name != name || i >= len(spec.Values) {
					continue
				}
				if lit, ok := spec.Values[i].(*ast.BasicLit); ok && lit.Kind == token.INT {
					return strconv.Atoi(lit.Value)
				}
			}
		}
	}
	return 0, fmt.Errorf("%s declares no whole number %s", file, name)
}

var fastest = regexp.MustCompile(`(?m)^export const fastest = ([0-9_]+);$`)

// fastestPoll returns how often the portal asks at most.
func fastestPoll(file string) (time.Duration, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	found := fastest.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("%s exports no constant fastest", file)
	}
	ms, err := strconv.Atoi(strings.ReplaceAll(string(found[1]), "_", ""))
	return time.Duration(ms) * time.Millisecond, err
}

// readTemplate reads what the functions and tables are given.
func (f *facts) readTemplate(path string) error {
	t, err := template.Open(path, nil)
	if err != nil {
		return err
	}
	seconds := func(function, variable string, unit time.Duration) (time.Duration, error) {
		for _, fn := range t.Functions {
			if fn.LogicalID == function {
				n, err := strconv.ParseFloat(fn.Environment[variable], 64)
				if err != nil || n <= 0 {
					return 0, fmt.Errorf("%s: %s of %s is %q, no number above 0", path, variable, function, fn.Environment[variable])
				}
				return time.Duration(n * float64(unit)), nil
			}
		}
		return 0, fmt.Errorf("%s has no function %s", path, function)
	}
	if f.heartbeat, err = seconds("WorkerFunction", "PROJECT_HEARTBEAT_SECONDS", time.Second); err != nil {
		return err
	}
	if f.limit, err = seconds("CleanupFunction", project.TimeoutSetting, time.Hour); err != nil {
		return err
	}
	for _, fn := range t.Functions {
		switch fn.LogicalID {
		case "CleanupFunction":
			f.sweepTime, f.sweepMB = fn.Timeout, fn.MemoryMB
		case "WorkerFunction":
			f.lambdaMB = fn.MemoryMB
		}
	}
	for _, r := range t.Routes {
		f.paths = append(f.paths, r.Method+" "+r.Path)
	}
	for _, s := range t.Schedules {
		if s.Function == "CleanupFunction" {
			f.sweepEvery = s.Every
		}
	}
	for _, table := range t.Tables {
		for _, index := range table.Indexes {
			if table.LogicalID == "ProjectsTable" && index.Global {
				f.global = index
			} else if table.LogicalID == "ProjectsTable" {
				f.local = index
			}
		}
	}
	if f.sweepTime == 0 || f.sweepEvery == 0 || f.lambdaMB == 0 || f.global.Name == "" || f.local.Name == "" {
		return fmt.Errorf("%s: no sweep, schedule, worker or index of projects was found in it", path)
	}
	return nil
}

// deployed is what AWS alone is told: the local stack does not read it, and
// neither does the package template. It is decoded without YAML's tags.
type deployed struct {
	Parameters map[string]struct {
		Default any `yaml:"Default"`
	} `yaml:"Parameters"`
	Resources map[string]struct {
		Type       string `yaml:"Type"`
		Condition  string `yaml:"Condition"`
		Properties struct {
			Other  routeSettings            `yaml:"DefaultRouteSettings"`
			Routes map[string]routeSettings `yaml:"RouteSettings"`
			CIDR   string                   `yaml:"CidrBlock"`
		} `yaml:"Properties"`
	} `yaml:"Resources"`
}

type routeSettings struct {
	Rate  int `yaml:"ThrottlingRateLimit"`
	Burst int `yaml:"ThrottlingBurstLimit"`
}

func (f *facts) readYAML(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var d deployed
	if err := yaml.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f.tracing = d.Parameters["Tracing"].Default == "Active"
	for _, r := range d.Resources {
		if r.Condition != "HasPortal" {
			f.count[r.Type]++
		}
		if r.Type == "AWS::EC2::Subnet" {
			network, err := netip.ParsePrefix(r.Properties.CIDR)
			if err != nil {
				return fmt.Errorf("%s: the addresses of a subnet: %w", path, err)
			}
			f.addresses += 1<<(32-network.Bits()) - 5 // AWS keeps five
		}
		if r.Type != "AWS::Serverless::HttpApi" {
			continue
		}
		f.otherRoute = throttle{r.Properties.Other.Rate, r.Properties.Other.Burst}
		for route, s := range r.Properties.Routes {
			f.routes[route] = throttle{s.Rate, s.Burst}
		}
	}
	for _, route := range []string{routeRun, routeRestart, routeStatus, routeHeartbeat, routeMail} {
		if f.routes[route].rate == 0 || f.routes[route].burst == 0 {
			return fmt.Errorf("%s has no throttle for %s", path, route)
		}
	}
	var logDays, outputDays, mb float64
	for name, to := range map[string]*float64{
		"RunnerVcpu": &f.vcpu, "RunnerMemory": &mb, "MaxVcpus": &f.maxVCPUs, "LogRetentionDays": &logDays, "OutputRetentionDays": &outputDays,
	} {
		n, err := strconv.ParseFloat(fmt.Sprint(d.Parameters[name].Default), 64)
		if err != nil || n <= 0 {
			return fmt.Errorf("%s: the default of %s is %v, no number above 0", path, name, d.Parameters[name].Default)
		}
		*to = n
	}
	for _, r := range f.paths {
		rate := f.otherRoute.rate
		if own, has := f.routes[r]; has {
			rate = own.rate
		}
		f.callRate += rate
	}
	f.gb, f.logDays, f.outputDays = mb/1024, int(logDays), int(outputDays)
	return nil
}
