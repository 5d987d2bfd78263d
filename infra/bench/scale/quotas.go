package main

import (
	"fmt"
	"time"
)

// More quotas of AWS. Those with a * can be raised on request.
const (
	batchSubmitted   = 1_000_000
	batchShares      = 500
	apiCalls         = 10_000 // * of all APIs of an account and region
	lambdaAtOnce     = 1_000  // *
	collectionGB     = 10     // all items of one tenant, with the local index
	putEvents        = 10_000 // * in us-east-1
	ruleCalls        = 18_750 // * in us-east-1
	pipesPerShard    = 10     // batches that a pipe handles of one shard of a stream
	eventsPerBatch   = 10     // that a bus takes of a pipe at once
	sesSandbox       = 200    // * mails a day
	s3Puts           = 3_500  // a second and prefix
	s3Gets           = 5_500
	lambdaCodeGB     = 75 // *
	sweepEntryBytes  = 330
	sweepMemoryShare = 0.45 // of the memory, when Go's collector may double it
)

// quotasTable says where the next limits lie, and what to turn then.
func (m *model) quotasTable() (string, error) {
	f := m.facts
	largest, all := m.sizes[len(m.sizes)-1], m.sizes[typical]
	local, err := largest.entry(f.local)
	if err != nil {
		return "", err
	}
	collection := float64(f.maxProjects) * float64(largest.item+local+200) / gib
	beats := f.routes[routeHeartbeat]
	concurrent := float64(f.callRate) * callSeconds
	memory := float64(f.sweepMB) * (1 << 20) * sweepMemoryShare / sweepEntryBytes
	return markdown([]string{"what", "its limit", "Rekindle is there at", "what to turn", "page of docs.aws.amazon.com"}, [][]string{
		{"one tenant's partition: writes", fmt.Sprintf("%s units a second, for a local index keeps a tenant's items together", commas(partitionUnits)),
			fmt.Sprintf("%s typical projects of one tenant running at once", commas(int64(partitionUnits*f.heartbeat.Seconds()/m.beatUnits()))),
			"a longer heartbeat; an item of its own for it; a table without a local index lets DynamoDB split the tenant", "amazondynamodb/latest/developerguide/bp-partition-key-design.html"},
		{"one tenant's items: size", fmt.Sprintf("%d GB with the local index", collectionGB),
			fmt.Sprintf("never: %s of the largest projects have %.2f GB", commas(int64(f.maxProjects)), collection), "`project.MaxProjects`", "amazondynamodb/latest/developerguide/LSI.html"},
		{"the sweep's index", fmt.Sprintf("%s writes a second and shard", commas(partitionUnits)),
			fmt.Sprintf("%s starts a second", commas(int64(f.shards*partitionUnits/(m.start.global+m.end.global)))), "`project.Shards`, upwards alone: what runs stays in its shard until it ends", "amazondynamodb/latest/developerguide/gsi-throttling.html"},
		{"the table", fmt.Sprintf("%s write units a second; a new one %s", commas(tableUnits), commas(newTableUnits)),
			fmt.Sprintf("%s running at once", thousands(tableUnits/m.beatUnits()*f.heartbeat.Seconds())), "the quota; warm throughput before a day that is known", "amazondynamodb/latest/developerguide/ServiceQuotas.html"},
		{"Batch: SubmitJob, and other calls", fmt.Sprintf("%d a second of an account, fixed", batchCalls),
			fmt.Sprintf("%d starts a second, or that many jobs that the sweep stops", batchCalls), "a second account; a queue before SubmitJob", "batch/latest/userguide/service_limits.html"},
		{"Batch: jobs that wait", fmt.Sprintf("%s SUBMITTED", commas(batchSubmitted)),
			fmt.Sprintf("%s of %d starts a second, while none runs", span(time.Duration(batchSubmitted/batchCalls)*time.Second), batchCalls), "`MaxVcpus`", "batch/latest/userguide/service_limits.html"},
		{"Batch: fair shares", fmt.Sprintf("%d active in a queue", batchShares),
			fmt.Sprintf("never: tenants are hashed into %d; with more tenants some share one", f.shares), "more queues, each with its shares", "batch/latest/userguide/scheduling-policies.html"},
		{"Batch: ListJobs", "pages of 100, and the calls above", "only where an answer was lost, or a job is stopped that no runner had claimed", "", "batch/latest/APIReference/API_ListJobs.html"},
		{"Fargate: vCPUs", fmt.Sprintf("%d in a new account", fargateQuota),
			fmt.Sprintf("%d running; `MaxVcpus` allows %g", int(fargateQuota/f.vcpu), f.maxVCPUs), "the quota, for on demand and Spot apart", "general/latest/gr/ecs-service.html"},
		{"Fargate: launches", fmt.Sprintf("%d a second, %d at once", fargateLaunches, fargateBurst), fmt.Sprintf("%d starts a second", fargateLaunches), "ask AWS; another account or region", "AmazonECS/latest/userguide/throttling.html"},
		{"the network's addresses", fmt.Sprintf("%s in the stack's own subnets", commas(int64(f.addresses))), "as many running", "`SubnetIds`", "vpc/latest/userguide/subnet-sizing.html"},
		{"API: heartbeats", fmt.Sprintf("%d a second (template)", beats.rate), fmt.Sprintf("%s running", commas(int64(float64(beats.rate)*f.heartbeat.Seconds()))),
			fmt.Sprintf("`ProjectHeartbeatSeconds`: 60 doubles it; the route's throttle, up to the account's %s", commas(apiCalls)), "apigateway/latest/developerguide/limits.html"},
		{"API: status", fmt.Sprintf("%d a second (template)", f.routes[routeStatus].rate), fmt.Sprintf("%s open pages of running projects, which ask each %s", commas(int64(float64(f.routes[routeStatus].rate)*f.pollEvery.Seconds())), span(f.pollEvery)), "the route's throttle; a slower portal", "apigateway/latest/developerguide/http-api-throttling.html"},
		{"Lambda: at once", fmt.Sprintf("%s of an account", commas(lambdaAtOnce)), fmt.Sprintf("never, by the throttles: they let %.0f through at once, at %.0f ms", concurrent, callSeconds*1000), "the quota, if other functions share it", "lambda/latest/dg/gettingstarted-limits.html"},
		{"the sweep: time", spanExact(f.sweepTime), fmt.Sprintf("%s stuck", thousands(float64(m.sweeping(f.shards).most()))), "a sweep more often; more shards", "lambda/latest/dg/gettingstarted-limits.html"},
		{"the sweep: memory", fmt.Sprintf("%d MB", f.sweepMB), fmt.Sprintf("about %s failed by one sweep: it remembers each, to stop its job", thousands(memory)), "its MemorySize", "lambda/latest/dg/configuration-memory.html"},
		{"EventBridge: the ends of jobs", fmt.Sprintf("%s calls of targets a second", commas(ruleCalls)), "never before Batch's own limit", "", "eventbridge/latest/userguide/eb-quota.html"},
		{"EventBridge: events", fmt.Sprintf("%s a second", commas(putEvents)), "never before Batch's own limit", "", "eventbridge/latest/userguide/eb-quota.html"},
		{"Pipes", fmt.Sprintf("batches of %d to a bus, up to %d at once of a stream's shard", eventsPerBatch, pipesPerShard),
			fmt.Sprintf("not known: each heartbeat is in the stream, too, and the pipe passes over it, %d a second where %s run", beats.rate, commas(int64(float64(beats.rate)*f.heartbeat.Seconds()))), "the pipe's `ParallelizationFactor`", "eventbridge/latest/userguide/eb-pipes-batching-concurrency.html"},
		{"SES", fmt.Sprintf("%d mails a day and one a second in the sandbox", sesSandbox), fmt.Sprintf("%d logins a day; the API lets %d a second through", sesSandbox, f.routes[routeMail].rate), "production access, then the quota", "ses/latest/dg/quotas.html"},
		{"S3", fmt.Sprintf("%s PUT and %s GET a second of a prefix", commas(s3Puts), commas(s3Gets)),
			fmt.Sprintf("%s running that each show a log with %s heartbeat, if all were one prefix; S3 splits them, for each tenant has its own", thousands(s3Puts*f.heartbeat.Seconds()*logEach), every(logEach)), "", "AmazonS3/latest/userguide/optimizing-performance.html"},
		{"a list of projects", "1 MB a query", fmt.Sprintf("a page never; a search reads the whole of %s projects, %s MB of typical ones", commas(int64(f.maxProjects)), thousands(float64(f.maxProjects)*float64(all.item)/(1<<20))), "a search index elsewhere", "amazondynamodb/latest/developerguide/Query.Pagination.html"},
		{"Lambda: code", fmt.Sprintf("%d GB of versions", lambdaCodeGB), "hundreds of deployments", "remove old versions", "lambda/latest/dg/gettingstarted-limits.html"},
	}), nil
}
