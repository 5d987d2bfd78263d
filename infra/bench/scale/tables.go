package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"rekindle/internal/project"
	"rekindle/internal/template"
)

// table is what stands between two marks of docs/scale.md: a table, and a
// sentence or two that have numbers of it.
type table struct{ name, text string }

// seed makes each simulation the same one again.
const seed = 20260105

// tables works out all of them, in the document's order.
func tables(m *model) ([]table, error) {
	var all []table
	for _, t := range []struct {
		name string
		make func() (string, error)
	}{
		{"facts", m.factsTable}, {"assumptions", m.assumptionsTable}, {"limits", m.limitsTable}, {"shards", m.shardsTable}, {"crowd", m.crowdTable}, {"crowd-api", m.crowdAtTheAPI},
		{"sweep", m.sweepTable}, {"projects", m.projectsTable}, {"sizes", m.sizesTable}, {"writes", m.writesTable}, {"heartbeats", m.heartbeatsTable},
		{"heartbeat-parts", m.heartbeatParts}, {"tenant", m.tenantTable}, {"bill", m.billTable}, {"servers", m.serversTable}, {"quotas", m.quotasTable}, {"prices", m.pricesTable},
	} {
		text, err := t.make()
		if err != nil {
			return nil, fmt.Errorf("the table %s: %w", t.name, err)
		}
		all = append(all, table{t.name, text})
	}
	return all, nil
}

// markdown writes a table.
func markdown(head []string, rows [][]string) string {
	var b strings.Builder
	write := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	write(head)
	b.WriteString("|" + strings.Repeat("---|", len(head)) + "\n")
	for _, r := range rows {
		write(r)
	}
	return b.String()
}

// thousands writes a number of three significant digits, with commas.
func thousands(n float64) string {
	if n != 0 && math.Abs(n) < 100 {
		return strconv.FormatFloat(n, 'g', 3, 64)
	}
	scale := math.Pow(10, max(0, math.Floor(math.Log10(math.Max(1, math.Abs(n))))-2))
	return commas(int64(math.Round(n/scale) * scale))
}

