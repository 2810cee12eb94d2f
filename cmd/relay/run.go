package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"

	"pawl/internal/footprint"
	"pawl/pkg/config"
	"pawl/pkg/relay"
)

// shutdownTimeout is how long a listener waits for the requests that it is at.
const shutdownTimeout = 2 * time.Second

// runFlags are the flags of the run command.
type runFlags struct {
	configFile, remoteWriteURL, storagePath string
	setAsideDamaged                         bool
	write, admin                            listener
}

// listener is an address and its exporter-toolkit configuration (TLS, mTLS, basic auth).
type listener struct{ address, webConfig string }

func runCommand(app *kingpin.Application) command {
	cmd := app.Command("run", "Run the relay (default).").Default()
	f := &runFlags{}
	cmd.Flag("config.file", "Configuration file; optional where --remote-write.url is enough.").StringVar(&f.configFile)
	cmd.Flag("remote-write.url", "Upstream to forward to: short for a configuration with nothing but it.").StringVar(&f.remoteWriteURL)
	cmd.Flag("storage.path", "Directory of the journal and the series state.").Default("data/").StringVar(&f.storagePath)
	cmd.Flag("storage.set-aside-damaged", "Go on without what is damaged or missing under --storage.path: it is named in the log, and kept beside as *.damaged-N. For one start, after a start was refused.").BoolVar(&f.setAsideDamaged)
	cmd.Flag("web.listen-address", "Address of the write listener.").Default(":9201").StringVar(&f.write.address)
	cmd.Flag("web.config.file", "TLS and authentication of the write listener (exporter-toolkit's format).").StringVar(&f.write.webConfig)
	cmd.Flag("admin.listen-address", "Address of the admin listener.").Default("127.0.0.1:9202").StringVar(&f.admin.address)
	cmd.Flag("admin.web.config.file", "TLS and authentication of the admin listener (exporter-toolkit's format).").StringVar(&f.admin.webConfig)
	return command{cmd.FullCommand(), func(log *slog.Logger) error {
		if err := f.run(log); err != nil {
			return runError{err}
		}
		return nil
	}}
}

// load reads the configuration that the flags name.
func (f *runFlags) load() (*config.Config, error) {
	switch {
	case f.configFile != "" && f.remoteWriteURL != "":
		return nil, errors.New("--config.file and --remote-write.url exclude one another; put the URL into the file")
	case f.configFile != "":
		return config.Load(f.configFile)
	case f.remoteWriteURL != "":
		return config.ForURL(f.remoteWriteURL)
	}
	return nil, errors.New("where to forward to? give --remote-write.url=URL, or --config.file=FILE with remote_write in it")
}

// check refuses what must not be started.
func (f *runFlags) check() error {
	for flag, l := range map[string]listener{"web.config.file": f.write, "admin.web.config.file": f.admin} {
		if err := web.Validate(l.webConfig); err != nil {
			return fmt.Errorf("--%s: %w", flag, err)
		}
	}
	if _, _, err := net.SplitHostPort(f.write.address); err != nil {
		return fmt.Errorf("--web.listen-address: %w; write host:port, or :port for every address", err)
	}
	host, _, err := net.SplitHostPort(f.admin.address)
	if err != nil {
		return fmt.Errorf("--admin.listen-address: %w; write host:port", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) && !authenticates(f.admin.webConfig) {
		return fmt.Errorf("--admin.listen-address=%s is reachable from outside and anybody could read and forget series there: "+
			"give --admin.web.config.file with basic_auth_users or client certificates, or listen on 127.0.0.1", f.admin.address)
	}
	return nil
}

func (f *runFlags) run(log *slog.Logger) error {
	cfg, err := f.load()
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return usageError{err}
	}
	for _, w := range cfg.Warnings() {
		log.Warn(w)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var background sync.WaitGroup
	var relayed atomic.Pointer[relay.Relay] // once its storage is open
	background.Go(func() {
		footprint.Keep(ctx, func() bool { r := relayed.Load(); return r != nil && r.Checkpoints() })
	})
	defer func() { cancel(); background.Wait() }()
	// Until it is caught a SIGHUP ends the program, and opening a large state takes seconds.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	log.Info("starting", "version", version.Info(), "build", version.BuildContext())

	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), versioncollector.NewCollector("pawl"))
	loader := &reloader{flags: f, log: log, metrics: newReloadMetrics(reg)}
	// Listening comes first: a port that is taken is found out before the storage is opened.
	writeL, err := listen("web.listen-address", f.write.address)
	if err != nil {
		return err
	}
	defer writeL.Close()
	adminL, err := listen("admin.listen-address", f.admin.address)
	if err != nil {
		return err
	}
	defer adminL.Close()
	r, err := relay.New(relay.Options{
		Config: cfg, StoragePath: f.storagePath, Logger: log, Registry: reg, Version: version.Version, Reload: loader.reload,
		SetAsideDamaged: f.setAsideDamaged,
	})
	if err != nil {
		return err
	}
	loader.relay = r
	relayed.Store(r)

	// The handler below lets go of SIGTERM after the first one; a second would
	// then kill the relay in the middle of its drain, which is bounded anyway.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM)
	var g run.Group
	g.Add(run.SignalHandler(context.Background(), os.Interrupt, syscall.SIGTERM))
	addServer(&g, "write", writeL, f.write.webConfig, r.WriteServer(), log, r.Quiesce)
	addServer(&g, "admin", adminL, f.admin.webConfig, r.AdminServer(), log, nil)
	addReload(&g, hup, loader)
	g.Add(func() error { return r.Run(ctx) }, func(error) { cancel() })
	err = g.Run()
	if errors.Is(err, run.ErrSignal) {
		log.Info("stopped", "by", err)
		return nil
	}
	return err
}

