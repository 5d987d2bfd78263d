package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// What the model assumes of a sweep's calls, in an account and a function that
// are warm.
const (
	queryTakes  = 15 * time.Millisecond
	updateTakes = 10 * time.Millisecond
	stopTakes   = 100 * time.Millisecond
)

// batchCalls is how many calls of an API AWS Batch takes a second.
// https://repost.aws/knowledge-center/aws-batch-requests-error
const batchCalls = 50

// sweeping is a sweep as internal/sweep does it: the shards side by side, the
// entries of each one after the other, a query for each page of them and one for
// the oldest that is left. When all are failed, the jobs are asked to stop,
// several at once.
type sweeping struct {
	shards, pageSize int
	stops            int           // jobs that are stopped at once
	deadline         time.Duration // of the function
}

// usable is the time that a sweep has, without what it keeps back to end
// cleanly: a quarter, at most five seconds. A test holds it against the sweep.
func (s sweeping) usable() time.Duration { return s.deadline - min(s.deadline/4, 5*time.Second) }

// shardTakes is the time for n entries of one shard.
func (s sweeping) shardTakes(n int) time.Duration {
	pages := max(1, (n+s.pageSize-1)/s.pageSize)
	return time.Duration(pages+1)*queryTakes + time.Duration(n)*updateTakes
}

// fails is the time to fail n executions, which are spread over the shards by
// chance: the fullest shard's.
func (s sweeping) fails(n int, seed uint64) time.Duration {
	if n > manyStuck {
		// Of many, the fullest shard has hardly more than the others.
		mean := float64(n) / float64(s.shards)
		return s.shardTakes(int(mean + math.Sqrt(2*mean*math.Log(float64(s.shards)))))
	}
	chance := rand.New(rand.NewPCG(seed, 0x5eeb))
	in := make([]int, s.shards)
	fullest := 0
	for range n {
		i := chance.IntN(s.shards)
		in[i]++
		fullest = max(fullest, in[i])
	}
	return s.shardTakes(fullest)
}

// manyStuck is the number above which they are not drawn one by one.
const manyStuck = 50_000

// most is how many executions one sweep can fail.
func (s sweeping) most() int {
	page := queryTakes + time.Duration(s.pageSize)*updateTakes
	whole := s.usable() / page
	rest := max(0, s.usable()-whole*page-queryTakes) / updateTakes
	return s.shards * (int(whole)*s.pageSize + int(rest))
}

// sweeps is how many sweeps, one after the other, fail n executions.
func (s sweeping) sweeps(n int) int { return max(1, (n+s.most()-1)/s.most()) }

// stopped is how many of n failed executions have their job stopped by the same
// sweep, if failing them took so long. The others end at their next heartbeat.
func (s sweeping) stopped(n int, took time.Duration) int {
	rate := min(float64(s.stops)/stopTakes.Seconds(), batchCalls)
	return min(n, int(max(0, s.usable()-took).Seconds()*rate))
}
