package rewrite

import (
	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/relabel"
)

// Encode returns the compressed body to send in version to, and what is in it;
// if kept is empty there is nothing to send.
//
// It does no more than it must: the very bytes that came in if nothing changed,
// else the message as it was patched in place, else a spliced one, else (another
// version, or labels rewritten by relabel) one written from Prometheus' own
// message types, in which unknown fields survive only within one version. Series
// that relabel drops are left out. The relabel configs must have been validated.
//
// dst is scratch for the result. Encode may be called again and gives the same again.
func (b *Batch) Encode(dst []byte, to Version, relabel []*relabel.Config) (body []byte, kept Counts, err error) {
	b.lost = 0
	m, changed := b.Message, b.patched
	kept = Counts{Samples: len(b.Samples), Histograms: len(b.Histograms), Exemplars: b.Exemplars, Metadata: b.metadata}
	same := to == b.Version
	if same && (b.respliced() && !(to == V1 && len(relabel) > 0) || to == V2 && b.exemplarOnly()) {
		m, kept = b.splice(nil)
		changed = true
	}
	if !same || len(relabel) > 0 {
		if m, kept, err = b.convert(m, to, relabel); err != nil {
			return nil, Counts{}, err
		}
		changed = true
	}
	if !changed {
		return b.Compressed, kept, nil
	}
	return snappy.Encode(dst[:cap(dst)], m), kept, nil
}

// DroppedExemplars is the number of exemplars that the last Encode left out
// because no sample of their series was in the same request: 2.0 receivers
// refuse such. Those that relabelling or a drop took along with their series are not counted.
func (b *Batch) DroppedExemplars() int { return b.lost }
