package main

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
)

// What DynamoDB gives, as its developer guide has it.
const (
	// A partition takes so many write units a second, and a key of an index
	// is in one partition.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
	partitionUnits = 1_000
	// Unused capacity of so many seconds is kept for a burst. It is not promised.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html
	bankSeconds = 300
	// An on-demand table takes so many write units a second, until the quota is
	// raised; a new one takes fewer, and twice its last peak after that.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
	tableUnits    = 40_000
	newTableUnits = 4_000
)

// bucket is capacity of which so many units come back each second, and of which
// so many are kept. All times are milliseconds since the simulation began.
type bucket struct {
	rate, keeps, has float64
	at               int
}

// newBucket keeps the capacity of so many seconds, and is full.
func newBucket(rate, seconds float64) *bucket {
	return &bucket{rate: rate, keeps: rate * seconds, has: rate * seconds}
}

// fits says whether a write of so many units can be taken at now.
func (b *bucket) fits(now int, units float64) bool {
	b.has = min(b.keeps, b.has+b.rate*float64(now-b.at)/1000)
	b.at = now
	return b.has >= units
}

// load is what is asked of the table.
type load struct {
	startsPerSecond float64 // by chance, evenly (Poisson)
	crowd           int     // starts that come in the first second, besides
	runSeconds      float64 // how long a run lasts, on average; 0: no run ends
	start, end      units   // what a start and an end cost
	shards          int
	tableUnits      float64 // a second; 0 is no limit
	bank            float64 // seconds of unused capacity that each partition has at first, and keeps
	attempts        int     // that the SDK makes
	warm, seconds   int     // before measuring, and measured
	emptied         bool    // whether there is no unused capacity when it begins
}

// outcome is what became of the starts and ends that came while it was measured.
type outcome struct {
	writes    int     // starts and ends that were asked for
	tries     int     // calls that they made
	throttled int     // of these calls
	refused   int     // writes that were given up: every call was throttled
	accepted  float64 // starts a second
	p99       float64 // milliseconds that an accepted write waited for retries
}

func (o outcome) throttledShare() float64 { return share(o.throttled, o.tries) }
func (o outcome) refusedShare() float64   { return share(o.refused, o.writes) }

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// try is one call for a write.
type try struct {
	first  int32 // when the write was first tried
	number uint8 // 1 for the first
	end    bool  // an end, not a start
	shard  uint16
}

// simulate runs a load against the index's shards and the table.
//
// A write is taken if its shard and the table have room for it, as a whole: a
// shard without room throttles the table's write (back-pressure). Shards are
// partitions of their own. Projects are spread over them, and over the table, by
// chance. A throttled call is made again after up to a second by chance, as the
// SDK does with the project's settings; what was throttled each time is refused.
// A runner whose end was refused comes again, in a second or more.
func simulate(l load, seed uint64) outcome {
	chance := rand.New(rand.NewPCG(seed, 0x7e61))
	end := (l.warm + l.seconds) * 1000
	calendar := make([][]try, end)
	add := func(at int, t try) {
		if at < end {
			calendar[at] = append(calendar[at], t)
		}
	}
	for range l.crowd {
		at := chance.IntN(min(1000, end))
		add(at, try{first: int32(at), number: 1, shard: uint16(chance.IntN(l.shards))})
	}
	if l.startsPerSecond > 0 {
		for at := 0.0; ; {
			at += chance.ExpFloat64() * 1000 / l.startsPerSecond
			if at >= float64(end) {
				break
			}
			add(int(at), try{first: int32(at), number: 1, shard: uint16(chance.IntN(l.shards))})
		}
	}
	shards := make([]*bucket, l.shards)
	for i := range shards {
		shards[i] = newBucket(partitionUnits, max(l.bank, 1))
	}
	table := newBucket(cmp.Or(l.tableUnits, math.MaxInt32), 1)
	if l.emptied {
		for _, b := range append(shards, table) {
			b.has = 0
		}
	}

	var o outcome
	var waits []float64
	accepted := 0
	for now := range end {
		// Who comes in the same millisecond comes in any order.
		chance.Shuffle(len(calendar[now]), func(i, j int) { calendar[now][i], calendar[now][j] = calendar[now][j], calendar[now][i] })
		for _, t := range calendar[now] {
			counts := int(t.first) >= l.warm*1000
			cost := l.start
			if t.end {
				cost = l.end
			}
			inTable, inShard := float64(cost.inTable()), float64(cost.global)
			if counts {
				o.tries++
				if t.number == 1 {
					o.writes++
				}
			}
			shard := shards[t.shard]
			if shard.fits(now, inShard) && table.fits(now, inTable) {
				shard.has -= inShard
				table.has -= inTable
				if counts {
					waits = append(waits, float64(now-int(t.first)))
				}
				if counts && !t.end {
					accepted++
				}
				if !t.end && l.runSeconds > 0 {
					ends := now + int(chance.ExpFloat64()*l.runSeconds*1000) + 1
					add(ends, try{first: int32(ends), number: 1, end: true, shard: t.shard})
				}
				continue
			}
			if counts {
				o.throttled++
			}
			switch later := now + 1 + chance.IntN(1000); {
			case int(t.number) < l.attempts:
				t.number++
				add(later, t)
			default:
				if counts {
					o.refused++
				}
				if t.end {
					later += 1000
					add(later, try{first: int32(later), number: 1, end: true, shard: t.shard})
				}
			}
		}
		calendar[now] = nil
	}
	o.accepted = float64(accepted) / float64(max(l.seconds, 1))
	o.p99 = percentile(waits, 0.99)
	return o
}

