package config

import (
	"fmt"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// The words of the correct section.
const (
	ModeCorrect = "correct" // decide, record and forward what was corrected
	ModeObserve = "observe" // decide and record, forward untouched

	TypeAuto    = "auto"    // find out by metadata, name and behaviour
	TypeCounter = "counter" // may only go up
	TypeGauge   = "gauge"   // never touched

	ResetsFold = "fold" // corrected values go on rising through restarts
	ResetsPass = "pass" // restarts stay visible, as PromQL sees them
	ResetsMark = "mark" // restarts go out as they are, each with a 0 before it

	LossesAuto    = "auto"    // decide by the evidence whether a drop comes back
	LossesRestore = "restore" // every partial drop is a loss: what was gone is put back
	LossesHold    = "hold"    // every partial drop comes back: the value is held until it does
)

// Correct says what is corrected and how.
type Correct struct {
	// Mode: correct (default) is the only one in this release.
	Mode string `yaml:"mode"`

	// JoinWait is how long the parts of one classic histogram, which may arrive in
	// different requests, may wait for each other once one of them looks suspicious;
	// 0 to 5m of journal time. Default 5s: Prometheus' batch deadline. Healthy parts never wait.
	// In this release histograms are corrected series by series, so it has no effect yet.
	JoinWait model.Duration `yaml:"join_wait"`

	// ForgetAfter: the state of a series not seen for so long is dropped, in journal
	// time. Default 720h (30 days), longer than a service is usually away before it resumes its counters.
	ForgetAfter model.Duration `yaml:"forget_after"`

	// Rules override what the relay finds out by itself: the first one that matches a series decides. Default none.
	Rules []Rule `yaml:"rules,omitempty"`
}

// Rule is one override.
type Rule struct {
	// Match is one PromQL vector selector, such as {__name__=~"node_cpu_.+",mode="iowait"}. Required.
	Match string `yaml:"match"`
	// Type: counter | gauge | auto. Default auto.
	Type string `yaml:"type"`
	// Resets: fold | pass | mark. Default fold.
	Resets string `yaml:"resets"`
	// Losses: auto | restore | hold. Default auto.
	Losses string `yaml:"losses"`
	// Impute puts the usual step in the place of one that a loss has hidden. Default
	// false: nothing is ever added that was not seen.
	Impute bool `yaml:"impute"`
	// Wrap is the width in bits of a counter that wraps around: 32, 53 or 64. Default
	// 0: only a wrap at 32 bits is looked for, where the evidence allows no other reading.
	Wrap int `yaml:"wrap"`

	// Matchers is Match, parsed. All of them must match.
	Matchers []*labels.Matcher `yaml:"-"`
}

func defaultRule() Rule {
	return Rule{Type: TypeAuto, Resets: ResetsFold, Losses: LossesAuto}
}

// Matches reports whether every matcher of the rule accepts the label set.
func (r *Rule) Matches(ls labels.Labels) bool {
	for _, m := range r.Matchers {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

func (c *Correct) validate(p *problems, at string) {
	switch c.Mode {
	case ModeCorrect, ModeObserve:
	default:
		p.oneOf(at+"mode", c.Mode, ModeCorrect, ModeObserve)
	}
	if c.JoinWait < 0 || c.JoinWait > maxJoinWait {
		p.at(at+"join_wait", "%s is outside of 0s to %s", c.JoinWait, maxJoinWait)
	}
	if c.ForgetAfter <= c.JoinWait {
		p.at(at+"forget_after", "%s must be longer than join_wait (%s)", c.ForgetAfter, c.JoinWait)
	}
	for i := range c.Rules {
		c.Rules[i].validate(p, fmt.Sprintf("%srules[%d]", at, i))
	}
}

func (r *Rule) validate(p *problems, at string) {
	r.matchers(p, at+".match")
	p.oneOf(at+".type", r.Type, TypeCounter, TypeGauge, TypeAuto)
	p.oneOf(at+".resets", r.Resets, ResetsFold, ResetsPass, ResetsMark)
	p.oneOf(at+".losses", r.Losses, LossesAuto, LossesRestore, LossesHold)
	switch r.Wrap {
	case 0, 32, 53, 64:
	default:
		p.at(at+".wrap", "%d is not one of 0, 32, 53, 64 (bits)", r.Wrap)
	}
}

func (r *Rule) matchers(p *problems, at string) {
	if r.Match == "" {
		p.at(at, `missing: a rule needs a selector, such as '{__name__=~"node_cpu_.+"}'`)
		return
	}
	ms, err := parser.NewParser(parser.Options{}).ParseMetricSelector(r.Match)
	if err != nil {
		p.at(at, "%q is not a PromQL selector: %v", r.Match, err)
		return
	}
	if len(ms) == 0 {
		p.at(at, `%q has no matcher; to match every series write '{__name__!=""}'`, r.Match)
		return
	}
	r.Matchers = ms
}

// maxJoinWait bounds what a suspicious histogram holds back: longer than that, the upstream may refuse it as too old.
const maxJoinWait = model.Duration(5 * 60 * 1e9)
