package sequence

import (
	"bytes"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/config"
	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
)

// What the sender says of a metric; the numbers are remote write 2.0's
// (io.prometheus.write.v2.Metadata.MetricType).
const (
	typeUnknown        = rewrite.MetricType(0)
	typeCounter        = rewrite.MetricType(1)
	typeGauge          = rewrite.MetricType(2)
	typeHistogram      = rewrite.MetricType(3)
	typeGaugeHistogram = rewrite.MetricType(4)
	typeSummary        = rewrite.MetricType(5)
	typeInfo           = rewrite.MetricType(6)
	typeStateset       = rewrite.MetricType(7)
)

// family is what is known of a metric family of one tenant, beside its series.
type family struct {
	Type    rewrite.MetricType `json:"type,omitempty"`
	Changes uint8              `json:"changes,omitempty"` // how often its type changed
	Buckets bool               `json:"buckets,omitempty"` // has series name_bucket with le
	Summary bool               `json:"summary,omitempty"` // has series with quantile
}

// maxTypeChanges: two targets that give one name different types would turn
// it over for ever; after so many changes nobody is believed.
const maxTypeChanges = 4

// parted tells whether the family has parts that are judged as one.
func (f family) parted() bool { return f.Buckets || f.Summary }

// typeIs is the type that the family's metadata gives, if it can be believed.
func (f family) typeIs() rewrite.MetricType {
	if f.Changes > maxTypeChanges {
		return typeUnknown
	}
	return f.Type
}

// rule is one compiled item of correct.rules.
type rule struct {
	matchers []*labels.Matcher
	typ      string // counter, gauge, auto
	policy   uint16
}

// classifier decides which series are counters, from the configured rules,
// from metadata, and from names that show two signs (CORRECTION.md, "What
// counts as a counter").
type classifier struct {
	rules    []rule
	policies []correct.Policy // policies[0] is the default
	families map[string]family
	changed  map[string]struct{} // families to be written with the next checkpoint
	key      []byte              // scratch
	recent   [2]recentFamily     // found last: the series of a family come side by side
	turn     int                 // the one of them to be replaced next
	gen      uint32              // moves when anything moved that a decision rests on
	bounds   boundsOf
}

// recentFamily is a family and its key.
type recentFamily struct {
	key []byte // empty: none
	family
}

func newClassifier() *classifier {
	return &classifier{
		policies: []correct.Policy{{}}, families: map[string]family{}, changed: map[string]struct{}{}, gen: 1,
	}
}

// adopt puts rules in force.
func (c *classifier) adopt(cfg config.Correct) {
	c.rules, c.policies = nil, []correct.Policy{{}}
	for _, r := range cfg.Rules {
		c.rules = append(c.rules, rule{matchers: r.Matchers, typ: r.Type, policy: uint16(len(c.policies))})
		c.policies = append(c.policies, policyOf(r))
	}
	c.gen++
}

func policyOf(r config.Rule) correct.Policy {
	p := correct.Policy{Impute: r.Impute, Wrap: uint8(r.Wrap)}
	switch r.Resets {
	case config.ResetsPass:
		p.Resets = correct.PassResets
	case config.ResetsMark:
		p.Resets = correct.MarkResets
	}
	switch r.Losses {
	case config.LossesRestore:
		p.Losses = correct.Restore
	case config.LossesHold:
		p.Losses = correct.Hold
	}
	return p
}

// decision is what a series is and who said so.
type decision struct {
	counter bool
	policy  uint16
	source  string // rule, metadata, name, none

	gauge bool // said to be one, by a rule or by metadata
	sign  bool // by its name it says when something started

	part bool // of a histogram, or of a summary
	role correct.Role
	le   float64 // of a bucket
	base []byte  // the family's name, aliasing that of the series
}

// decide says what series i of a batch is, of whose labels l was seen. What it returns is l's.
func (c *classifier) decide(b *rewrite.Batch, i int, l *labelsOf) *decision {
	told := b.Series[i].Type
	if len(c.rules) > 0 {
		l.decided.d = c.decideBy(b.Tenant, told, l, func() labels.Labels { return b.Labels(i) })
		return &l.decided.d
	}
	if !c.alike(told, l) {
		l.decided = decided{c.decideBy(b.Tenant, told, l, nil), c.gen, told}
	}
	return &l.decided.d
}

// decideBy decides by the labels that l holds, and by all of them where there are rules.
func (c *classifier) decideBy(tenant string, told rewrite.MetricType, l *labelsOf, labelsOf func() labels.Labels) decision {
	typ, policy := config.TypeAuto, uint16(0)
	if len(c.rules) > 0 {
		all := labelsOf()
		for _, r := range c.rules {
			if Matches(r.matchers, all) {
				typ, policy = r.typ, r.policy
				break
			}
		}
	}
	d := decision{policy: policy, source: "rule", counter: typ == config.TypeCounter}
	base, suffix := split(l.name)
	of := c.family(tenant, base)
	if typ == config.TypeAuto {
		d.counter, d.source = c.auto(tenant, told, l, suffix, of)
	}
	d.gauge = !d.counter && (d.source == "rule" || d.source == "metadata" && c.saysGauge(tenant, told, l.name))
	if d.counter {
		c.place(told, l, base, suffix, of, &d)
	} else if suffix == "_created" || string(l.name) == startMetric {
		d.sign = true
	}
	return d
}

