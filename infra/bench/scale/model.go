package main

import (
	"fmt"
	"slices"

	"rekindle/internal/template"
)

// model is what the tables are worked out of.
type model struct {
	facts   *facts
	sizes   []size
	updates updates

	// What a typical project's writes cost.
	start, claim, quiet, news, end units
	listEntry                      int // bytes of its entry in the local index
}

func newModel(root string) (*model, error) {
	f, err := readFacts(root)
	if err != nil {
		return nil, err
	}
	m := &model{facts: f}
	if m.sizes, err = sizes(f); err != nil {
		return nil, fmt.Errorf("making projects: %w", err)
	}
	if m.updates, err = readUpdates(); err != nil {
		return nil, fmt.Errorf("asking the store for its updates: %w", err)
	}
	for _, c := range []struct {
		changed []string
		to      *units
	}{{m.updates.start, &m.start}, {m.updates.claim, &m.claim}, {m.updates.quiet, &m.quiet}, {m.updates.news, &m.news}, {m.updates.end, &m.end}} {
		if *c.to, err = m.sizes[typical].update(f.local, f.global, c.changed); err != nil {
			return nil, err
		}
	}
	m.listEntry, err = m.sizes[typical].entry(f.local)
	return m, err
}

// entry returns the size of the item's entry in an index, in bytes.
func (s size) entry(index template.Index) (int, error) {
	entry, _ := projected(s.attributes, projects, index)
	return bytesOf(entry)
}

// unitsPerRun is what a run of so many hours costs the table, from its start to
// its end, with its heartbeats.
func (m *model) unitsPerRun(hours float64) float64 {
	beats := hours * 3600 / m.facts.heartbeat.Seconds()
	return float64(m.start.all()+m.claim.all()+m.end.all()) + beats*m.beatUnits()
}

// beatUnits is what a heartbeat costs the table, on average.
func (m *model) beatUnits() float64 {
	return (float64(m.quiet.all())*(newsEach-1) + float64(m.news.all())) / newsEach
}

// limit is what stops the starts at some rate.
type limit struct {
	name, what string
	starts     float64 // a second
	turn       string
}

// limits are those of a stack as it is deployed, in an account whose quotas are
// as AWS gives them, the lowest first.
func (m *model) limits() []limit {
	f := m.facts
	seconds := runHours * 3600
	beats := f.routes[routeHeartbeat].rate
	run := f.routes[routeRun].rate + f.routes[routeRestart].rate
	all := []limit{
		{"vCPUs of a new account", fmt.Sprintf("%d running at %g vCPU", int(fargateQuota/f.vcpu), f.vcpu), fargateQuota / f.vcpu / seconds, "raise the quota *Fargate On-Demand vCPU resource count*"},
		{"`MaxVcpus`", fmt.Sprintf("%d running", int(f.maxVCPUs/f.vcpu)), f.maxVCPUs / f.vcpu / seconds, "the parameter `MaxVcpus`"},
		{"addresses of the stack's own subnets", fmt.Sprintf("%s running", commas(int64(f.addresses))), float64(f.addresses) / seconds, "`SubnetIds`"},
		{"the heartbeats' throttle", fmt.Sprintf("%d a second, so %s running", beats, thousands(float64(beats)*f.heartbeat.Seconds())), float64(beats) * f.heartbeat.Seconds() / seconds, "`ProjectHeartbeatSeconds` up, or the route's `ThrottlingRateLimit`"},
		{"Fargate's launches", fmt.Sprintf("%d a second, %d at once", fargateLaunches, fargateBurst), fargateLaunches, "ask AWS; another account or region"},
		{"the API's throttle of run and restart", fmt.Sprintf("%d and %d a second", f.routes[routeRun].rate, f.routes[routeRestart].rate), float64(run), "the routes' `ThrottlingRateLimit`; not above the next line"},
		{"Batch's SubmitJob", fmt.Sprintf("%d a second", batchCalls), batchCalls, "fixed: another account or region"},
		{"a new table's write units", fmt.Sprintf("%s a second, at %s a run", thousands(newTableUnits), thousands(m.unitsPerRun(runHours))), newTableUnits / m.unitsPerRun(runHours), "nothing: the table grows to twice its last peak, within half an hour"},
		{"a table's quota of write units", fmt.Sprintf("%s a second", thousands(tableUnits)), tableUnits / m.unitsPerRun(runHours), "raise the quota; fewer heartbeats"},
		{fmt.Sprintf("the sweep's index, %d shards", f.shards), fmt.Sprintf("%s writes a second each, two a run", thousands(partitionUnits)), float64(f.shards) * partitionUnits / float64(m.start.global+m.end.global), "`project.Shards`"},
	}
	slices.SortStableFunc(all, func(a, b limit) int {
		switch {
		case a.starts < b.starts:
			return -1
		case a.starts > b.starts:
			return 1
		}
		return 0
	})
	return all
}

// Quotas of AWS that the limits name.
const (
	// https://docs.aws.amazon.com/general/latest/gr/ecs-service.html
	fargateQuota = 6
	// https://docs.aws.amazon.com/AmazonECS/latest/userguide/throttling.html
	fargateLaunches = 20
	fargateBurst    = 100
)
