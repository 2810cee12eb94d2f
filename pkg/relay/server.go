package relay

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pawl/pkg/receive"
)

// Few talk to the admin listener, and a profile may take minutes.
const (
	adminConnections = 128
	adminWrite       = 10 * time.Minute
)

// WriteServer serves the write listener, with the bounds of receive.*.
func (r *Relay) WriteServer() *http.Server {
	return receive.NewServer(r.WriteHandler(), receive.DefaultTimeouts(), r.connections)
}

// AdminServer serves the admin listener.
func (r *Relay) AdminServer() *http.Server {
	t := receive.DefaultTimeouts()
	t.Write = adminWrite
	return receive.NewServer(r.AdminHandler(), t, receive.NewConnections(adminConnections))
}

// registerConnections tells how many connections the write listener has.
func registerConnections(reg prometheus.Registerer, c *receive.Connections) {
	reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pawl_receive_connections",
			Help: "Connections of the write listener (receive.max_connections)."}, func() float64 { return float64(c.Open()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "pawl_receive_connections_closed_total",
			Help: "Connections closed to keep receive.max_connections."}, func() float64 { return float64(c.Closed()) }),
	)
}