// place finds the part of a histogram or summary that a counter is, if it is
// one, by the two halves of its name and what is known of the first. A summary may have no quantiles: then its type alone tells.
func (c *classifier) place(told rewrite.MetricType, l *labelsOf, base []byte, suffix string, of family, d *decision) {
	if told == typeUnknown {
		told = of.typeIs()
	}
	parted := told == typeSummary || told == typeHistogram || of.parted()
	switch suffix {
	case "_bucket":
		le, ok := c.bounds.parse(l.le)
		d.part, d.role, d.le = ok, correct.RoleBucket, le
	case "_count":
		d.part, d.role = parted, correct.RoleCount
	case "_sum":
		d.part, d.role = parted, correct.RoleSum
	}
	if d.part {
		d.base = base
	}
}

// auto decides by metadata, then by name, of which the suffix and what is known of the rest are given.
func (c *classifier) auto(tenant string, told rewrite.MetricType, l *labelsOf, suffix string, of family) (counter bool, source string) {
	if told == typeUnknown && suffix != "" {
		told = c.family(tenant, l.name).typeIs()
	}
	if told == typeUnknown {
		told = of.typeIs()
	}
	switch told {
	case typeCounter:
		return suffix != "_created", "metadata"
	case typeGauge, typeGaugeHistogram, typeInfo, typeStateset:
		return false, "metadata"
	case typeHistogram:
		return suffix == "_count" || suffix == "_sum" || suffix == "_bucket" && l.le != nil, "metadata"
	case typeSummary:
		return suffix == "_count" || suffix == "_sum", "metadata"
	}
	switch suffix {
	case "_total":
		return true, "name"
	case "_bucket":
		return l.le != nil, "name"
	case "_count", "_sum":
		return of.parted(), "name"
	}
	return false, "none"
}

// saysGauge tells whether metadata calls a family with this very name a gauge
// or a gauge histogram.
func (c *classifier) saysGauge(tenant string, told rewrite.MetricType, name []byte) bool {
	if told == typeUnknown {
		told = c.family(tenant, name).typeIs()
	}
	return told == typeGauge || told == typeGaugeHistogram
}

// split takes a name apart at the suffixes that mean something.
func split(name []byte) (base []byte, suffix string) {
	if len(name) == 0 {
		return name, ""
	}
	switch name[len(name)-1] {
	case 'l':
		suffix = "_total"
	case 't':
		if suffix = "_bucket"; !bytes.HasSuffix(name, []byte(suffix)) {
			suffix = "_count"
		}
	case 'm':
		suffix = "_sum"
	case 'd':
		suffix = "_created"
	}
	if n := len(name) - len(suffix); n > 0 && string(name[n:]) == suffix {
		return name[:n], suffix
	}
	return name, ""
}

// notice learns from a series seen for the first time that its family has
// buckets or quantiles, which makes counters of its _count and _sum.
func (c *classifier) notice(tenant string, l *labelsOf) {
	if l.named {
		return // that is known from the series before
	}
	if base, suffix := split(l.name); suffix == "_bucket" && l.le != nil {
		c.update(tenant, base, func(f *family) { f.Buckets = true })
	} else if suffix == "" && l.quantile != nil {
		c.update(tenant, l.name, func(f *family) { f.Summary = true })
	}
}

// learn takes metadata in.
func (c *classifier) learn(tenant string, metadata []rewrite.Metadata) {
	for _, m := range metadata {
		if m.Type == typeUnknown {
			continue
		}
		c.update(tenant, []byte(m.Family), func(f *family) {
			if f.Type != m.Type {
				f.Changes = min(f.Changes+1, maxTypeChanges+1)
			}
			f.Type = m.Type
		})
	}
}

func (c *classifier) update(tenant string, name []byte, change func(*family)) {
	was := c.family(tenant, name)
	now := was
	change(&now)
	if now.Changes > maxTypeChanges {
		now.Type = was.Type // it would turn over for ever, and with it the generation
	}
	if now != was {
		key := string(c.key)
		c.families[key] = now
		c.recent = [2]recentFamily{}
		c.changed[key] = struct{}{}
		c.gen++
	}
}

// family is what is known of a family; it leaves its key in c.key.
func (c *classifier) family(tenant string, name []byte) family {
	c.key = append(append(append(c.key[:0], tenant...), 0), name...)
	for k := range c.recent {
		if bytes.Equal(c.recent[k].key, c.key) {
			return c.recent[k].family
		}
	}
	r := &c.recent[c.turn]
	c.turn = 1 - c.turn
	r.key, r.family = append(r.key[:0], c.key...), c.families[string(c.key)]
	return r.family
}
