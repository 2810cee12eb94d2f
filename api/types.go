package api

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Float is a sample's value. In JSON a finite one is a number, the others are the
// strings "NaN", "+Inf" and "-Inf", for JSON has no such numbers.
type Float float64

// MarshalJSON writes the shortest text that reads back to the same value.
func (f Float) MarshalJSON() ([]byte, error) {
	v := float64(f)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.AppendQuote(nil, strconv.FormatFloat(v, 'f', -1, 64)), nil
	}
	return strconv.AppendFloat(nil, v, 'g', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Float) UnmarshalJSON(b []byte) error {
	s := string(b)
	if unquoted, err := strconv.Unquote(s); err == nil {
		s = unquoted
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("%s is not a value: %w", b, err)
	}
	*f = Float(v)
	return nil
}

// Status is the answer of /api/v1/status.
type Status struct {
	Version       string    `json:"version"`
	StartTime     time.Time `json:"startTime"`
	UptimeSeconds float64   `json:"uptimeSeconds"`
	Mode          string    `json:"mode"`               // correct
	Ready         bool      `json:"ready"`              // accepts writes
	NotReady      string    `json:"notReady,omitempty"` // why it does not, in words

	Journal    JournalStatus    `json:"journal"`
	Checkpoint CheckpointStatus `json:"checkpoint"`
	Backlog    BacklogStatus    `json:"backlog"`
	Upstream   UpstreamStatus   `json:"upstream"`

	Series int `json:"series"` // with state
}

// JournalStatus is where everyone is in the journal, by sequence number; the first record ever has 1.
type JournalStatus struct {
	First     uint64 `json:"first"`     // oldest record kept
	End       uint64 `json:"end"`       // what the next record will get
	Applied   uint64 `json:"applied"`   // last one whose samples were corrected
	Delivered uint64 `json:"delivered"` // last one before which nothing waits for the upstream
	Bytes     int64  `json:"bytes"`     // on disk
}

// CheckpointStatus is the last good checkpoint. All zero before the first.
type CheckpointStatus struct {
	Version uint64    `json:"version"`
	Seq     uint64    `json:"seq"` // last journal record whose effect is in it
	Time    time.Time `json:"time,omitzero"`
	Keys    uint64    `json:"keys"`
}

// BacklogStatus is what is acknowledged and not delivered yet.
type BacklogStatus struct {
	Samples int64   `json:"samples"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"` // age of the oldest
}

// UpstreamStatus is how the upstream is doing.
type UpstreamStatus struct {
	URL         string    `json:"url"`     // without its password
	Healthy     bool      `json:"healthy"` // it takes batches, though perhaps not those of every tenant
	LastError   string    `json:"lastError,omitempty"`
	LastSuccess time.Time `json:"lastSuccess,omitzero"` // not given before the first
	InFlight    int       `json:"inFlight"`             // requests

	HeldTenants int          `json:"heldTenants"`    // whose batches it does not take, while it may take the others'
	Held        []HeldTenant `json:"held,omitempty"` // at most 100, those that have waited longest
}

// HeldTenant is a tenant whose batches the upstream does not take; they are kept aside and tried again.
type HeldTenant struct {
	Tenant    string    `json:"tenant"`
	Since     time.Time `json:"since,omitzero"`   // when the upstream began not to; not given while it takes the first ones again
	Status    int       `json:"status,omitempty"` // of its last answer; not given when there was none
	LastError string    `json:"lastError,omitempty"`
	Batches   int       `json:"batches"` // kept aside on disk
}

// SeriesQuery selects series.
type SeriesQuery struct {
	Matchers [][]*labels.Matcher // any of the sets; none: every series
	Tenant   *string             // nil: of every tenant
	Limit    int                 // at most so many
	After    string              // cursor, "" for the first page
}

// Series is what the relay remembers of one series.
type Series struct {
	Labels        map[string]string `json:"labels"`
	Tenant        string            `json:"tenant"`
	Type          string            `json:"type"`       // counter, gauge, ...
	TypeSource    string            `json:"typeSource"` // how the type is known: rule, metadata, name, ...
	LastTimestamp time.Time         `json:"lastTimestamp,omitzero"`
	LastRaw       Float             `json:"lastRaw"`
	LastCorrected Float             `json:"lastCorrected"`
	Offset        Float             `json:"offset"`       // corrected less raw
	Corrections   map[string]int    `json:"corrections"`  // by kind; kinds with none are left out
	Interleaving  bool              `json:"interleaving"` // several sources seem to answer for it in turn
}

// CorrectionQuery selects corrections.
type CorrectionQuery struct {
	Matchers   [][]*labels.Matcher // any of the sets; none: of every series
	Kinds      []string            // any of them; none: every kind
	Start, End time.Time           // of the corrected sample, both included; zero: open
	Limit      int
	After      string
}

// Correction is one entry of the log of corrections.
type Correction struct {
	Labels        map[string]string `json:"labels"`
	Tenant        string            `json:"tenant"`
	Time          time.Time         `json:"time"`                  // of the sample
	PreviousTime  time.Time         `json:"previousTime,omitzero"` // of the sample before
	Kind          string            `json:"kind"`
	Previous      Float             `json:"previous"`          // raw, before
	Raw           Float             `json:"raw"`               // raw, now
	Corrected     Float             `json:"corrected"`         // forwarded
	Amount        Float             `json:"amount"`            // change of the offset; negative when a correction was revoked
	FalseIncrease Float             `json:"falseIncrease"`     // what increase() over the raw values would have shown too much
	Pending       bool              `json:"pending"`           // what follows may still revise it
	Settles       *time.Time        `json:"settles,omitempty"` // time of the pending correction that this one settles
	Evidence      []Evidence        `json:"evidence"`
	Seq           string            `json:"seq"` // journal record and place in it; unique
}

// Evidence is one reason for a verdict.
type Evidence struct {
	Test    string `json:"test"`
	LogOdds Float  `json:"logOdds"` // natural logarithm of how much likelier what was seen is after a full reset than after a loss; below 0 speaks against a restart
	Text    string `json:"text"`
}

// SummaryRow is one group of corrections.
type SummaryRow struct {
	By            map[string]string `json:"by"`
	Count         int               `json:"count"`
	Amount        Float             `json:"amount"`
	FalseIncrease Float             `json:"falseIncrease"`
}

// page is one page of a list.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

type summary struct {
	By     []string     `json:"by"`
	Groups int          `json:"groups"` // how many there are
	Rows   []SummaryRow `json:"rows"`   // the largest of them
}
