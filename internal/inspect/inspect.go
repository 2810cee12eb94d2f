// Package inspect reads a storage path that no relay is using: all of it to say
// whether it is whole (Verify), or to print what is in it (Dump). It never
// writes there. What is on disk is described in docs/format.md; pkg/store reads
// the files, this package says what their contents mean.
package inspect

import (
	"errors"
	"fmt"
	"io"
	"os"

	"pawl/pkg/config"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// ErrDamaged ends a reading that found damage; what, was printed.
var ErrDamaged = errors.New("the storage path is damaged")

// UsageError is a path that cannot be read as it is asked for: there is
// nothing of the relay's, or a relay is running there.
type UsageError struct{ error }

func (e UsageError) Unwrap() error { return e.error }

func open(path string) (*store.Offline, error) {
	o, err := store.OpenOffline(path)
	if errors.Is(err, os.ErrPermission) || err == nil {
		return o, err
	}
	return nil, UsageError{err}
}

// VerifyOptions are what Verify needs to know.
type VerifyOptions struct {
	Path    string    // --storage.path of the relay
	Scratch string    // where the database is copied to, to be opened; "" for the system's own place
	Out     io.Writer // a line for every thing
	JSON    bool      // the lines are JSON objects
}

// Verify reads every byte and prints a line for every thing: what is there,
// what is wrong with it, what to do about it. ErrDamaged if anything that was
// acknowledged is missing or changed.
func Verify(o VerifyOptions) error {
	in, err := open(o.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	p := &printer{w: o.Out, json: o.JSON}
	v := verifier{p: p}
	v.found(in.Lock())
	found, err := in.Journal(v.journalRecord)
	v.found(found...)
	if err != nil {
		return err
	}
	state, found, err := in.State(o.Scratch)
	v.found(found...)
	if err != nil {
		return err
	}
	if state != nil {
		v.found(in.Agree()...)
		v.state(state)
		if err := state.Close(); err != nil {
			return err
		}
	}
	found, err = in.Rejected(v.rejectedBatch)
	v.found(found...)
	if err != nil {
		return err
	}
	found, err = in.Held(v.heldBatch)
	v.found(found...)
	if err != nil {
		return err
	}
	v.found(in.Ballast())
	others, err := in.Others()
	v.found(others...)
	if err == nil {
		err = p.flush()
	}
	if err == nil && v.damaged {
		err = ErrDamaged
	}
	return err
}

// verifier prints findings, its own among them: a record can be as it was
// written and yet mean nothing.
type verifier struct {
	p       *printer
	batch   rewrite.Batch
	damaged bool
}

func (v *verifier) found(findings ...store.Finding) {
	for _, f := range findings {
		v.damaged = v.damaged || f.Level == store.Damaged
		v.p.finding(f)
	}
}

// senseless is a record whose checksum matches and whose content does not.
func (v *verifier) senseless(part, path, what string, err error) {
	v.found(store.Finding{Part: part, Level: store.Damaged, Path: path, Offset: -1, Text: fmt.Sprintf("%s is as it was written and cannot be understood: %v", what, err),
		Remedy: "it was written by another release, or by a fault of this one: please report it"})
}

func (v *verifier) journalRecord(r store.Record) error {
	var err error
	switch r.Kind {
	case store.KindBatch1:
		err = v.batch.Decode(rewrite.V1, r.Tenant, r.Payload, rewrite.Limits{})
	case store.KindBatch2:
		err = v.batch.Decode(rewrite.V2, r.Tenant, r.Payload, rewrite.Limits{})
	case store.KindRules:
		_, err = config.ParseDecisions(r.Payload, "rules")
	case store.KindForget, store.KindTick:
	default:
		err = fmt.Errorf("kind %d is not known", r.Kind)
	}
	if err != nil {
		v.senseless("journal", "journal", fmt.Sprintf("record %d", r.Seq), err)
	}
	return nil
}

func (v *verifier) rejectedBatch(b store.Rejected, _ store.Outcome) error {
	if b.Body == nil {
		return nil
	}
	if err := v.batch.Decode(rewrite.Version(b.Version), b.Tenant, b.Body, rewrite.Limits{}); err != nil {
		v.senseless("rejected", "rejected", fmt.Sprintf("batch %d", b.Seq), err)
	}
	return nil
}

func (v *verifier) heldBatch(path string, h store.Held) error {
	for i, p := range h.Parts {
		if err := v.batch.Decode(rewrite.Version(p.Version), h.Tenant, p.Body, rewrite.Limits{}); err != nil {
			v.senseless("held", path, fmt.Sprintf("part %d of batch %d", i+1, h.Seq), err)
		}
	}
	return nil
}
