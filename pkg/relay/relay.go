// Package relay is the relay in one piece: it opens the storage, joins
// receiving, sequencing and forwarding, and starts and stops them in the right
// order.
//
//	receive ─▶ sequence ─▶ forward
//	              │
//	            store
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"pawl/internal/killpoint"
	"pawl/pkg/config"
	"pawl/pkg/forward"
	"pawl/pkg/receive"
	"pawl/pkg/sequence"
)

// The memory between the senders and the upstream, in bytes; what does not
// fit waits in the journal.
const (
	tailBytes   = 64 << 20 // committed, not yet applied
	windowBytes = 64 << 20 // applied, not yet acknowledged by the upstream
)

// checkpointEvery trades the work of writing changed series against the length
// of the replay after a crash.
const checkpointEvery = 30 * time.Second

// drainFor is how long a stop waits for the upstream. What is not delivered by
// then stays in the journal for the next start.
const drainFor = 5 * time.Second

// Options are what a Relay is made of.
type Options struct {
	Config      *config.Config
	StoragePath string
	Logger      *slog.Logger
	Registry    *prometheus.Registry
	Version     string
	// SetAsideDamaged says to go on without what is damaged on disk: it is named, and kept beside.
	SetAsideDamaged bool
	Reload          func() error // reads the configuration again and applies it; nil: there is none to read
}

// Relay is the running whole.
type Relay struct {
	opts     Options
	started  time.Time
	disk     *disk
	mark     *forward.Mark
	waited   int64 // samples that the journal held when it was opened and that no good checkpoint covers
	forward  *forward.Forwarder
	sequence *sequence.Sequencer
	receive  *receive.Handler
	rejected *rejectedBatches
	items    chan forward.Item

	connections *receive.Connections // of the write listener
	ready       atomic.Bool
	stopping    atomic.Bool
	mu          sync.Mutex // of config
	config      *config.Config
}

// New opens the storage and reads the state of the last good checkpoint. It
// neither listens nor sends: Run does.
func New(o Options) (*Relay, error) {
	d, err := openDisk(o)
	if err != nil {
		return nil, err
	}
	r := &Relay{opts: o, started: time.Now(), disk: d, config: o.Config}
	if err := r.join(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	registerBacklog(o.Registry, r)
	return r, nil
}

// join makes the parts and connects them.
func (r *Relay) join() error {
	o, good := r.opts, r.disk.good()
	rc := o.Config.RemoteWrite[0]
	r.mark = forward.NewMark(good.Seq)
	r.waited, _, _ = r.disk.journal.Backlog(good.Seq + 1)
	r.items = make(chan forward.Item, rc.QueueConfig.MaxShards)
	var err error
	r.forward, err = forward.New(forward.Options{
		Upstream: rc, TenantHeader: o.Config.Receive.TenantHeader, UserAgent: r.userAgent(),
		Mark: r.mark, Rejected: r.disk.rejected, Parked: r.disk.parked, Logger: o.Logger, Registerer: o.Registry,
	})
	if err != nil {
		return err
	}
	r.rejected = newRejectedBatches(r.disk.rejected, r.forward, o.Registry)
	delivered, err := r.disk.note.Load()
	if err != nil {
		return err
	}
	r.sequence, err = sequence.New(sequence.Options{
		Delivered: delivered,
		Journal:   r.disk.journal, State: r.disk.state, Mark: r.mark, Out: r.items, Correct: o.Config.Correct,
		CheckpointEvery: killpoint.Duration(killpoint.EnvCheckpoint, checkpointEvery),
		TailBytes:       killpoint.Bytes(killpoint.EnvMemory, tailBytes), WindowBytes: killpoint.Bytes(killpoint.EnvMemory, windowBytes),
		Logger: o.Logger, Registerer: o.Registry,
	})
	if err != nil {
		return err
	}
	r.connections = receive.NewConnections(o.Config.Receive.MaxConnections)
	registerConnections(o.Registry, r.connections)
	r.receive = receive.New(receive.Options{
		Sink: r.sequence, Pressure: r.pressure, Known: r.sequence.Known, Settings: o.Config.Receive, Logger: o.Logger, Registerer: o.Registry,
	})
	return nil
}

// Checkpoints tells whether a checkpoint is being written, or the database works on after it.
func (r *Relay) Checkpoints() bool { return r.disk.state.AtWork() }

func (r *Relay) userAgent() string { return "Pawl/" + r.opts.Version }

// Run works until ctx is done, then drains for a few seconds, writes a last
// checkpoint and closes the storage. nil means a clean stop; an error is final
// and says what to do.
func (r *Relay) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, work := errgroup.WithContext(work)
	g.Go(func() error { return r.sequence.Run(work) })
	g.Go(func() error { return r.forward.Run(work, r.items, r.current().RemoteWrite[0].QueueConfig.MaxShards) })
	g.Go(func() error { return r.disk.watch(work, r.current, r.sequence.CheckpointNow) })
	g.Go(func() error { return r.disk.noteDelivered(work, r.mark.Low) })
	g.Go(func() error {
		// The rules in force stand in the journal before the first batch that they decide.
		if err := r.sequence.Adopt(r.current().Decisions()); err != nil && !errors.Is(err, sequence.ErrStopping) {
			return fmt.Errorf("put the rules into the journal: %w", err)
		}
		killpoint.At(killpoint.RecoverReady)
		r.ready.Store(true)
		return nil
	})
	select {
	case <-ctx.Done():
		r.Quiesce()
		draining, cancel := context.WithTimeout(work, drainFor)
		r.sequence.Drain(draining)
		cancel()
	case <-work.Done(): // a part failed
		r.Quiesce()
	}
	stop()
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(advised(err), r.disk.close())
}

