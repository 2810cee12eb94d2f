package config

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v2"
)

// Decisions is all of a configuration that a decision about a sample rests on:
// what a rules record of the journal holds, so that a replay decides as it was
// decided the first time.
type Decisions struct {
	Correct `yaml:",inline"`
	HA      *HA `yaml:"ha,omitempty"` // nil: off
}

// Decisions is the part of the configuration that goes through the journal.
func (c *Config) Decisions() Decisions { return Decisions{c.Correct, c.HA} }

// YAML is what a rules record of the journal holds: the keys of the correct
// section, and ha where it is given, defaults filled in. ParseDecisions reads it back to an equal value.
func (d Decisions) YAML() []byte {
	b, err := yaml.Marshal(d)
	if err != nil {
		panic(fmt.Sprintf("BUG: marshal the rules: %v", err)) // strings, numbers and durations only
	}
	return b
}

// ParseDecisions reads a rules record, as strictly as Parse does. name stands before every problem.
func ParseDecisions(b []byte, name string) (Decisions, error) {
	d := Decisions{Correct: Default().Correct}
	p := problems{file: name}
	if root := p.document(b); root != nil {
		p.section(root, &d)
	}
	if !p.unreadable {
		d.validate(&p, "")
		if d.HA != nil {
			d.HA.validate(&p)
		}
	}
	if err := p.err(); err != nil {
		return Decisions{}, err
	}
	return d, nil
}

// HA chooses one of two replicas before correcting, by Mimir's convention: of
// every pair of senders that give their series the same cluster label and
// different replica labels, one is elected; what the other sends is acknowledged
// and not forwarded. Off unless the section is given.
type HA struct {
	// ClusterLabel names the pair, and stays on what goes out. Default cluster.
	ClusterLabel string `yaml:"cluster_label"`
	// ReplicaLabel names the replica within the pair; it is taken off what goes out. Default __replica__.
	ReplicaLabel string `yaml:"replica_label"`
	// FailoverTimeout is how long nothing may have come from the elected replica, in journal time,
	// before the next sample of another one elects that; 1s to 24h. Default 30s: Mimir's, two scrapes of 15 s.
	FailoverTimeout model.Duration `yaml:"failover_timeout"`
}

func defaultHA() HA {
	return HA{
		ClusterLabel:    "cluster",
		ReplicaLabel:    "__replica__",
		FailoverTimeout: model.Duration(30 * time.Second),
	}
}

// The failover timeout's bounds. When a series was last seen is kept in
// seconds; a shorter silence could not be told from none.
const (
	minFailoverTimeout = model.Duration(time.Second)
	maxFailoverTimeout = model.Duration(24 * time.Hour)
)

func (h *HA) validate(p *problems) {
	for _, l := range []struct{ key, name string }{{"ha.cluster_label", h.ClusterLabel}, {"ha.replica_label", h.ReplicaLabel}} {
		switch {
		case l.name == "":
			p.at(l.key, "missing: name the label, or leave the key out for its default")
		case l.name == model.MetricNameLabel:
			p.at(l.key, "%q is the metric's own name", l.name)
		}
	}
	if h.ClusterLabel == h.ReplicaLabel && h.ClusterLabel != "" {
		p.at("ha.replica_label", "%q is the cluster label, too: a pair has two labels, one that is the same for both replicas and one that differs", h.ReplicaLabel)
	}
	if h.FailoverTimeout < minFailoverTimeout || h.FailoverTimeout > maxFailoverTimeout {
		p.at("ha.failover_timeout", "%s is outside of %s to %s", h.FailoverTimeout, minFailoverTimeout, maxFailoverTimeout)
	}
}
