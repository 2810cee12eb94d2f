package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Held is a batch that is kept aside: a journal record's, as corrected, or what of it is one tenant's.
type Held struct {
	Seq     uint64 // of the journal's record
	Time    int64  // ms, when that was received
	Tenant  string
	Samples uint32 // and histograms, of all parts
	Replay  bool   // it was read back after a start: the upstream may have it already
	Parts   []HeldPart
}

// HeldPart is one request's body, compressed: what was held out of earlier batches comes before the batch.
type HeldPart struct {
	Version uint8 // of remote write, 1 or 2
	Body    []byte
}

// record is h as it stands on disk. Its payload: 1 if it is a replay, else 0 (1 byte), and of each part the version (1), the length
// of the body (uvarint) and the body.
func (h *Held) record() Record {
	n := 1
	for _, p := range h.Parts {
		n += 1 + binary.MaxVarintLen32 + len(p.Body)
	}
	b := make([]byte, 1, n)
	if h.Replay {
		b[0] = 1
	}
	for _, p := range h.Parts {
		b = append(b, p.Version)
		b = binary.AppendUvarint(b, uint64(len(p.Body)))
		b = append(b, p.Body...)
	}
	return Record{Seq: h.Seq, Time: h.Time, Kind: KindHeld, Tenant: h.Tenant, Samples: h.Samples, Payload: b}
}

// getHeld says in words why r is none. The bodies alias the record's payload.
func getHeld(r Record) (Held, string) {
	if r.Kind != KindHeld || len(r.Payload) < 1 {
		return Held{}, fmt.Sprintf("record of kind %d with %d bytes is no batch kept aside", r.Kind, len(r.Payload))
	}
	h := Held{Seq: r.Seq, Time: r.Time, Tenant: r.Tenant, Samples: r.Samples, Replay: r.Payload[0] == 1}
	for b := r.Payload[1:]; len(b) > 0; {
		n, used := binary.Uvarint(b[1:])
		if used <= 0 || n > uint64(len(b)-1-used) {
			return Held{}, fmt.Sprintf("part %d does not fit", len(h.Parts)+1)
		}
		end := 1 + used + int(n)
		h.Parts = append(h.Parts, HeldPart{Version: b[0], Body: b[1+used : end : end]})
		b = b[end:]
	}
	return h, ""
}

// Held reads what was kept aside for tenants whose batches the upstream did not take, as a kill leaves it. fn, if not nil, gets every
// batch that can be read and the file that it is in; its bodies are valid until fn returns. Damage is a Note: the journal has every one
// of these batches, and the next start empties the folder. The error is the disk's, or fn's.
func (o *Offline) Held(fn func(path string, h Held) error) ([]Finding, error) {
	c := &heldScan{fn: fn, dir: o.path("held")}
	entries, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the relay was stopped, or nothing was ever kept aside
	}
	if err != nil {
		return nil, fmt.Errorf("read the batches kept aside: %w", err)
	}
	for _, e := range entries {
		if err := c.file(e.Name()); err != nil {
			return c.findings, fmt.Errorf("read the batches kept aside: %w", err)
		}
	}
	text := fmt.Sprintf("%d batches of tenants that the upstream did not take; the journal has them too", c.batches)
	return append([]Finding{{Part: "held", Path: c.dir, Offset: -1, Text: text}}, c.findings...), nil
}

// heldScan reads every byte of the batches kept aside.
type heldScan struct {
	fn       func(path string, h Held) error
	dir      string
	batches  int
	findings []Finding
}

func (c *heldScan) note(path string, offset int64, format string, args ...any) {
	c.findings = append(c.findings, Finding{Part: "held", Level: Note, Path: path, Offset: offset, Text: fmt.Sprintf(format, args...),
		Remedy: "the journal has every batch kept aside, and the next start empties this folder"})
}

func (c *heldScan) file(name string) error {
	path := filepath.Join(c.dir, name)
	var n uint32
	if _, err := fmt.Sscanf(name, "%d", &n); err != nil || name != parkedName(n) {
		c.note(path, -1, "is none of the relay's")
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	w, seed := window{f: f, limit: st.Size()}, salted(uint64(n))
	for at := int64(0); at < w.limit; {
		b, h, reason, err := w.record(at, seed)
		if err != nil {
			return err
		}
		var held Held
		if reason == "" {
			held, reason = getHeld(h.record(b))
		}
		if reason == "" {
			c.batches++
			at += h.size()
			if c.fn != nil {
				if err := c.fn(path, held); err != nil {
					return err
				}
			}
			continue
		}
		next, err := w.wholeAfter(at, seed)
		if err != nil {
			return err
		}
		if next < 0 {
			c.note(path, at, "%d bytes that are no record, as an unfinished write leaves them (%s)", w.limit-at, reason)
			return nil
		}
		c.note(path, at, "%d bytes that are no record, and whole ones behind: %s", next-at, reason)
		at = next
	}
	return nil
}

// wholeAfter is where the next whole record begins behind off, -1 if there is none.
func (w *window) wholeAfter(off int64, seed uint32) (int64, error) {
	for {
		next, err := w.find(off + 1)
		if err != nil || next < 0 {
			return -1, err
		}
		off = next
		if _, _, reason, err := w.record(off, seed); err != nil || reason == "" {
			return off, err
		}
	}
}
