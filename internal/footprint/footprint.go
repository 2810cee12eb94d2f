// Package footprint keeps small what the process has of the machine's memory: how much garbage may gather, and what goes back to the system.
package footprint

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Most of what is alive is tables of series without pointers. The collector does not walk them, so how often it runs costs as
// much as what it has to walk, while the garbage that it lets gather is a share of everything: at a million series 40 % are 80 MB.
// So the share is set such that the garbage is one of what has to be walked. $GOGC overrules it; see docs/performance.md.
const (
	// slackShare of what has to be walked may gather as garbage, in %.
	slackShare = 40
	// leastSlack may gather in any case, in bytes: less would have a small relay collect for every few requests.
	leastSlack = 12 << 20
	// busySlack is the least while a checkpoint is written: it makes that much garbage in half a second, and the collector would run
	// five to ten times a second. Each time whoever waits for an answer waits longer; see docs/decisions/0019.
	busySlack = 48 << 20
	// leastPercent and mostPercent bound what is given to the runtime, in % of what is alive.
	leastPercent, mostPercent = 4, 100
	// growingSlack is the least while the heap grows, by more than growth between two looks: by tables of new series, in which the
	// collector finds nothing, but would run for every leastSlack of them.
	growingSlack, growth = 2 * leastSlack, leastSlack
	// slackEvery is how often it is looked at, and beginEvery how often whether a checkpoint has begun: the first second of one, in
	// which everything is copied, made the collector run six times.
	slackEvery, beginEvery = time.Second, 50 * time.Millisecond
)

// gcPercent is the GOGC for so many bytes alive of which so many have to be walked, where least may gather in any case.
func gcPercent(alive, walked, least uint64) int {
	if alive == 0 {
		return mostPercent
	}
	slack := max(walked*slackShare/100, least)
	return int(min(max(slack*100/alive, leastPercent), mostPercent))
}

// What a first scrape or a checkpoint took and left free goes back to the system: the runtime by itself keeps a tenth of what is alive.
const (
	// idleLeast is what is worth it, in bytes: more than the collector leaves free after each run, leastSlack.
	idleLeast = 14 << 20
	// idleLooks is how many looks in a row it must have been free at.
	idleLooks = 2
	// idlePause is how many looks pass before the next time at least: giving back stops allocations for some milliseconds.
	idlePause = 3
)

// idle sees what stays free.
type idle struct{ looks, pause int }

// look reports whether it is time to give back what is free, in bytes, at this look.
func (i *idle) look(free uint64) bool {
	i.pause--
	if free < idleLeast {
		i.looks = 0
		return false
	}
	if i.looks++; i.looks < idleLooks || i.pause > 0 {
		return false
	}
	*i = idle{pause: idlePause}
	return true
}

// unmapEvery is how often the program's own pages are let go: what it takes to fetch the needed ones again is then nothing.
// The first time is soon after the start, which needs most of them, and the pauses double: new series and their histograms need some
// that nothing else does.
const unmapFirst, unmapEvery = 2 * time.Second, 20 * time.Second

// slack is how much may gather, by what is going on.
type slack struct{ alive uint64 } // bytes, at the last look

// least is how much may gather in any case, in bytes. It is more where what is free, too, is needed again soon.
func (s *slack) least(alive uint64, busy bool) uint64 {
	grows := alive > s.alive+growth
	s.alive = alive
	switch {
	case busy:
		return busySlack
	case grows:
		return growingSlack
	}
	return leastSlack
}

// begins sees when a checkpoint begins.
type begins struct{ busy bool }

// look reports whether one has begun since the last look.
func (b *begins) look(busy bool) bool {
	was := b.busy
	b.busy = busy
	return busy && !was
}

// Keep does so until ctx is done: GOGC at gcPercent, unless $GOGC is set, what stays free given back, and the program's own pages let go.
// busy tells whether a checkpoint is being written; when ctx is done, the last one is about to be.
func Keep(ctx context.Context, busy func() bool) {
	now, fixed := mostPercent, os.Getenv("GOGC") != ""
	if !fixed {
		debug.SetGCPercent(now)
	}
	spans := ownSpans()
	pause := unmapFirst
	unmap := time.NewTimer(pause)
	defer unmap.Stop()
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	var unused idle
	var gathers slack
	tick, check := time.NewTicker(slackEvery), time.NewTicker(beginEvery)
	defer tick.Stop()
	defer check.Stop()
	var checkpoint begins
	for over := false; !over; {
		select {
		case <-ctx.Done():
			over = true
		case <-unmap.C:
			unmapUnused(spans)
			unmap.Reset(pause)
			pause = min(2*pause, unmapEvery)
			continue
		case <-check.C:
			if !checkpoint.look(busy()) {
				continue
			}
		case <-tick.C:
		}
		metrics.Read(heap)
		alive := heap[0].Value.Uint64()
		least := gathers.least(alive, over || busy())
		if least == leastSlack && unused.look(heap[2].Value.Uint64()) {
			debug.FreeOSMemory()
		}
		if fixed {
			continue
		}
		if want := gcPercent(alive, heap[1].Value.Uint64(), least); want != now {
			now = want
			debug.SetGCPercent(now)
		}
	}
}
