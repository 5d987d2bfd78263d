package main

import (
	"math"

	"rekindle/internal/telemetry"
)

// What the model assumes of those who use Rekindle, and of what is not the
// project's own. The document lists the most of it.
const (
	runHours       = 0.5      // how long a run works
	startHours     = 1.0 / 60 // that Fargate bills besides: the image is pulled
	peak           = 3        // the busiest hour has so many times the mean
	newsEach       = 4        // each n-th heartbeat tells of progress
	logEach        = 2        // each n-th heartbeat shows a log, which is one PUT
	watched        = 120      // seconds that somebody watches a run
	lists          = 4        // times that somebody lists projects, a run
	listPage       = 20       // projects a list
	loginsADay     = 2        // of a tenant
	outputMB       = 5        // that a run writes
	outputParts    = 1
	downloaded     = 0.25  // share of the outputs that is downloaded
	callSeconds    = 0.020 // that a function works on a call
	callLogBytes   = 1_200 // that a call logs, with Lambda's own lines
	runnerLogBytes = 5_000
	projectsEach   = 50   // projects of a tenant, for the storage
	pollsASecond   = 4    // of each shard of a stream
	streamShards   = 4    // of a new table
	codesRefused   = 10   // codes of refusals that occur, each a metric
	traced         = 0.05 // share of calls that X-Ray samples
	portalMB       = 0.5  // that a login loads of the portal
	sweepSeconds   = 0.2  // that a sweep takes which finds nothing
	imageGB        = 1
)

// metrics is how many the functions publish: each has one without a dimension,
// and those with a dimension one more for each value.
func metrics() float64 {
	n := 0
	for _, d := range telemetry.Definitions {
		n++
		switch d.Dimension {
		case telemetry.Reason:
			n += len(telemetry.Reasons)
		case telemetry.Code:
			n += codesRefused
		}
	}
	return float64(n)
}

// tenantry is how many use Rekindle, and how much.
type tenantry struct {
	name          string
	tenants       float64
	runsADay      float64 // of each tenant
	projectsEvery float64 // projects of each tenant
}

func (t tenantry) runs() float64       { return t.tenants * t.runsADay } // a day
func (t tenantry) startsMean() float64 { return t.runs() / 86_400 }
func (t tenantry) running() float64    { return t.runs() * runHours / 24 } // at once, on average

// line is one line of a bill.
type line struct {
	name string
	usd  float64 // a month
}

// meter is what a month takes of the table and the API.
type meter struct {
	calls, tenantCalls, logins float64
	writes, reads              float64 // units
	beats, runs                float64
}

// measure counts a month of t's. The writes are what the store changes.
func (m *model) measure(t tenantry) meter {
	s := m.sizes[typical]
	var x meter
	x.runs = t.runs() * daysAMonth
	x.beats = x.runs * runHours * 3600 / m.facts.heartbeat.Seconds()
	x.logins = t.tenants * loginsADay * daysAMonth
	uploads := float64(2 + outputParts)
	views := watched / m.facts.pollEvery.Seconds()
	x.tenantCalls = x.runs*(1+views+lists+downloaded) + 2*x.logins
	x.calls = x.tenantCalls + x.beats + x.runs*(2+uploads)

	of := func(u units) float64 { return float64(u.all()) }
	x.writes = x.runs*(of(m.start)+of(m.claim)+of(m.end)) + x.beats*(of(m.quiet)*(newsEach-1)+of(m.news))/newsEach + 6*x.logins
	item := float64(readUnits(s.item))
	const sessionAndTenant = 2
	x.reads = x.runs*((1+views)*(sessionAndTenant+item)+uploads*item+lists*(sessionAndTenant+math.Ceil(float64(listPage*m.listEntry)/4096))+
		downloaded*(sessionAndTenant+item)+item) + 4*x.logins
	return x
}

