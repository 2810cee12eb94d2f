package sequence

import (
	"fmt"

	"pawl/pkg/store"
)

// SkipTo declares a checkpoint with what the state holds already, at record
// seq of the journal: the records up to there are gone, and what they would
// have changed will never be known. rules, if not nil, are put in force: those
// of a state that was lost went with it.
func SkipTo(state *store.State, seq uint64, rules []byte) error {
	d := state.Begin(seq)
	defer d.Abandon()
	if rules != nil {
		d.Put(append([]byte{store.PrefixMeta}, metaRules...), rules)
	}
	if err := d.Write(); err != nil {
		return fmt.Errorf("skip to journal record %d: %w", seq, err)
	}
	if err := d.Declare(); err != nil {
		return fmt.Errorf("skip to journal record %d: %w", seq, err)
	}
	return nil
}
