// Command scale works out how far Rekindle goes, and what it costs, without an
// AWS account: `make scale` prints the tables of docs/scale.md.
//
// What is the project's it reads from template.yaml and the code: shards,
// throttles, timeouts, the items and updates that the store makes. What is AWS's
// are constants with their page: quotas in quotas.go and sim.go, prices in
// prices.go. What is assumed of those who use it is in cost.go.
//
// Nothing is measured here. The same seed gives the same tables, so that a test
// can hold the document against them; -update writes them into it.
//
// The simulator (sim.go) has partitions as buckets of write units, and calls that
// come by chance, are throttled, and come again as the SDK makes them. It leaves
// out what is not promised or not known: adaptive capacity beyond a partition of
// its own for each shard, the queue between a table and its index, and the
// client's own budget of retries.
package main
