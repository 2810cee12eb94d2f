package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	apiv1 "github.com/prometheus/prometheus/web/api/v1"
)

// upstreamVersion is what the embedded Prometheus says of itself, so that
// Grafana knows what it may ask. It is the pinned module's release.
const upstreamVersion = "3.15.0"

// headRange keeps all stories in the TSDB's head. The head refuses samples
// older than half of it, and the stories are hours long and sent one by one.
const headRange = 24 * time.Hour

// servedPaths are the parts of Prometheus' API that need nothing but storage
// and the engine. The rest (targets, rules, status of a server) stays away.
var servedPaths = []string{
	"/api/v1/write",
	"/api/v1/query", "/api/v1/query_range", "/api/v1/format_query", "/api/v1/parse_query",
	"/api/v1/labels", "/api/v1/label/", "/api/v1/series", "/api/v1/status/buildinfo",
}

// upstream is a Prometheus without a scraper: it takes remote write 1.0 and
// 2.0 and answers PromQL.
type upstream struct {
	url    string // http://host:port, without a path
	db     *tsdb.DB
	engine *promql.Engine
	server *httpServer
}

// startUpstream opens a TSDB under dir and serves it on address.
func startUpstream(dir, address string, logger *slog.Logger) (*upstream, error) {
	opts := tsdb.DefaultOptions()
	opts.MinBlockDuration = headRange.Milliseconds()
	opts.MaxBlockDuration = headRange.Milliseconds()
	opts.RetentionDuration = 0
	db, err := tsdb.Open(filepath.Join(dir, "upstream"), logger, nil, opts, tsdb.NewDBStats())
	if err != nil {
		return nil, fmt.Errorf("open the upstream's TSDB: %w", err)
	}
	u := &upstream{db: db, engine: newEngine(logger)}
	u.server, err = listen(address, u.handler(logger), logger)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve the upstream: %w", err), db.Close())
	}
	u.url = u.server.url
	return u, nil
}

func newEngine(logger *slog.Logger) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		Logger:               logger,
		MaxSamples:           50_000_000, // Prometheus' default
		Timeout:              30 * time.Second,
		LookbackDelta:        5 * time.Minute,
		EnableAtModifier:     true,
		EnableNegativeOffset: true,
		Parser:               parser.NewParser(parser.Options{}),
	})
}

// handler is Prometheus' own API over the TSDB and the engine, cut down to servedPaths.
func (u *upstream) handler(logger *slog.Logger) http.Handler {
	api := apiv1.NewAPI(
		u.engine, u.db, u.db, u.db, u.db,
		nil, nil, nil, // scrape pools, targets, alertmanagers
		func() config.Config { return config.DefaultConfig },
		nil, apiv1.GlobalURLOptions{},
		func(h http.HandlerFunc) http.HandlerFunc { return h }, // ready from the start
		nil, "", false, false, 0, // admin API, search
		logger,
		nil,     // rules
		0, 0, 0, // remote read
		false, nil,
		nil, &apiv1.PrometheusVersion{Version: upstreamVersion},
		nil, nil, // notifications
		nil, prometheus.NewRegistry(), nil,
		true, remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType},
		false, false, false, // OTLP
		false, 5*time.Minute, false, false,
		nil, nil, apiv1.OpenAPIOptions{}, nil,
	)
	router := route.New()
	api.Register(router.WithPrefix("/api/v1"))
	mux := http.NewServeMux()
	for _, p := range servedPaths {
		mux.Handle(p, router)
	}
	return mux
}

// ask is the one value of expr at a time in ms.
func (u *upstream) ask(ctx context.Context, expr string, at int64) (float64, error) {
	v, err := u.query(ctx, expr, at)
	if err != nil {
		return 0, err
	}
	if len(v) != 1 {
		return 0, fmt.Errorf("%s at %d gave %d results, not one", expr, at, len(v))
	}
	return v[0].F, nil
}

// increaseExpr asks for sum(increase(selector[range])) with the window (start-1ms,
// end], which holds exactly the story's samples, so that PromQL has nothing to
// extrapolate: what it shows is what it believes was counted.
func increaseExpr(selector string, start, end int64) string {
	return fmt.Sprintf("sum(increase(%s[%dms]))", selector, end-start+1)
}

// query evaluates expr at t (ms).
func (u *upstream) query(ctx context.Context, expr string, t int64) (promql.Vector, error) {
	q, err := u.engine.NewInstantQuery(ctx, u.db, nil, expr, time.UnixMilli(t))
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", expr, err)
	}
	defer q.Close()
	v, err := q.Exec(ctx).Vector()
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", expr, err)
	}
	return append(promql.Vector(nil), v...), nil
}

// samples returns what is stored of the one float series that m selects, oldest first.
func (u *upstream) samples(ctx context.Context, start, end int64, m ...*labels.Matcher) ([]sample, error) {
	q, err := u.db.Querier(start, end)
	if err != nil {
		return nil, fmt.Errorf("read the upstream's TSDB: %w", err)
	}
	defer q.Close()
	set := q.Select(ctx, false, nil, m...)
	var out []sample
	for n := 0; set.Next(); n++ {
		if n > 0 {
			return nil, fmt.Errorf("%v selects more than one series", m)
		}
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			t, v := it.At()
			out = append(out, sample{t: t, v: v})
		}
		if err := it.Err(); err != nil {
			return nil, fmt.Errorf("read the upstream's TSDB: %w", err)
		}
	}
	if err := set.Err(); err != nil {
		return nil, fmt.Errorf("read the upstream's TSDB: %w", err)
	}
	return out, nil
}

// await returns once the last corrected sample of every series of st is there.
// The relay keeps order per series, so the others are there too.
func (u *upstream) await(ctx context.Context, st story) error {
	start, end := st.span()
	for _, se := range st.series {
		last := se.samples[len(se.samples)-1].t
		for {
			got, err := u.samples(ctx, start, end, se.matchers(pathCorrected)...)
			if err != nil {
				return err
			}
			if len(got) > 0 && got[len(got)-1].t == last {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s: %d of %d samples arrived: %w", se.selector(pathCorrected), len(got), len(se.samples), ctx.Err())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

func (u *upstream) stop() error {
	return errors.Join(u.server.stop(), u.engine.Close(), u.db.Close())
}

// httpServer is a loopback listener with its server.
type httpServer struct {
	url  string
	srv  *http.Server
	done chan error
}

// listen serves h on address until stop.
func listen(address string, h http.Handler, logger *slog.Logger) (*httpServer, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	s := &httpServer{
		url:  "http://" + l.Addr().String(),
		srv:  &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)},
		done: make(chan error, 1),
	}
	go func() { s.done <- s.srv.Serve(l) }()
	return s, nil
}

// stop lets requests under way end, for at most two seconds.
func (s *httpServer) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := s.srv.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.srv.Close()
	}
	if serr := <-s.done; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}