// Quiesce makes the write listener answer 503 from now on: the first step of a
// stop.
func (r *Relay) Quiesce() {
	r.stopping.Store(true)
	r.ready.Store(false)
}

// pressure is why nothing is accepted now, or nil.
func (r *Relay) pressure() error {
	if r.stopping.Load() {
		return sequence.ErrStopping
	}
	if !r.ready.Load() {
		return errors.New("the relay is starting")
	}
	return r.disk.pressure()
}

// WriteHandler serves the write listener.
func (r *Relay) WriteHandler() http.Handler {
	m := chi.NewRouter()
	for _, path := range []string{"/api/v1/write", "/api/v1/push", "/api/v1/receive"} { // Prometheus', Mimir's, Thanos'
		m.Method(http.MethodPost, path, r.receive)
	}
	m.Get("/-/healthy", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("Pawl is Healthy.\n")) })
	m.Get("/-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := r.pressure(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("Pawl is Ready.\n"))
	})
	m.Handle("/metrics", promhttp.HandlerFor(r.opts.Registry, promhttp.HandlerOpts{}))
	return m
}

// ApplyConfig puts another configuration in force: all of it that can change
// while running, or, with an error, nothing. What takes a restart is said in
// the log.
func (r *Relay) ApplyConfig(c *config.Config) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.forward.Configure(c.RemoteWrite[0], c.Receive.TenantHeader, r.userAgent()); err != nil {
		return err
	}
	if err := r.sequence.Adopt(c.Decisions()); err != nil {
		old := r.config
		return errors.Join(fmt.Errorf("put the rules into the journal: %w", err),
			r.forward.Configure(old.RemoteWrite[0], old.Receive.TenantHeader, r.userAgent()))
	}
	r.receive.Configure(c.Receive)
	r.connections.Limit(c.Receive.MaxConnections)
	r.config = r.untilRestart(c)
	return nil
}

// untilRestart is c with what only a start can change left as it is, so that
// what is shown as in force is. The log says what that is.
func (r *Relay) untilRestart(c *config.Config) *config.Config {
	kept := *c
	if old := r.config.Journal; c.Journal != old {
		r.opts.Logger.Warn("journal settings change with the next start only")
		kept.Journal = old
	}
	if old := r.config.RemoteWrite[0].QueueConfig.MaxShards; c.RemoteWrite[0].QueueConfig.MaxShards != old {
		r.opts.Logger.Warn("remote_write[0].queue_config.max_shards changes with the next start only")
		upstream := *c.RemoteWrite[0]
		upstream.QueueConfig.MaxShards = old
		kept.RemoteWrite = append(kept.RemoteWrite[:0:0], &upstream)
	}
	return &kept
}

// current is the configuration in force.
func (r *Relay) current() *config.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.config
}
