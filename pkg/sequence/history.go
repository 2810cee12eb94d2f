package sequence

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/correct"
)

// Place is where a correction stands in the log: the journal record that
// caused it and its number within. It is the same however often the journal
// is replayed, so a replay writes the same entry over itself.
type Place struct {
	Seq   uint64
	Index uint32
}

// placeLen is the length of a place on disk, bytes.
const placeLen = 12

func (p Place) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, p.Seq)
	return binary.BigEndian.AppendUint32(b, p.Index)
}

func decodePlace(b []byte) (Place, bool) {
	if len(b) != placeLen {
		return Place{}, false
	}
	return Place{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])}, true
}

// Entry is one correction in the log, as it is kept on disk.
type Entry struct {
	Place         Place         `json:"-"`
	Received      int64         `json:"received"` // journal time, ms
	Tenant        string        `json:"tenant,omitempty"`
	Labels        labels.Labels `json:"labels"`
	Kind          string        `json:"kind"`
	T             int64         `json:"t"` // ms
	PrevT         int64         `json:"prevT"`
	Prev          float64       `json:"prev"`
	Raw           float64       `json:"raw"`
	Out           float64       `json:"out"`
	Amount        float64       `json:"amount"`
	FalseIncrease float64       `json:"falseIncrease"`
	Pending       bool          `json:"pending,omitempty"`
	Settles       int64         `json:"settles,omitempty"`
	Evidence      []Evidence    `json:"evidence"`
}

// Evidence is one term of the sum that decided.
type Evidence struct {
	Test    string  `json:"test"`
	LogOdds float64 `json:"logOdds"`
	Text    string  `json:"text"`
}

func newEntry(p Place, tenant string, ls labels.Labels, received int64, c correct.Correction) Entry {
	e := Entry{
		Place: p, Received: received, Tenant: tenant, Labels: ls, Kind: c.Kind.String(), T: c.T, PrevT: c.PrevT,
		Prev: finite(c.Prev), Raw: finite(c.Raw), Out: finite(c.Out), Amount: finite(c.Amount),
		FalseIncrease: finite(c.FalseIncrease), Pending: c.Pending, Settles: c.Settles,
		Evidence: make([]Evidence, 0, len(c.Evidence)),
	}
	for _, ev := range c.Evidence {
		e.Evidence = append(e.Evidence, Evidence{ev.Test, finite(ev.LogOdds), ev.Text})
	}
	return e
}

func (e Entry) encode() []byte {
	v, err := json.Marshal(e)
	if err != nil {
		panic("BUG: a correction does not marshal: " + err.Error())
	}
	return v
}

func decodeEntry(key, value []byte) (Entry, error) {
	var e Entry
	p, ok := decodePlace(key)
	if !ok {
		return e, fmt.Errorf("corrections log: key of %d bytes, want %d", len(key), placeLen)
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return e, fmt.Errorf("corrections log: entry %d.%d: %w", p.Seq, p.Index, err)
	}
	e.Place = p
	return e, nil
}

// finite keeps what JSON has no number for out of the log.
func finite(v float64) float64 {
	if v != v {
		return 0
	}
	return min(max(v, -math.MaxFloat64), math.MaxFloat64)
}