// worked keeps what was worked out before: the same question and seed have one
// answer.
var worked sync.Map

// once works a question out, once in a process.
func once[Q comparable, A any](question Q, seed uint64, work func(Q, uint64) A) A {
	type key struct {
		question Q
		seed     uint64
	}
	if answer, has := worked.Load(key{question, seed}); has {
		return answer.(A)
	}
	answer := work(question, seed)
	worked.Store(key{question, seed}, answer)
	return answer
}

// percentile returns the value that a share of all is not above; 0 of none.
func percentile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[max(0, int(math.Ceil(share*float64(len(values))))-1)]
}

// beats is a tenant whose projects send heartbeats.
type beats struct {
	running  int
	every    float64 // seconds
	quiet    units   // what a heartbeat costs,
	news     units   // and one that tells of progress,
	newsEach int     // which is each n-th
	attempts int
	seconds  int
}

// strain is what became of the heartbeats.
type strain struct {
	lost  float64 // the share that was throttled in each try
	asked float64 // of the partition, as a share of what it has
	tries int     // calls that the heartbeats made
}

// tenantBeats simulates the heartbeats of one tenant, whose items are all in one
// partition, for they have a local index. One that was throttled in each try is
// not sent again: the next one comes in time.
func tenantBeats(b beats, seed uint64) strain {
	chance := rand.New(rand.NewPCG(seed, 0xbea7))
	end := b.seconds * 1000
	type beat struct {
		number, count int
	}
	calendar := make([][]beat, end)
	for range b.running {
		// Runs begin when they like. After long load nothing is in the bank.
		count := chance.IntN(b.newsEach)
		for at := chance.Float64() * b.every * 1000; at < float64(end); at += b.every * 1000 {
			calendar[int(at)] = append(calendar[int(at)], beat{1, count})
			count++
		}
	}
	partition := newBucket(partitionUnits, 1)
	sent, refused, units, tries := 0, 0, 0, 0
	for now := range end {
		for _, t := range calendar[now] {
			cost := b.quiet
			if t.count%b.newsEach == 0 {
				cost = b.news
			}
			tries++
			if t.number == 1 {
				sent++
				units += cost.inTable()
			}
			if partition.fits(now, float64(cost.inTable())) {
				partition.has -= float64(cost.inTable())
				continue
			}
			if t.number == b.attempts {
				refused++
				continue
			}
			t.number++
			if later := now + 1 + chance.IntN(1000); later < end {
				calendar[later] = append(calendar[later], t)
			}
		}
		calendar[now] = nil
	}
	return strain{share(refused, sent), float64(units) / float64(b.seconds) / partitionUnits, tries}
}