// commas writes a whole number with commas.
func commas(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// usd writes dollars: cents below a hundred, and three digits above.
func usd(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0.005:
		return "below 0.01"
	case v < 100:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return thousands(v)
}

func percent(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0.0005:
		return "below 0.1 %"
	case v < 0.0995:
		return strconv.FormatFloat(100*v, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(100*v, 'f', 0, 64) + " %"
}

// span writes a duration as people say it.
func span(d time.Duration) string {
	switch s := d.Seconds(); {
	case s < 1:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 100:
		return strconv.FormatFloat(s, 'g', 2, 64) + " s"
	case s < 6000:
		return fmt.Sprintf("%.0f min", s/60)
	case s < 48*3600:
		return strconv.FormatFloat(s/3600, 'g', 2, 64) + " h"
	default:
		return fmt.Sprintf("%.0f days", s/86_400)
	}
}

func (m *model) factsTable() (string, error) {
	f := m.facts
	return markdown([]string{"", "is", "from"}, [][]string{
		{"shards of the index of running projects", strconv.Itoa(f.shards), "`project.Shards`"},
		{"calls that the SDK makes of one", strconv.Itoa(f.attempts), "`awsenv.MaxAttempts`"},
		{"a heartbeat each", span(f.heartbeat), "`ProjectHeartbeatSeconds`"},
		{"an execution's limit", span(f.limit), "`ProjectExecutionTimeoutHours`"},
		{"a sweep each", span(f.sweepEvery), "the schedule of CleanupFunction"},
		{"time and memory of a sweep", fmt.Sprintf("%s, %d MB", span(f.sweepTime), f.sweepMB), "CleanupFunction"},
		{"runs and restarts that the API lets through", fmt.Sprintf("%d and %d a second, %d and %d at once", f.routes[routeRun].rate, f.routes[routeRestart].rate, f.routes[routeRun].burst, f.routes[routeRestart].burst), "RouteSettings"},
		{"heartbeats that it lets through", fmt.Sprintf("%d a second", f.routes[routeHeartbeat].rate), "RouteSettings"},
		{"a watched page asks each", span(f.pollEvery), "`portal/src/lib/polling.ts`"},
		{"a running project", fmt.Sprintf("%g vCPU, %g GB", f.vcpu, f.gb), "`RunnerVcpu`, `RunnerMemory`"},
		{"projects of a tenant, attempts of a project", fmt.Sprintf("%s, %d", commas(int64(f.maxProjects)), project.MaxAttempts), "`project.MaxProjects`, `project.MaxAttempts`"},
		{"projection of `created-at`", projection(f.local), "ProjectsTable"},
		{"projection of `status-started-at`", projection(f.global), "ProjectsTable"},
	}), nil
}

func (m *model) assumptionsTable() (string, error) {
	return markdown([]string{"assumed", ""}, [][]string{
		{"a run works for", span(time.Duration(runHours * float64(time.Hour)))},
		{"the busiest hour has", fmt.Sprintf("%d times the mean", peak)},
		{"heartbeats that tell of progress, and that show a log", fmt.Sprintf("%s, %s", every(newsEach), every(logEach))},
		{"somebody watches a run, lists projects, downloads the output", fmt.Sprintf("%s, %d times, of %s run", span(watched*time.Second), lists, every(int(1/downloaded)))},
		{"a run's output, a tenant's logins", fmt.Sprintf("%d MB, %d a day", outputMB, loginsADay)},
		{"a function works on a call, and logs", fmt.Sprintf("%s, %s bytes", span(time.Duration(callSeconds*float64(time.Second))), commas(callLogBytes))},
		{"a query, an update of an item, a stop of a job takes", fmt.Sprintf("%s, %s, %s", span(queryTakes), span(updateTakes), span(stopTakes))},
		{"a project", m.sizes[typical].what},
	}), nil
}

func projection(i template.Index) string {
	if i.Projection == "INCLUDE" && len(i.Include) > 3 {
		return fmt.Sprintf("the keys and %d attributes", len(i.Include))
	}
	if i.Projection == "INCLUDE" {
		return "the keys and `" + strings.Join(i.Include, "`, `") + "`"
	}
	return i.Projection
}

func (m *model) limitsTable() (string, error) {
	var rows [][]string
	for _, l := range m.limits() {
		rows = append(rows, []string{l.name, l.what, thousands(l.starts), thousands(l.starts * 86_400), l.turn})
	}
	return markdown([]string{"limit", "lets through", "starts a second", "runs a day", "what to turn"}, rows), nil
}

// shardCounts are those that the tables compare.
var shardCounts = []int{1, 4, 16, 64}

// load is that of starts at some rate, on an index of so many shards.
func (m *model) load(starts float64, shards int) load {
	return load{
		startsPerSecond: starts, shards: shards, start: m.start, end: m.end, attempts: m.facts.attempts,
		// Only the rate of the ends counts, so the runs may be short.
		runSeconds: 1, warm: 5, seconds: 5, emptied: true,
	}
}

func (m *model) shardsTable() (string, error) {
	head := []string{"starts a second"}
	for _, n := range shardCounts {
		head = append(head, shardsName(n))
	}
	sustained := []string{"sustained, on paper"}
	for _, n := range shardCounts {
		sustained = append(sustained, commas(int64(n*partitionUnits/(m.start.global+m.end.global))))
	}
	rows := [][]string{sustained}
	for _, rate := range []float64{batchCalls, 450, 550, 1_800, 2_200, 7_200, 8_800} {
		row := []string{commas(int64(rate))}
		for _, n := range shardCounts {
			o := once(m.load(rate, n), seed, simulate)
			cell := "all at once"
			if o.throttled > 0 {
				cell = fmt.Sprintf("%s throttled, %s refused, p99 %s", percent(o.throttledShare()), percent(o.refusedShare()), waited(o))
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return markdown(head, rows), nil
}

func waited(o outcome) string { return span(time.Duration(o.p99) * time.Millisecond) }

func shardsName(n int) string {
	if n == 1 {
		return "1 shard"
	}
	return strconv.Itoa(n) + " shards"
}

func (m *model) crowdTable() (string, error) {
	head := []string{"starts in one second", "the table"}
	for _, n := range shardCounts {
		head = append(head, shardsName(n))
	}
	var rows [][]string
	for _, crowd := range []int{1_000, 10_000, 100_000} {
		for _, t := range []struct {
			name  string
			units float64
			bank  float64
		}{{"has no limit of its own", 0, 0}, {"the same, and the shards have rested", 0, bankSeconds}, {fmt.Sprintf("takes %s units a second", commas(tableUnits)), tableUnits, 0}} {
			row := []string{commas(int64(crowd)), t.name}
			for _, n := range shardCounts {
				l := m.load(0, n)
				l.crowd, l.tableUnits, l.bank, l.runSeconds, l.warm, l.seconds, l.emptied = crowd, t.units, t.bank, 0, 0, 5, false
				o := once(l, seed, simulate)
				cell := "all at once"
				if o.throttled > 0 {
					cell = fmt.Sprintf("%s refused, p99 %s", percent(o.refusedShare()), waited(o))
				}
				row = append(row, cell)
			}
			rows = append(rows, row)
		}
	}
	return markdown(head, rows), nil
}

func (m *model) crowdAtTheAPI() (string, error) {
	run := m.facts.routes[routeRun]
	var rows [][]string
	for _, crowd := range []int{1_000, 10_000, 100_000} {
		atOnce := min(crowd, run.burst+run.rate)
		rows = append(rows, []string{
			commas(int64(crowd)), commas(int64(atOnce)), commas(int64(crowd - atOnce)),
			span(time.Duration(float64(crowd-run.burst) / float64(run.rate) * float64(time.Second))),
			span(time.Duration(max(0, float64(crowd-fargateBurst)/fargateLaunches) * float64(time.Second))),
		})
	}
	return markdown([]string{"starts in one second", "let through in it", "answered 429", "all let through after", "all launched by Fargate after"}, rows), nil
}

func (m *model) sweeping(shards int) sweeping {
	return sweeping{shards: shards, pageSize: m.facts.pageSize, stops: m.facts.stops, deadline: m.facts.sweepTime}
}

func (m *model) sweepTable() (string, error) {
	head := []string{"stuck"}
	for _, n := range shardCounts {
		head = append(head, shardsName(n))
	}
	now := m.sweeping(m.facts.shards)
	head = append(head, fmt.Sprintf("jobs stopped (%d shards)", now.shards), "sweeps", "all ended after")
	var rows [][]string
	for _, stuck := range []int{0, 100, 1_000, 10_000, 100_000, 1_000_000, 2_000_000} {
		row := []string{commas(int64(stuck))}
		var took time.Duration
		for _, n := range shardCounts {
			s := m.sweeping(n)
			t := s.fails(stuck, seed)
			if n == now.shards {
				took = t
			}
			cell := span(t)
			if t > s.usable() {
				cell += "*"
			}
			row = append(row, cell)
		}
		sweeps := now.sweeps(stuck)
		after := took
		if sweeps > 1 {
			after = time.Duration(sweeps-1)*m.facts.sweepEvery + now.shardTakes((stuck-(sweeps-1)*now.most())/now.shards)
		}
		rows = append(rows, append(row, commas(int64(now.stopped(stuck, took))), strconv.Itoa(sweeps), span(after)))
	}
	most := []string{"**one sweep fails at most**"}
	for _, n := range shardCounts {
		most = append(most, thousands(float64(m.sweeping(n).most())))
	}
	rows = append(rows, append(most, "", "", ""))
	perSecond := float64(now.shards) / updateTakes.Seconds()
	crowd := float64(m.facts.routes[routeHeartbeat].rate) * m.facts.heartbeat.Seconds()
	return markdown(head, rows) + fmt.Sprintf("\nA * is more than a sweep has: %s of its %s. With %d shards it fails %s a second, which takes %s write units a second of a table (%d each). A new table takes %s units, so there it fails about %s a second until the table has grown. Jobs are stopped last, at Batch's %d a second; a sweep that has no time left for that leaves it to the runners, which stop at their next heartbeat.\n\nWhere `PROJECT_HEARTBEAT_TIMEOUT_MINUTES` is set, each sweep reads every running project in the same way: %s running take it %s and %s read units, %s dollars a month.\n",
		spanExact(now.usable()), spanExact(now.deadline), now.shards, thousands(perSecond), thousands(perSecond*float64(m.end.inTable())), m.end.inTable(),
		commas(newTableUnits), thousands(newTableUnits/float64(m.end.inTable())), batchCalls,
		commas(int64(crowd)), span(time.Duration(crowd/perSecond*float64(time.Second))), thousands(crowd*float64(readUnits(m.sizes[typical].item))),
		usd(ddbRead.of(crowd*float64(readUnits(m.sizes[typical].item))*hoursAMonth/m.facts.sweepEvery.Hours()))), nil
}

func spanExact(d time.Duration) string { return commas(int64(d.Seconds())) + " s" }

// tiers are the numbers of projects that the document speaks of.
var tiers = []float64{1_000, million, 100 * million}

// Assumptions of the tiers.
const (
	tierRunsADay = 1.0 / 7 // of each project
	tierProjects = 200     // of each tenant
)

func (m *model) tier(n float64) tenantry {
	return tenantry{name: thousands(n), tenants: n / tierProjects, runsADay: tierProjects * tierRunsADay, projectsEvery: tierProjects}
}

func (m *model) projectsTable() (string, error) {
	f := m.facts
	rows := [][]string{
		{"tenants, with %d projects each"}, {"runs a day, one a week of each project"}, {"starts a second, mean"}, {"in the busiest hour"},
		{"running at once, mean"}, {"in the busiest hour"}, {"heartbeats a second then"}, {"write units a second of the table then"},
		{"busiest shard of the sweep's index then"}, {"a sweep that finds 1 % of the running stuck"}, {"a sweep that finds all of them stuck"},
		{"data, with the local index"}, {"**a month, without the jobs**"}, {"that is, a thousand runs"}, {"**the jobs on Fargate a month**, with addresses"},
		{"accounts that Fargate's launches need"},
	}
	rows[0][0] = fmt.Sprintf(rows[0][0], tierProjects)
	head := []string{"projects"}
	for _, n := range tiers {
		t := m.tier(n)
		head = append(head, commas(int64(n)))
		starts, running := t.startsMean()*peak, t.running()*peak
		beats := running / f.heartbeat.Seconds()
		table := starts*float64(m.start.inTable()+m.claim.inTable()+m.end.inTable()) + beats*m.beatUnits()
		now := m.sweeping(f.shards)
		sweep := func(stuck int) string {
			if n := now.sweeps(stuck); n > 1 {
				return fmt.Sprintf("%d sweeps", n)
			}
			return span(now.fails(stuck, seed))
		}
		onDemand, _, addresses := m.jobs(t)
		bill := total(m.bill(t))
		for i, cell := range []string{
			thousands(t.tenants), thousands(t.runs()), thousands(t.startsMean()), thousands(starts),
			thousands(t.running()), thousands(running), thousands(beats), thousands(table),
			percent(starts * float64(m.start.global+m.end.global) / float64(f.shards) / partitionUnits), sweep(int(t.running() / 100)), sweep(int(t.running())),
			gigabytes(t.tenants * t.projectsEvery * float64(m.sizes[typical].item+m.listEntry+200)), usd(bill), usd(bill / (t.runs() * daysAMonth / 1000)), usd(onDemand + addresses),
			strconv.Itoa(max(1, int(math.Ceil(starts/fargateLaunches)))),
		} {
			rows[i] = append(rows[i], cell)
		}
	}
	return markdown(head, rows), nil
}

func gigabytes(bytes float64) string {
	switch gb := bytes / gib; {
	case gb < 0.1:
		return fmt.Sprintf("%.0f MB", bytes/(1<<20))
	case gb < 1000:
		return thousands(gb) + " GB"
	default:
		return thousands(gb/1024) + " TB"
	}
}

func kilobytes(bytes int) string { return fmt.Sprintf("%.1f", float64(bytes)/1024) }

func (m *model) sizesTable() (string, error) {
	var rows [][]string
	for _, s := range m.sizes {
		local, err := s.entry(m.facts.local)
		if err != nil {
			return "", err
		}
		rows = append(rows, []string{s.name, s.what, kilobytes(s.item), kilobytes(local), strconv.Itoa(s.sweep) + " B", strconv.Itoa(writeUnits(s.item)), strconv.Itoa(readUnits(s.item))})
	}
	largest := m.sizes[len(m.sizes)-1]
	return markdown([]string{"project", "with", "KB", "in `created-at`, KB", "in `status-started-at`", "write units", "read units"}, rows) +
		fmt.Sprintf("\nDynamoDB takes items of 400 KB. The largest project has %s KB: the limits of the texts and of %d attempts keep it there.\n", kilobytes(largest.item), project.MaxAttempts), nil
}

// wholeItem is a local index that has everything.
func (m *model) wholeItem() template.Index {
	i := m.facts.local
	i.Projection, i.Include = "ALL", nil
	return i
}

func (m *model) writesTable() (string, error) {
	s := m.sizes[typical]
	var rows [][]string
	for _, w := range []struct {
		name    string
		changed []string
		now     units
	}{
		{"a start", m.updates.start, m.start}, {"a claim", m.updates.claim, m.claim}, {"a heartbeat", m.updates.quiet, m.quiet},
		{"a heartbeat with progress", m.updates.news, m.news}, {"an end", m.updates.end, m.end},
	} {
		all, err := s.update(m.wholeItem(), m.facts.global, w.changed)
		if err != nil {
			return "", err
		}
		rows = append(rows, []string{w.name, strconv.Itoa(w.now.table), strconv.Itoa(w.now.local), strconv.Itoa(w.now.global), strconv.Itoa(w.now.all()), strconv.Itoa(all.all())})
	}
	quiet, err := s.update(m.wholeItem(), m.facts.global, m.updates.quiet)
	if err != nil {
		return "", err
	}
	month := hoursAMonth * 3600 / m.facts.heartbeat.Seconds() * 1000
	return markdown([]string{"a typical project's write", "table", "`created-at`", "`status-started-at`", "units in all", "if `created-at` had ALL"}, rows) +
		fmt.Sprintf("\nA thousand projects that run all month send %s million heartbeats. At %d units they cost %s dollars; were the whole item in the local index, %d units and %s dollars.\n",
			thousands(month/million), m.quiet.all(), usd(ddbWrite.of(month*float64(m.quiet.all()))), quiet.all(), usd(ddbWrite.of(month*float64(quiet.all())))), nil
}

// intervals and itemKBs are those of the heartbeats' table.
var (
	intervals = []float64{10, 30, 60, 300}
	itemKBs   = []int{1, 4, 8, 16, 64, 128}
)

func (m *model) heartbeatsTable() (string, error) {
	head := []string{"a heartbeat each"}
	for _, kb := range itemKBs {
		head = append(head, fmt.Sprintf("%d KB", kb))
	}
	if largest := m.sizes[len(m.sizes)-1].item; largest > itemKBs[len(itemKBs)-1]<<10 {
		return "", fmt.Errorf("the largest project has %d bytes, more than the table", largest)
	}
	var rows [][]string
	for _, interval := range intervals {
		row := []string{span(time.Duration(interval) * time.Second)}
		for _, kb := range itemKBs {
			u := float64(kb) + float64(m.news.local)/newsEach
			row = append(row, usd(1000*ddbWrite.of(3600/interval*u)))
		}
		rows = append(rows, row)
	}
	return markdown(head, rows), nil
}

func (m *model) heartbeatParts() (string, error) {
	beats := 1000 * 3600 / m.facts.heartbeat.Seconds()
	database := ddbWrite.of(beats * m.beatUnits())
	own := ddbWrite.of(beats)
	functions := lambdaCall.of(beats) + lambdaSecond.of(beats*callSeconds*float64(m.facts.lambdaMB)/1024)
	logs := logsWritten.of(beats * callLogBytes / gib)
	rows := [][]string{
		{"API Gateway", usd(apiCall.of(beats))},
		{"Lambda, " + fmt.Sprintf("%.0f ms at %d MB", callSeconds*1000, m.facts.lambdaMB), usd(functions)},
		{"CloudWatch Logs, " + fmt.Sprintf("%d bytes", callLogBytes), usd(logs)},
		{"DynamoDB, a typical project", usd(database)},
		{fmt.Sprintf("S3, a log shown with %s heartbeat", every(logEach)), usd(s3Put.of(beats / logEach))},
	}
	sum := apiCall.of(beats) + functions + logs + database + s3Put.of(beats/logEach)
	onDemand, _, _ := m.jobs(tenantry{tenants: 1, runsADay: 1})
	hour := onDemand / daysAMonth / (runHours + startHours)
	rows = append(rows, []string{"**together**", usd(sum)})
	return markdown([]string{"an hour of a thousand running projects, a heartbeat each " + span(m.facts.heartbeat), "dollars"}, rows) +
		fmt.Sprintf("\nThat is %s of what the thousand cost on Fargate in the hour (%s dollars). Heartbeats in a small item of their own would take the database's line from %s to %s dollars.\n",
			percent(sum/(1000*hour)), usd(1000*hour), usd(database), usd(own)), nil
}

// every writes "every 2nd".
func every(n int) string {
	ending := "th"
	if n < 4 {
		ending = []string{"th", "st", "nd", "rd"}[n]
	}
	return fmt.Sprintf("every %d%s", n, ending)
}

func (m *model) tenantTable() (string, error) {
	running := []int{100, 250, 500, m.facts.maxProjects}
	head := []string{"project", "a heartbeat costs"}
	for _, n := range running {
		head = append(head, commas(int64(n))+" running")
	}
	var rows [][]string
	for _, s := range m.sizes {
		for _, d := range []struct {
			name  string
			local template.Index
		}{{"", m.facts.local}, {", if `created-at` had ALL", m.wholeItem()}} {
			if d.name != "" && (m.facts.local.Projection == "ALL" || !slices.Contains([]string{"typical", "long history", "largest"}, s.name)) {
				continue
			}
			quiet, err := s.update(d.local, m.facts.global, m.updates.quiet)
			if err != nil {
				return "", err
			}
			news, err := s.update(d.local, m.facts.global, m.updates.news)
			if err != nil {
				return "", err
			}
			row := []string{s.name + d.name, fmt.Sprintf("%d, with progress %d", quiet.all(), news.all())}
			for _, n := range running {
				s := once(beats{
					running: n, every: m.facts.heartbeat.Seconds(), quiet: quiet, news: news, newsEach: newsEach, attempts: m.facts.attempts, seconds: 90,
				}, seed, tenantBeats)
				cell := percent(s.asked) + " of a partition"
				if s.lost > 0 {
					cell += ", " + percent(s.lost) + " lost"
				}
				row = append(row, cell)
			}
			rows = append(rows, row)
		}
	}
	return markdown(head, rows), nil
}

// tenantries are the sizes that have a bill.
var tenantries = []tenantry{
	{"small", 20, 10, projectsEach}, {"medium", 200, 50, projectsEach}, {"large", 2_000, 100, projectsEach},
}

func (m *model) billTable() (string, error) {
	head := []string{"dollars a month"}
	var names []string
	cells := map[string][]string{}
	add := func(name string, usd string) {
		if _, has := cells[name]; !has {
			names = append(names, name)
		}
		cells[name] = append(cells[name], usd)
	}
	for _, t := range tenantries {
		head = append(head, fmt.Sprintf("%s: %s tenants, %g runs a day each", t.name, commas(int64(t.tenants)), t.runsADay))
		lines := m.bill(t)
		for _, l := range lines {
			add(l.name, usd(l.usd))
		}
		sum := total(lines)
		onDemand, spot, addresses := m.jobs(t)
		add("**Rekindle itself**", "**"+usd(sum)+"**")
		add("Fargate: vCPU, memory, disk", usd(onDemand))
		add("its public IPv4 addresses", usd(addresses))
		add("**together**", "**"+usd(sum+onDemand+addresses)+"**")
		add("**together on Spot**", "**"+usd(sum+spot+addresses)+"**")
		add("Rekindle's share", percent(sum/(sum+onDemand+addresses)))
		add("running at once, mean and peak", thousands(t.running())+" and "+thousands(t.running()*peak))
	}
	var rows [][]string
	for _, name := range names {
		rows = append(rows, append([]string{name}, cells[name]...))
	}
	return markdown(head, rows), nil
}

func (m *model) serversTable() (string, error) {
	head := []string{"dollars a month"}
	rows := [][]string{
		{"Rekindle and Fargate"}, {"Rekindle and Fargate Spot"}, {"Rekindle and Fargate at 0.25 vCPU and 0.5 GB, for jobs that mostly wait"}, {fmt.Sprintf("t4g.medium, jobs that mostly wait, %d on a vCPU", jobsThatWait)},
		{"t4g.small and c7g.large, jobs that compute and queue at the peak"}, {"the same, without a queue"}, {"RDS instead of SQLite, besides"},
	}
	for _, t := range tenantries {
		head = append(head, t.name)
		onDemand, spot, addresses := m.jobs(t)
		s, own := m.servers(t), total(m.bill(t))
		quarter := *m.facts
		quarter.vcpu, quarter.gb = 0.25, 0.5
		least, _, _ := (&model{facts: &quarter}).jobs(t)
		for i, cell := range []string{
			usd(own + onDemand + addresses), usd(own + spot + addresses), usd(own + least + addresses), usd(s.waiting), fmt.Sprintf("%s (%s)", usd(s.computing), commas(int64(s.n))),
			fmt.Sprintf("%s (%s)", usd(s.computingAtPeak), commas(int64(s.atPeak))), usd(database.of(hoursAMonth) + databaseDisk.of(20)),
		} {
			rows[i] = append(rows[i], cell)
		}
	}
	return markdown(head, rows) + "\nIn brackets: how many c7g.large.\n", nil
}

func (m *model) pricesTable() (string, error) {
	var rows [][]string
	for _, p := range priceList {
		rows = append(rows, []string{p.name, strconv.FormatFloat(p.usd, 'f', -1, 64), p.unit, "aws.amazon.com/" + p.page})
	}
	return fmt.Sprintf("us-east-1, dollars, as known in %s.\n\n", pricesOf) + markdown([]string{"", "dollars", "per", "page"}, rows), nil
}
