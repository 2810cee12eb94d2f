// Package rewrite owns the wire formats: it decodes a remote-write request in
// place, lets single samples be changed, and encodes it again with as little
// work as the change needs.
//
// A batch stays a batch: one request in is one request out. Decode checks a
// request completely, so that whatever it accepted can be encoded in either
// version later. Encode gives back the very bytes that came in when nothing
// changed, overwrites eight bytes for a changed value, rebuilds only the
// TimeSeries concerned where lengths change, and goes through Prometheus' own
// message types where the version or the labels change.
//
// Sources of the rules: the remote-write specifications 1.0 and 2.0-rc.4, and
// what Prometheus' own receiver (storage/remote/write_handler.go) does where
// they leave a choice. doc.go lists the choices.
package rewrite

import (
	"fmt"
	"math"
)

// Version is a version of the remote-write protocol.
type Version uint8

const (
	// V1 is prometheus.WriteRequest (remote write 1.0).
	V1 Version = 1
	// V2 is io.prometheus.write.v2.Request (remote write 2.0, rc.4; rc.3's start timestamp is understood).
	V2 Version = 2
)

// Limits bound one message. Zero means no limit of its own.
type Limits struct {
	MaxDecodedBytes    int // bytes of the decompressed message; checked before anything of that size is allocated
	MaxLabels          int // labels per series, and per exemplar
	MaxLabelValueBytes int // bytes of one label's value; names are held to it too

	Memory  *Memory // of what was found good under these limits before; nil: none
	Account Account // of what is held for the message's entries; nil: nobody asks
}

// Account is asked before a Batch takes memory for what is known of its series
// and samples: Hold takes n more bytes, or says why not, which ends Decode with
// that error. Room that the Batch had before it is not asked for.
type Account interface{ Hold(n int) error }

// MetricType is a metric's type as writev2.Metadata_MetricType numbers it; 0 is unspecified.
type MetricType uint8

// Sample is one float sample as it will be forwarded. Read it freely; change it
// by SetValue, SetStart and Drop only.
type Sample struct {
	T  int64   // timestamp, ms
	V  float64 // value; stale markers keep their bits
	ST int64   // start timestamp, ms; 0: not given

	val int32 // where the value's eight bytes are in Message; 0: proto3 left a zero out
	st  int32 // where the start timestamp's varint is in Message; 0: the sample has none of its own
}

// Histogram is one native histogram sample as it came; ST is kept up to date. Its value is read
// by FloatHistogram and changed by SetHistogram, SetHistogramStart and DropHistogram only.
type Histogram struct {
	T  int64 // timestamp, ms
	ST int64 // start timestamp, ms; 0: not given

	p0, p1 int32 // the Histogram message in Message
}

// Series is one TimeSeries of the request. The same series may have several in one request.
type Series struct {
	Key    Key
	Type   MetricType // 2.0's inline metadata, else 0
	flags  uint8
	labels uint8 // how many it has, where same has any bits
	front  uint8 // how many bytes of labels stand in front of the first whose bit is not in same; farFront: they are to be walked
	S0, S1 int32 // its samples: Batch.Samples[S0:S1]
	H0, H1 int32 // its histograms: Batch.Histograms[H0:H1]

	at, p0, p1 int32 // in Message: the field's tag, and the TimeSeries message
	exemplars  int32
	same       uint32 // see Same
}

const (
	createdField = 1 << iota // carries rc.3's created_timestamp (TimeSeries field 6)
	stripped                 // goes out without the label of its replica (see SeekReplicas)
	dropped                  // does not go out (see DropSeries)
)

// Metadata is one entry of a 1.0 metadata request.
type Metadata struct {
	Family string
	Type   MetricType
}

// Batch is one request, decoded in place. Decode resets it and reuses its
// memory: a warm Batch decodes series and samples without allocation. A Batch
// is not safe for concurrent use.
type Batch struct {
	Version    Version
	Tenant     string
	Compressed []byte // the request's body as it came in; aliases what was given to Decode
	Message    []byte // decompressed, owned by the Batch; values are patched in it
	Series     []Series
	Samples    []Sample
	Histograms []Histogram
	Metadata   []Metadata // 1.0 only; entries without a family name are left out
	Exemplars  int

	lim      Limits
	metadata int      // metadata entries in the message
	symbols  []symbol // 2.0's table

	// Label sets repeat from one series to the next: what the last series' labels were found to be.
	block  labelBlocks  // 1.0
	refs   refSet       // 2.0
	about  metadataMemo // 2.0
	times  timeMemo
	dup    []span // scratch of the search for duplicate names
	recall recall // 1.0: what the sender sent before

	// Edits. edits[s] is kept for all samples once a first one cannot be made in place.
	patched bool
	edited  bool
	edits   []uint8
	natives map[int32]histogramEdit // by index into Histograms; only those that are edited
	pairs   pairs
	cut     bool            // a series was dropped
	zeros   map[int32]int64 // by index into Samples: when a 0 goes out before that, ms

	spliced []byte // Message with its splices applied
	series  []byte // one rebuilt TimeSeries
	lost    int    // exemplars left out by the last Encode
	conv    *converter
}

// Edits of a sample that cannot be made by overwriting bytes of the same length.
const (
	editRebuild uint8 = 1 << iota // the Sample message is written anew
	editDrop                      // the sample is left out
	editZero                      // a 0 goes out before it
)

// Counts is what a body carries.
type Counts struct{ Samples, Histograms, Exemplars, Metadata int }

// FormatError says why a request is malformed, and where. It is the sender's fault and final (400).
type FormatError struct {
	Series int    // index of the TimeSeries, -1 if it is not in one
	Offset int    // byte offset in the decompressed message, -1 if it has none
	Reason string // one line, without text from the request
}

func (e *FormatError) Error() string {
	switch {
	case e.Offset < 0:
		return e.Reason
	case e.Series < 0:
		return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason)
	}
	return fmt.Sprintf("series %d, byte %d: %s", e.Series, e.Offset, e.Reason)
}

// TooLargeError says which limit a request goes over (413).
type TooLargeError struct {
	What   string // what is too large, with its unit
	Limit  int
	Got    int // -1 if it was not counted to the end
	Series int // index of the TimeSeries, -1 if it is not in one
}

func (e *TooLargeError) Error() string {
	s := fmt.Sprintf("%s over the limit of %d", e.What, e.Limit)
	if e.Got >= 0 {
		s = fmt.Sprintf("%d %s", e.Got, s)
	}
	if e.Series >= 0 {
		s = fmt.Sprintf("series %d: %s", e.Series, s)
	}
	return s
}

// maxMessage keeps every offset in an int32.
const maxMessage = math.MaxInt32 - 64

// Footprint returns the bytes that the Batch holds on to, so that a pool can let a giant go.
func (b *Batch) Footprint() int {
	return cap(b.pairs.list)*memberBytes + cap(b.pairs.refs) + cap(b.Message) + cap(b.Series)*seriesBytes + cap(b.Samples)*sampleBytes + cap(b.Histograms)*histogramBytes +
		cap(b.symbols)*symbolBytes + cap(b.Metadata)*metadataBytes + cap(b.spliced) + cap(b.series) + cap(b.edits) +
		(cap(b.block.labels)+cap(b.block.next))*memoBytes + cap(b.recall.fresh)*blockBytes + (cap(b.refs.pairs)+cap(b.refs.next))*pairBytes + cap(b.dup)*8 + b.conv.footprint()
}
