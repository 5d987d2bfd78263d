package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rekindle/internal/dynamo/dynamotest"
)

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-9*math.Max(1, math.Abs(want)) }

func TestPricesAreThoseOfTheDeploymentPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(dynamotest.Root(t), "docs", "deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		fmt.Sprintf("| a vCPU | %g |", fargateVCPU.usd), fmt.Sprintf("| a GB of memory | %g |", fargateGB.usd),
		fmt.Sprintf("| a GB of disk above 20 | %g |", fargateDisk.usd), fmt.Sprintf("| its public IPv4 address | %g |", publicIPv4.usd),
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("docs/deploy.md has no line %q", line)
		}
	}
}

func TestEachPriceHasItsUnitAndPage(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range priceList {
		if p.usd <= 0 || p.per <= 0 || p.unit == "" || p.page == "" || seen[p.name] {
			t.Errorf("%+v", p)
		}
		seen[p.name] = true
	}
}

func TestJobsByHand(t *testing.T) {
	m := &model{facts: &facts{vcpu: 2, gb: 4}}
	onDemand, spot, addresses := m.jobs(tenantry{tenants: 3, runsADay: 24})
	hours := 3 * 24 * (365.0 / 12) * (0.5 + 1.0/60)
	if !near(onDemand, hours*(2*0.04048+4*0.004445+0.000111)) || !near(addresses, hours*0.005) {
		t.Errorf("%g hours: got %g on demand and %g for addresses", hours, onDemand, addresses)
	}
	if spot >= onDemand/2 || spot <= onDemand/4 {
		t.Errorf("got %g on Spot, of %g on demand", spot, onDemand)
	}
}

func TestMonthByHand(t *testing.T) {
	own, f := *theModel(t), *theModel(t).facts
	f.heartbeat, f.pollEvery = 30*time.Second, 2*time.Second
	m := &own
	m.facts = &f
	x := m.measure(tenantry{tenants: 12, runsADay: 10})
	runs := 12 * 10 * 365.0 / 12
	if !near(x.runs, runs) || !near(x.beats, 60*runs) || !near(x.logins, 12*2*365.0/12) {
		t.Errorf("got %g runs, %g heartbeats, %g logins", x.runs, x.beats, x.logins)
	}
	// A run is one start, a claim, a result, three calls of an upload and 60
	// heartbeats, and what people look at: the status each two seconds for two
	// minutes, four lists, and a quarter of a download.
	if want := runs*(1+1+1+3+60+60+4+0.25) + 2*x.logins; !near(x.calls, want) {
		t.Errorf("got %g calls, want %g", x.calls, want)
	}
	beat := (3*float64(m.quiet.all()) + float64(m.news.all())) / 4
	if want := runs*(float64(m.start.all()+m.claim.all()+m.end.all())+60*beat) + 6*x.logins; !near(x.writes, want) {
		t.Errorf("got %g write units, want %g", x.writes, want)
	}
	if got := m.unitsPerRun(0.5); !near(got, (x.writes-6*x.logins)/runs) {
		t.Errorf("a run costs %g units, and the month's %g each", got, (x.writes-6*x.logins)/runs)
	}
}

func TestBillGrowsWithUse(t *testing.T) {
	m := theModel(t)
	nobody := m.bill(tenantry{})
	for _, l := range nobody {
		fixed := strings.HasPrefix(l.name, "Alarms") || strings.HasPrefix(l.name, "Events")
		if l.usd > 0.05 && !fixed {
			t.Errorf("while nobody uses it, %s costs %g", l.name, l.usd)
		}
	}
	one, ten := m.bill(tenantry{"", 10, 10, 50}), m.bill(tenantry{"", 100, 10, 50})
	for i := range one {
		if grown := (ten[i].usd - nobody[i].usd) / (one[i].usd - nobody[i].usd); one[i].usd != nobody[i].usd && math.Abs(grown-10) > 0.01 {
			t.Errorf("%s: ten times the use costs %g times as much", one[i].name, grown)
		}
	}
	if total(one) <= total(nobody) || len(one) < 10 {
		t.Errorf("got %g dollars in %d lines, of %g while nobody uses it", total(one), len(one), total(nobody))
	}
}

func TestServersByHand(t *testing.T) {
	m := &model{facts: &facts{vcpu: 1}}
	// 96 runs of half an hour a day are two at once, and six at the peak.
	s := m.servers(tenantry{tenants: 1, runsADay: 96})
	each := 40*0.08 + 40*0.05 + 730*0.005
	if s.n != 2 || s.atPeak != 3 || !near(s.waiting, 730*0.0336+each) {
		t.Errorf("got %+v, want 2 servers, 3 at the peak, and one where jobs wait", s)
	}
	if want := 730*0.0168 + each + 3*(730*0.0725+each); !near(s.computingAtPeak, want) {
		t.Errorf("got %g dollars, want %g", s.computingAtPeak, want)
	}
	if s := m.servers(tenantry{}); s.n != 1 || s.atPeak != 1 {
		t.Errorf("for nobody: got %+v, want one", s)
	}
}

func TestLimitsComeLowestFirst(t *testing.T) {
	m := theModel(t)
	all := m.limits()
	for i, l := range all {
		if l.starts <= 0 || l.turn == "" || i > 0 && l.starts < all[i-1].starts {
			t.Errorf("%d: %+v", i, l)
		}
	}
	if len(all) < 8 {
		t.Errorf("got %d limits", len(all))
	}
}
