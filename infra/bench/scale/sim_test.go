package main

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"rekindle/internal/awsenv"
)

// onlyStarts asks for so many starts a second, each of one unit in the table and
// one in the index, none of which is tried again.
func onlyStarts(perSecond float64, shards int) load {
	return load{
		startsPerSecond: perSecond, shards: shards, start: units{table: 1, global: 1}, end: units{table: 1, global: 1},
		attempts: 1, seconds: 10, emptied: true,
	}
}

// within says whether got is want, give or take a hundredth.
func within(got, want float64) bool { return got >= want*0.99 && got <= want*1.01 }

func TestOnePartitionTakesItsUnitsAndNoMore(t *testing.T) {
	o := simulate(onlyStarts(5_000, 1), 1)
	if !within(o.accepted, partitionUnits) || o.accepted > partitionUnits {
		t.Errorf("took %.0f starts a second of 5,000, want just below %d", o.accepted, partitionUnits)
	}
	if !within(o.throttledShare(), 0.8) || o.refusedShare() != o.throttledShare() {
		t.Errorf("%.3f throttled and %.3f refused, want four fifths of each", o.throttledShare(), o.refusedShare())
	}
	if o := simulate(onlyStarts(500, 1), 1); o.throttledShare() > 0.06 || !within(o.accepted, 500) {
		t.Errorf("of 500 it took %.0f and throttled %.3f, want all but chance", o.accepted, o.throttledShare())
	}
}

func TestEachEndTakesTheUnitOfAStart(t *testing.T) {
	l := onlyStarts(700, 1)
	l.runSeconds, l.warm, l.attempts = 0.1, 30, 4
	if o := simulate(l, 1); o.accepted > partitionUnits*0.55 || o.accepted < partitionUnits*0.45 {
		t.Errorf("took %.0f starts a second beside their ends, want about half of %d", o.accepted, partitionUnits)
	}
}

func TestShardsDoubleWhatIsTakenUntilTheTableBinds(t *testing.T) {
	for _, c := range []struct {
		shards      int
		table, want float64
	}{{1, 0, 1_000}, {2, 0, 2_000}, {4, 0, 4_000}, {1, 3_000, 1_000}, {2, 3_000, 2_000}, {4, 3_000, 3_000}, {64, 3_000, 3_000}, {1, 600, 600}} {
		l := onlyStarts(20_000, c.shards)
		l.tableUnits = c.table
		o := simulate(l, 1)
		if o.writes-o.throttled != int(o.accepted*float64(l.seconds)+0.5) {
			t.Errorf("%d shards, a table of %.0f: of %d writes %d were throttled, and %.0f a second taken", c.shards, c.table, o.writes, o.throttled, o.accepted)
		}
		if !within(o.accepted, c.want) {
			t.Errorf("%d shards, a table of %.0f: took %.0f starts a second, want %.0f", c.shards, c.table, o.accepted, c.want)
		}
	}
}

// A write that its shard throttles takes nothing of the table either.
func TestThrottledIndexThrottlesTheTablesWriteAsAWhole(t *testing.T) {
	l := onlyStarts(5_000, 1)
	l.tableUnits = 1_100 // less than is asked, and enough for what the shard takes
	if o := simulate(l, 1); o.accepted < 0.9*partitionUnits {
		t.Errorf("took %.0f starts a second, want nearly %d: what is throttled must not use the table up", o.accepted, partitionUnits)
	}
	l.start.global = 0 // heartbeats and claims touch no shard
	l.tableUnits, l.emptied = 0, false
	if o := simulate(l, 1); o.throttled != 0 {
		t.Errorf("%d writes that leave the index alone were throttled", o.throttled)
	}
}

func TestNoLoadIsNothing(t *testing.T) {
	if o := simulate(onlyStarts(0, 16), 1); o != (outcome{}) {
		t.Errorf("got %+v", o)
	}
}

func TestCrowdMeetsWhatARestedPartitionHasSaved(t *testing.T) {
	crowd := load{crowd: 50_000, shards: 1, start: units{table: 1, global: 1}, attempts: 1, seconds: 5, bank: bankSeconds}
	if o := simulate(crowd, 1); o.writes != 50_000 || o.refused != 0 {
		t.Errorf("rested: %d of %d refused, want none: %d were saved", o.refused, o.writes, bankSeconds*partitionUnits)
	}
	crowd.crowd = 400_000
	if o := simulate(crowd, 1); !within(float64(o.writes-o.refused), bankSeconds*partitionUnits+partitionUnits) {
		t.Errorf("rested: took %d, want what was saved and a second's", o.writes-o.refused)
	}
	crowd.crowd, crowd.emptied = 50_000, true
	if o := simulate(crowd, 1); !within(float64(o.writes-o.refused), partitionUnits) {
		t.Errorf("emptied: took %d in a second, want %d", o.writes-o.refused, partitionUnits)
	}
}

func TestTryingAgainGetsMoreThroughAndTakesItsTime(t *testing.T) {
	crowd := load{crowd: 3_000, shards: 1, start: units{table: 1, global: 1}, attempts: 1, seconds: 5, emptied: true}
	once := simulate(crowd, 1)
	crowd.attempts = 4
	often := simulate(crowd, 1)
	if once.p99 != 0 || often.refused >= once.refused || often.p99 < 1_000 || often.p99 > 3_100 {
		t.Errorf("once: %d refused, p99 %.0f ms; four times: %d refused, p99 %.0f ms", once.refused, once.p99, often.refused, often.p99)
	}
	if often.tries <= often.writes || often.tries > 4*often.writes {
		t.Errorf("%d writes made %d calls, want up to four each", often.writes, often.tries)
	}
}