// bill is what t costs a month, without what runs the jobs.
func (m *model) bill(t tenantry) []line {
	x, f, s := m.measure(t), m.facts, m.sizes[typical]
	gigabytes := t.tenants * t.projectsEvery * float64(s.item+m.listEntry+200) / gib
	functions := x.calls + x.runs // and the end of each job
	sweeps := hoursAMonth / f.sweepEvery.Hours()
	logGB := (functions*callLogBytes + x.runs*runnerLogBytes) / gib
	outputGB := x.runs / daysAMonth * float64(f.outputDays) * outputMB / 1024
	fixed := secret.of(float64(f.count["AWS::SecretsManager::Secret"])) + alarm.of(float64(f.count["AWS::CloudWatch::Alarm"])) +
		metric.of(metrics()) + dashboard.of(float64(f.count["AWS::CloudWatch::Dashboard"])) + ecrStorage.of(imageGB)
	lines := []line{
		{"DynamoDB: writes", ddbWrite.of(x.writes)},
		{"DynamoDB: reads", ddbRead.of(x.reads + sweeps*float64(f.shards))},
		{"DynamoDB: storage and recovery", ddbStorage.of(gigabytes) + ddbBackup.of(gigabytes)},
		{"API Gateway", apiCall.of(x.calls)},
		{"Lambda", lambdaCall.of(functions+sweeps) +
			lambdaSecond.of(functions*callSeconds*float64(f.lambdaMB)/1024+sweeps*sweepSeconds*float64(f.sweepMB)/1024)},
		{"CloudWatch Logs", logsWritten.of(logGB) + logsKept.of(logGB*float64(f.logDays)/30)},
		{"S3: outputs and logs", s3Storage.of(outputGB) + s3Put.of(x.runs*(3+outputParts)+x.beats/logEach) + s3Get.of(x.runs*downloaded)},
		{"Outputs to the internet", internet.of(x.runs * downloaded * outputMB / 1024)},
		{"Alarms, metrics, dashboard, secrets, image", fixed},
		{"Login mails", sesMail.of(x.logins)},
		{"CloudFront, if the portal is on", cdnRequest.of(x.tenantCalls+10*x.logins) + cdnOut.of(x.logins*portalMB/1024)},
	}
	if f.count["AWS::Pipes::Pipe"] > 0 {
		changes := 2 * x.runs
		lines = append(lines, line{"Events: stream, pipe, bus, SNS", ddbStream.of(pollsASecond*streamShards*3600*hoursAMonth) +
			pipeRequest.of(changes) + customEvent.of(changes) + snsPublish.of(x.runs/10)})
	}
	if f.tracing {
		lines = append(lines, line{"X-Ray", trace.of(functions * traced)})
	}
	return lines
}

func total(lines []line) float64 {
	sum := 0.0
	for _, l := range lines {
		sum += l.usd
	}
	return sum
}

// jobs is what runs t's jobs on Fargate a month: on demand and on Spot.
func (m *model) jobs(t tenantry) (onDemand, spot, addresses float64) {
	hours := t.runs() * daysAMonth * (runHours + startHours)
	f := m.facts
	diskHours := fargateDisk.of(hours) // a GB more than the 20 that are free
	onDemand = fargateVCPU.of(hours*f.vcpu) + fargateGB.of(hours*f.gb) + diskHours
	spot = fargateSpotVCPU.of(hours*f.vcpu) + fargateSpotGB.of(hours*f.gb) + diskHours
	return onDemand, spot, publicIPv4.of(hours)
}

// What the servers are assumed to bear.
const (
	jobsThatWait = 8    // at once on a vCPU, of jobs that mostly wait for others
	filled       = 0.7  // how much of the servers is used on average, where jobs may queue
	serverDisk   = 40.0 // GB of each
)

// servers are what an always-on server and its like cost a month: the smallest
// that holds API, database and the running jobs.
type servers struct {
	waiting, computing, computingAtPeak float64 // dollars
	n, atPeak                           int     // servers of two vCPU
}

func (m *model) servers(t tenantry) servers {
	each := disk.of(serverDisk) + snapshot.of(serverDisk) + publicIPv4.of(hoursAMonth)
	small := serverMedium.of(hoursAMonth) + each
	atOnce := t.running() * m.facts.vcpu
	var s servers
	count := func(vcpus float64) int { return max(1, int(math.Ceil(vcpus/2))) }
	s.n, s.atPeak = count(atOnce/filled), count(atOnce*peak)
	large := serverLarge.of(hoursAMonth) + each
	control := serverSmall.of(hoursAMonth) + each
	// Jobs that wait need memory: 4 GB and two vCPU hold twice jobsThatWait.
	s.waiting = float64(count(t.running()*peak/jobsThatWait)) * small
	s.computing = control + float64(s.n)*large
	s.computingAtPeak = control + float64(s.atPeak)*large
	return s
}
