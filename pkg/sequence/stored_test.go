package sequence

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"pawl/pkg/correct"
	"pawl/pkg/store"
)

// Stored is one record of the series state as it lies on disk, for people.
type Stored struct {
	Kind        string            `json:"kind"`            // series, labels, histogram, native, correction, family, rules, clock
	Place       uint32            `json:"place"`           // of series, labels, native and histogram
	Key         string            `json:"key,omitempty"`   // of the series, or the one that a histogram's parts share
	SeenS       int64             `json:"seenS,omitempty"` // journal time, s
	Tenant      string            `json:"tenant,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	T           int64             `json:"t,omitempty"` // of the last sample, ms
	Raw         *float64          `json:"raw,omitempty"`
	Out         *float64          `json:"out,omitempty"`
	Counts      map[string]int    `json:"counts,omitempty"`
	Parts       []StoredPart      `json:"parts,omitempty"`       // of a histogram
	WaitsUntil  int64             `json:"waitsUntil,omitempty"`  // journal time, ms
	RecordBytes int               `json:"recordBytes,omitempty"` // before compression
	Value       any               `json:"value,omitempty"`       // of what is in no page: the correction, the family, the rules, the clock
}

// StoredPart is one series of a histogram.
type StoredPart struct {
	Place  uint32  `json:"place"` // of the series
	T      int64   `json:"t,omitempty"`
	Raw    float64 `json:"raw"`
	Offset float64 `json:"offset,omitempty"`
}

// DecodeStored calls fn for every record of one key of the series state, as
// pkg/store's Load and Scan give it.
func DecodeStored(key, value []byte, fn func(Stored) error) error {
	if len(key) == 0 {
		return errShort
	}
	switch prefix := key[0]; prefix {
	case store.PrefixSeries, store.PrefixLabels, store.PrefixHistogram:
		return decodeStoredPage(prefix, key, value, fn)
	case store.PrefixNative:
		place, err := storedPlace(key)
		if err != nil {
			return err
		}
		n, err := decodeNative(value)
		if err != nil {
			return fmt.Errorf("native histogram %d: %w", place, err)
		}
		s := Stored{Kind: "native", Place: place, Counts: countsByKind(&n.counts), RecordBytes: len(value)}
		if t, raw, out, known := n.histogram.Last(); known {
			s.T, s.Raw, s.Out = t, number(raw), number(out)
		}
		return fn(s)
	case store.PrefixCorrection:
		e, err := decodeEntry(key[1:], value)
		if err != nil {
			return err
		}
		return fn(Stored{Kind: "correction", Tenant: e.Tenant, Labels: e.Labels.Map(), Key: fmt.Sprintf("%d.%d", e.Place.Seq, e.Place.Index), Value: json.RawMessage(value)})
	case store.PrefixFamily:
		return fn(Stored{Kind: "family", Key: string(key[1:]), Value: json.RawMessage(value)})
	case store.PrefixMeta:
		switch name := string(key[1:]); {
		case name == metaClock && len(value) == 8:
			return fn(Stored{Kind: name, Value: int64(binary.BigEndian.Uint64(value))})
		default:
			return fn(Stored{Kind: name, Value: string(value)})
		}
	}
	return fmt.Errorf("key %q is of no kind that this release knows", key)
}

func decodeStoredPage(prefix byte, key, value []byte, fn func(Stored) error) error {
	place, err := storedPlace(key)
	if err != nil {
		return err
	}
	records, err := unpackPage(nil, value)
	if err != nil {
		return fmt.Errorf("page %c%d: %w", prefix, place, err)
	}
	first := pieces(nil).first(pageOf(prefix, place))
	return eachPaged(records, func(slot uint32, record []byte) error {
		s := Stored{Place: first + slot, RecordBytes: len(record)}
		var err error
		switch prefix {
		case store.PrefixSeries:
			err = s.series(record)
		case store.PrefixLabels:
			err = s.labels(record)
		default:
			err = s.group(record)
		}
		if err != nil {
			return fmt.Errorf("page %c%d, place %d: %w", prefix, place, s.Place, err)
		}
		return fn(s)
	})
}

func (s *Stored) series(record []byte) error {
	key, rest, err := seriesKey(record)
	if err != nil {
		return err
	}
	s.Kind, s.Key = "series", FormatKey(key)
	var c correct.Counter
	var tr trouble
	seen, counter, err := readSeries(rest, &c, &tr)
	if err != nil {
		return err
	}
	s.SeenS = int64(seen)
	if !counter || !c.Seen() {
		return nil
	}
	s.T, s.Raw, s.Out, s.Counts = c.T, number(c.Raw), number(c.Raw), countsByKind(&tr.counts)
	if tr.rest != nil {
		s.Out = number(c.Out(tr.rest))
	}
	return nil
}

func (s *Stored) labels(record []byte) error {
	key, rest, err := seriesKey(record)
	if err != nil {
		return err
	}
	id, err := decodeIdentity(rest)
	s.Kind, s.Key, s.Tenant, s.Labels = "labels", FormatKey(key), id.Tenant, id.Labels.Map()
	return err
}

func (s *Stored) group(record []byte) error {
	g, err := readGroup(record, new(correct.Shared))
	if err != nil {
		return err
	}
	s.Kind, s.Key, s.WaitsUntil, s.Counts = "histogram", FormatKey(g.key), g.deadline, countsByKind(g.counts)
	for i, place := range g.members {
		p := StoredPart{Place: place}
		if t, raw, _, offset, known := g.histogram.Last(i); known {
			p.T, p.Raw, p.Offset = t, finite(raw), finite(offset)
		}
		s.Parts = append(s.Parts, p)
	}
	return nil
}

// number is a value that JSON has a number for.
func number(v float64) *float64 { v = finite(v); return &v }