// listen opens the listener of a flag.
func listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--%s=%s: %w; stop the program that has it (another relay?), or give another address", flag, address, err)
	}
	if err != nil {
		return nil, fmt.Errorf("--%s=%s: %w", flag, address, err)
	}
	return l, nil
}

// addServer adds one listener. Its interrupt closes it before the relay is
// stopped, so that no request is cut off halfway.
func addServer(g *run.Group, name string, l net.Listener, webConfig string, srv *http.Server, log *slog.Logger, before func()) {
	log = log.With("listener", name)
	srv.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	address := l.Addr().String()
	flags := &web.FlagConfig{WebListenAddresses: &[]string{address}, WebSystemdSocket: new(bool), WebConfigFile: &webConfig}
	g.Add(func() error {
		if err := web.Serve(l, srv, flags, log); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("%s listener: %w", name, err)
		}
		return nil
	}, func(error) {
		if before != nil {
			before()
		}
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
	})
}

// addReload reloads the configuration at each SIGHUP that hup gets.
func addReload(g *run.Group, hup chan os.Signal, l *reloader) {
	done := make(chan struct{})
	g.Add(func() error {
		for {
			select {
			case <-done:
				return nil
			case <-hup:
				_ = l.reload() // logged there
			}
		}
	}, func(error) { signal.Stop(hup); close(done) })
}

// reloader reads the configuration again.
type reloader struct {
	mu      sync.Mutex
	flags   *runFlags
	relay   *relay.Relay
	log     *slog.Logger
	metrics reloadMetrics
}

// reload puts the file's present contents in force; a bad one is refused
// whole and the old one goes on.
func (l *reloader) reload() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	cfg, err := l.flags.load()
	if err == nil {
		err = l.relay.ApplyConfig(cfg)
	}
	if err != nil {
		l.metrics.success.Set(0)
		l.log.Error("the new configuration was refused; the old one stays in force", "err", err)
		return err
	}
	for _, w := range cfg.Warnings() {
		l.log.Warn(w)
	}
	l.metrics.success.Set(1)
	l.metrics.at.SetToCurrentTime()
	l.log.Info("the configuration was reloaded")
	return nil
}

// reloadMetrics are named as Prometheus names its own.
type reloadMetrics struct{ success, at prometheus.Gauge }

func newReloadMetrics(reg prometheus.Registerer) reloadMetrics {
	m := reloadMetrics{
		success: prometheus.NewGauge(prometheus.GaugeOpts{Name: "pawl_config_last_reload_successful", Help: "Whether the last attempt to read the configuration succeeded."}),
		at:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "pawl_config_last_reload_success_timestamp_seconds", Help: "When the configuration was last read with success."}),
	}
	reg.MustRegister(m.success, m.at)
	m.success.Set(1)
	m.at.SetToCurrentTime()
	return m
}
