package sequence

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"pawl/pkg/store"
)

// Offline answers questions about the state of a storage path that no relay is
// using: every value of it is decoded, as a start does it. journal is an empty
// one; nothing is written to it. The sequencer returned takes Series,
// Corrections and Position only, until stop is called.
func Offline(state *store.State, journal *store.Journal) (s *Sequencer, stop func(), err error) {
	m := newMetrics(prometheus.NewRegistry())
	good, _ := state.Good()
	w, err := newWriter(Options{State: state, Journal: journal, Logger: slog.New(slog.DiscardHandler)}, good, m)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(w.stopped)
		for {
			select {
			case ask := <-w.asks:
				ask()
			case <-ctx.Done():
				return
			}
		}
	}()
	return &Sequencer{writer: w, log: w.log}, func() { cancel(); <-ended }, nil
}

// Rules are the rules in force at the checkpoint, as the journal holds them; "" before the first.
func (s *Sequencer) Rules(ctx context.Context) (rules string, err error) {
	err = s.writer.ask(ctx, func() { rules = string(s.writer.rules) })
	if err != nil {
		return "", fmt.Errorf("rules in force: %w", err)
	}
	return rules, nil
}

// ForgottenKeys are the keys that a KindForget record holds, as FormatKey writes them.
func ForgottenKeys(payload []byte) (keys []string) {
	for ; len(payload) >= keyLen; payload = payload[keyLen:] {
		keys = append(keys, FormatKey(decodeKey(payload)))
	}
	return keys
}
