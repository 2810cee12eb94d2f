// Command target is what docker-compose.yaml scrapes: three counters that break
// in the ways the relay is for, each beside a counter of the truth.
//
//	demo_requests_total        loses its last increments now and then, as after a crash
//	demo_pool_requests_total   is summed over four workers that are replaced in turn
//	demo_iowait_seconds_total  dips for a moment and comes back
//	demo_..._true_total        what really happened
package main

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"
)

func main() {
	address := ":8000"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	f := newFaulty(rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)))
	go func() {
		for range time.Tick(time.Second) {
			f.second()
		}
	}()
	http.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		f.write(w)
	})
	srv := &http.Server{Addr: address, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(srv.ListenAndServe())
}

const (
	requestsBefore = 72_929  // the service has been up for a while
	ticksBefore    = 512_345 // of 10 ms

	crashOneIn   = 120 // seconds
	crashLoses   = 3   // increments, at most
	workers      = 4
	workerServes = 500 // requests before it is replaced
	dipOneIn     = 60  // seconds
	dipTicks     = 3   // at most
	dipSeconds   = 5   // long enough for a scrape to see it
)

// faulty is the state of all three, moved on once a second.
type faulty struct {
	mu  sync.Mutex
	rng *rand.Rand

	requests, requestsTrue int
	pool                   [workers]int
	poolTrue               int
	ticksTrue              int
	dip, dipLeft           int // ticks below the truth, seconds to go
}

func newFaulty(rng *rand.Rand) *faulty {
	f := &faulty{rng: rng, requests: requestsBefore, requestsTrue: requestsBefore, ticksTrue: ticksBefore}
	for w := range f.pool {
		f.pool[w] = rng.IntN(workerServes)
		f.poolTrue += f.pool[w]
	}
	return f
}

func (f *faulty) second() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rng.IntN(crashOneIn) == 0 {
		f.requests -= 1 + f.rng.IntN(crashLoses)
	} else if f.rng.IntN(3) == 0 {
		f.requests++
		f.requestsTrue++
	}
	for w := range f.pool {
		n := f.rng.IntN(3)
		f.poolTrue += n
		if f.pool[w] += n; f.pool[w] >= workerServes {
			f.pool[w] -= workerServes
		}
	}
	f.ticksTrue += f.rng.IntN(3)
	if f.dipLeft--; f.dipLeft <= 0 {
		f.dip = 0
		if f.rng.IntN(dipOneIn) == 0 {
			// Below what was read last: the ticks of these seconds are not shown either.
			f.dip, f.dipLeft = 2*dipSeconds+1+f.rng.IntN(dipTicks), dipSeconds
		}
	}
}

// write is the text exposition format.
func (f *faulty) write(w io.Writer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	pool := 0
	for _, n := range f.pool {
		pool += n
	}
	counter(w, "demo_requests_total", "Requests, of which a crash loses the last.", float64(f.requests))
	counter(w, "demo_requests_true_total", "Requests that were really counted.", float64(f.requestsTrue))
	counter(w, "demo_pool_requests_total", "Requests, summed over workers that are replaced.", float64(pool))
	counter(w, "demo_pool_requests_true_total", "Requests that the pool really served.", float64(f.poolTrue))
	counter(w, "demo_iowait_seconds_total", "Seconds that dip and come back.", float64(f.ticksTrue-f.dip)/100)
	counter(w, "demo_iowait_seconds_true_total", "Seconds really waited.", float64(f.ticksTrue)/100)
}

func counter(w io.Writer, name, help string, v float64) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s counter\n%s %v\n", name, help, name, name, v)
}
