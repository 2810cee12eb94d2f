package store

import (
	"time"

	"github.com/dgraph-io/ristretto/v2/z"
)

// Leisurely says whether what the database does beside its callers, which is writing memtables out and merging tables, rests in between,
// so that a fifth of a core and a few hundred KB a sync is all that it takes from others. At first it does not. Whoever has to wait for
// the database to be opened or closed has it hurry. It is one for all states of the process; see third_party/ristretto/PAWL.md.
func (s *State) Leisurely(on bool) { z.Leisurely.Store(on) }

// AtWork tells whether a checkpoint is being written, or the database merges tables after it, leisurely.
func (s *State) AtWork() bool { return z.Leisurely.Load() && !s.db.quiet() }

// Worked is how long that has taken so far without the rests, while it was leisurely.
func (s *State) Worked() time.Duration { return z.Worked() }
