package inspect

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/sequence"
	"pawl/pkg/store"
)

// withSequencer lets fn ask about the series state as a relay would.
func withSequencer(state *store.OfflineState, fn func(*sequence.Sequencer) error) error {
	dir, err := os.MkdirTemp("", "pawl-journal-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	empty, err := store.OpenJournal(dir, store.JournalOptions{})
	if err != nil {
		return err
	}
	defer empty.Close()
	seq, stop, err := sequence.Offline(state.State, empty)
	if err != nil {
		return senselessError{err}
	}
	defer stop()
	return fn(seq)
}

// senselessError is a state that is whole and does not decode.
type senselessError struct{ error }

func (e senselessError) Unwrap() error { return e.error }

// state decodes every value, the corrections' too.
func (v *verifier) state(state *store.OfflineState) {
	var series, corrections int
	err := withSequencer(state, func(s *sequence.Sequencer) error {
		ctx := context.Background()
		err := s.Series(ctx, func(string, labels.Labels) bool { return true }, nil, func(sequence.SeriesInfo) bool { series++; return true })
		return errors.Join(err, s.Corrections(ctx, nil, func(sequence.Entry) bool { corrections++; return true }))
	})
	if err != nil {
		v.senseless("state", state.Of(), "the series state", err)
		return
	}
	v.found(store.Finding{Part: "state", Path: state.Of(), Offset: -1, Text: fmt.Sprintf("%d series and %d corrections, all of which decode", series, corrections)})
}