func TestWriteThatNeverFitsIsTriedSoOftenAndRefused(t *testing.T) {
	for _, attempts := range []int{1, 4} {
		o := simulate(load{crowd: 10, shards: 2, start: units{global: 2 * partitionUnits}, attempts: attempts, seconds: 10}, 1)
		if want := (outcome{writes: 10, tries: 10 * attempts, throttled: 10 * attempts, refused: 10}); o != want {
			t.Errorf("%d attempts: got %+v, want %+v", attempts, o, want)
		}
	}
}

func TestSameSeedSameOutcome(t *testing.T) {
	l := onlyStarts(1_500, 2)
	l.attempts, l.runSeconds = 4, 1
	if a, b := simulate(l, 7), simulate(l, 7); a != b {
		t.Errorf("got %+v and %+v", a, b)
	}
	if a, b := simulate(l, 7), simulate(l, 8); a == b {
		t.Errorf("two seeds gave the same: %+v", a)
	}
}

// The simulation waits up to a second before each further call. So does the
// client that the project makes.
func TestCallsComeAgainAsTheClientMakesThem(t *testing.T) {
	c, err := awsenv.Read(func(string) (string, bool) { return "set", true }, "DYNAMODB")
	if err != nil {
		t.Fatal(err)
	}
	throttled := &types.ProvisionedThroughputExceededException{}
	if !c.Retryer.IsErrorRetryable(throttled) || c.Retryer.MaxAttempts() != awsenv.MaxAttempts {
		t.Fatalf("a throttled call is made again: %t, %d times in all", c.Retryer.IsErrorRetryable(throttled), c.Retryer.MaxAttempts())
	}
	for attempt := 1; attempt < awsenv.MaxAttempts; attempt++ {
		var sum time.Duration
		const n = 1_000
		for range n {
			d, err := c.Retryer.RetryDelay(attempt, throttled)
			if err != nil || d < 0 || d > time.Second {
				t.Fatalf("after attempt %d: waits %s, %v; the model has up to a second", attempt, d, err)
			}
			sum += d
		}
		if mean := sum / n; mean < 400*time.Millisecond || mean > 600*time.Millisecond {
			t.Errorf("after attempt %d: waits %s on average, the model has half a second", attempt, mean)
		}
	}
}

func TestSameQuestionIsWorkedOutOnce(t *testing.T) {
	type question struct{ n int }
	asked := 0
	double := func(q question, seed uint64) uint64 { asked++; return uint64(2*q.n) + seed }
	for range 3 {
		if a, b, c := once(question{4}, 1, double), once(question{5}, 1, double), once(question{4}, 2, double); a != 9 || b != 11 || c != 10 {
			t.Errorf("got %d, %d and %d", a, b, c)
		}
	}
	if asked != 3 {
		t.Errorf("worked out %d times, want once each", asked)
	}
}

func TestTenantsHeartbeatsByHand(t *testing.T) {
	b := beats{running: 300, every: 30, quiet: units{table: 2}, news: units{table: 2, local: 2}, newsEach: 4, attempts: 4, seconds: 120}
	// 10 heartbeats a second, of which three cost 2 units and the fourth 4.
	if s := tenantBeats(b, 1); s.lost != 0 || !within(s.asked, 10*2.5/partitionUnits) || s.tries != 1_200 {
		t.Errorf("got %+v, want none lost, 0.0250 of the partition, and a call each", s)
	}
	b.running, b.quiet, b.news, b.attempts = 1_000, units{table: 60}, units{table: 60}, 1
	// 2,000 units a second are asked of 1,000: of heartbeats that are sent once,
	// half are lost, once the second's capacity that was there is used.
	if s := tenantBeats(b, 1); !within(s.asked, 2) || s.lost < 0.48 || s.lost > 0.5 {
		t.Errorf("got %+v, want half lost and twice the partition", s)
	}
	b.running, b.quiet, b.news, b.attempts, b.seconds, b.every = 10, units{table: 2 * partitionUnits}, units{table: 2 * partitionUnits}, 4, 60, 50
	// Twelve are sent in the minute. The last may have a call left at its end.
	if s := tenantBeats(b, 1); s.lost < 0.9 || s.tries < 4*11 || s.tries > 4*12 {
		t.Errorf("got %+v, want them lost after four calls each", s)
	}
	b.running = 0
	if s := tenantBeats(b, 1); s != (strain{}) {
		t.Errorf("without running projects: got %+v", s)
	}
}

func TestPercentileByHand(t *testing.T) {
	ten := []float64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}
	for _, c := range []struct {
		values      []float64
		share, want float64
	}{{nil, 0.99, 0}, {[]float64{3}, 0.99, 3}, {ten, 0.5, 5}, {ten, 0.99, 10}, {ten, 0, 1}} {
		if got := percentile(c.values, c.share); got != c.want {
			t.Errorf("%v of %v: got %v, want %v", c.share, c.values, got, c.want)
		}
	}
}
