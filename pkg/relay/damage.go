package relay

import (
	"errors"
	"fmt"
	"path/filepath"

	"pawl/pkg/sequence"
	"pawl/pkg/store"
)

// SetAsideFlag is the flag of `relay run` by which an operator says to go on
// without what is damaged. Messages name it.
const SetAsideFlag = "--storage.set-aside-damaged"

// refusal is an error that says how to go on.
func refusal(err error) error {
	return fmt.Errorf("%w; `relay verify` says more; restore the storage path from a backup, or go on without what is missing by starting once with %s", err, SetAsideFlag)
}

// advised adds to an error by damage, or by another relay that has the storage, how to go on.
func advised(err error) error {
	if errors.Is(err, store.ErrLocked) {
		return fmt.Errorf("%w; stop that process, or give this relay a --storage.path of its own", err)
	}
	var corrupt *store.CorruptionError
	var lost *store.StateError
	if errors.As(err, &corrupt) || errors.As(err, &lost) {
		return refusal(err)
	}
	return err
}

// mendLogs sets aside what is damaged of the journal and the rejected store,
// when the operator says so: all of both is read first, not only what a start
// must read.
func (d *disk) mendLogs(o Options) error {
	journal, rejected := d.dir("journal"), d.dir("rejected")
	for _, dir := range []string{journal, rejected} {
		if err := store.FinishSalvage(dir); err != nil {
			return err
		}
	}
	if !o.SetAsideDamaged {
		return nil
	}
	good := store.StateHead(d.dir("state")).Seq
	s, err := store.SalvageJournal(journal, good+1, good, o.Logger)
	if err == nil {
		d.report("journal", s)
		s, err = store.SalvageRejected(rejected, rejectedBytes, o.Logger)
	}
	if err == nil {
		d.report("rejected store", s)
	}
	return err
}

// report says what is lost, and where it was put.
func (d *disk) report(what string, s store.Salvage) {
	for _, f := range s.Damage {
		d.log.Error("going on without what is damaged", "what", what, "path", f.Path, "offset", f.Offset, "lost", f.Text)
	}
	if s.Aside != "" {
		d.log.Error("the damaged "+what+" was set aside, and a new one begun with what is whole of it",
			"aside", s.Aside, "taken_over", s.Kept, "first", s.First)
	}
}

// openState opens the series state. A damaged one is rebuilt where the journal
// still has everything from its first record on, and otherwise refused, or set
// aside if the operator says so.
func (d *disk) openState(o Options) (err error) {
	dir := d.dir("state")
	d.state, err = store.OpenState(dir, o.Logger, o.Registry)
	var lost *store.StateError
	if !errors.As(err, &lost) {
		return err
	}
	whole := d.journal.First() == 1 && d.journal.End() > lost.Head.Seq
	if !whole && !o.SetAsideDamaged {
		return err
	}
	aside, aerr := store.SetAsideState(dir)
	if aerr != nil {
		return errors.Join(err, aerr)
	}
	if whole {
		d.log.Warn("the series state is damaged and was set aside; it is rebuilt from the journal, which has every record", "aside", aside, "err", lost)
	} else {
		d.log.Error("going on without the series state, which is damaged and was set aside: no series has an offset any more, so those that had one fall by it at their next sample, which PromQL takes for a reset; "+
			"the corrections log begins anew, too", "aside", aside, "keys", lost.Head.Keys, "seq", lost.Head.Seq, "err", lost)
	}
	if d.state, err = store.OpenState(dir, o.Logger, o.Registry); err != nil {
		return err
	}
	if d.journal.First() > 1 {
		return sequence.SkipTo(d.state, d.journal.First()-1, o.Config.Decisions().YAML())
	}
	return nil
}

// agree refuses a journal and a state between which records are missing, or
// goes on without them if the operator says so.
func (d *disk) agree(o Options) error {
	seq := d.good().Seq
	first, end := d.journal.First(), d.journal.End()
	switch {
	case first > seq+1:
		err := fmt.Errorf("the journal begins at record %d, but the last good checkpoint reaches only to %d: records %d to %d are missing", first, seq, seq+1, first-1)
		if !o.SetAsideDamaged {
			return refusal(err)
		}
		d.log.Error("going on without what is missing", "what", "journal", "err", err)
		return sequence.SkipTo(d.state, first-1, nil)
	case end < seq+1:
		return refusal(fmt.Errorf("the journal ends before record %d, but the last good checkpoint reaches to %d: it is older than the series state, or gone, and acknowledged records with it", end, seq))
	}
	return nil
}

func (d *disk) dir(name string) string { return filepath.Join(d.path, name) }
