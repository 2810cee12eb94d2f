package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// Salvage is what became of a damaged log that was set aside.
type Salvage struct {
	Damage []Finding // what is lost; none: the log is whole, and nothing was done
	Aside  string    // where the damaged log is now
	First  uint64    // seq of the first record of the new one
	Kept   uint64    // records that were taken over, with new seqs from First on
}

// SalvageJournal reads the whole journal in dir, and if it is damaged sets it aside and begins a new one with the records from from on
// that can be read, those behind the damage too. The new one begins at a seq that was never used. A journal that ends before record
// reach, which is known to have been in it, is damaged for that alone. The journal must not be open. A crash at any instant leaves the old one in place, or the new one
// to be found by FinishSalvage.
func SalvageJournal(dir string, from, reach uint64, log *slog.Logger) (Salvage, error) {
	var out Salvage
	c := &scan{dir: dir, part: "journal"}
	if err := c.run(); err != nil {
		return out, fmt.Errorf("read the journal: %w", err)
	}
	out.Damage = onlyDamage(c.findings)
	if end := max(c.next, 1); end <= reach {
		out.Damage = append(out.Damage, Finding{Part: "journal", Level: Damaged, Path: dir, Offset: -1,
			Text: recordsWord(end, reach+1) + " are missing: the series state knows of them, so the journal is older than it, or gone"})
	}
	if len(out.Damage) == 0 {
		return out, nil
	}
	out.First = max(c.next, c.head.end, reach+1)
	err := rebuild(dir, &out, log, func(tmp string) error {
		if err := beginAt(tmp, out.First); err != nil {
			return err
		}
		j, err := OpenJournal(tmp, JournalOptions{Logger: log})
		if err != nil {
			return err
		}
		again := &scan{dir: dir, fn: func(r Record) error {
			if r.Seq < from {
				return nil
			}
			out.Kept++
			r.Payload = append([]byte(nil), r.Payload...)
			return j.Append([]Record{r})
		}}
		return errors.Join(again.run(), j.Close())
	})
	return out, err
}

// SalvageRejected is the same for a rejected log: its batches that can be read and were not settled get new positions.
func SalvageRejected(dir string, maxBytes int64, log *slog.Logger) (Salvage, error) {
	var out Salvage
	c := &scan{dir: dir, part: "rejected"}
	settled := map[uint64]bool{}
	c.fn = func(r Record) error {
		if s, reason := getSettled(r); reason == "" {
			for _, seq := range s.Seqs {
				settled[seq] = true
			}
		}
		return nil
	}
	if err := c.run(); err != nil {
		return out, fmt.Errorf("read the rejected log: %w", err)
	}
	if out.Damage = onlyDamage(c.findings); len(out.Damage) == 0 {
		return out, nil
	}
	out.First = max(c.next, c.head.end, 1)
	err := rebuild(dir, &out, log, func(tmp string) error {
		if err := beginAt(tmp, out.First); err != nil {
			return err
		}
		l, err := OpenRejected(tmp, maxBytes, log)
		if err != nil {
			return err
		}
		again := &scan{dir: dir, fn: func(r Record) error {
			b, reason := getRejected(r)
			if reason != "" || settled[r.Seq] {
				return nil
			}
			out.Kept++
			return l.Add(b)
		}}
		return errors.Join(again.run(), l.Close())
	})
	return out, err
}

func onlyDamage(findings []Finding) (damage []Finding) {
	for _, f := range findings {
		if f.Level == Damaged {
			damage = append(damage, f)
		}
	}
	return damage
}

// beginAt makes a log's directory whose first record will be first.
func beginAt(dir string, first uint64) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	b := make([]byte, headFileLen)
	putHeadSlot(b[headSlotStride:], headSlot{generation: 1, first: first, end: first, segment: first, offset: segmentHeaderLen})
	f, err := disk{}.create(filepath.Join(dir, "head"), b)
	if err != nil {
		return err
	}
	return f.Close()
}

// The stages of a new log: it is built as .new, and is whole once it is called .salvaged.
const (
	stageNew   = ".new"
	stageWhole = ".salvaged"
)

// rebuild has a new log built beside dir, and puts it in dir's place.
func rebuild(dir string, out *Salvage, log *slog.Logger, build func(tmp string) error) error {
	tmp, whole := dir+stageNew, dir+stageWhole
	if err := errors.Join(os.RemoveAll(tmp), os.RemoveAll(whole)); err != nil {
		return fmt.Errorf("begin a new log: %w", err)
	}
	log.Warn("reading the damaged log; what is whole is taken over into a new one", "path", dir)
	if err := build(tmp); err != nil {
		return fmt.Errorf("take over what is whole of %s: %w", dir, errors.Join(err, os.RemoveAll(tmp)))
	}
	d := disk{}
	if err := d.rename(tmp, whole); err != nil {
		return err
	}
	var err error
	if out.Aside, err = setAside(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return FinishSalvage(dir)
}

// FinishSalvage does what a crash kept SalvageJournal or SalvageRejected from: it puts the new log in the place of the old one, if that
// was set aside already. There is nothing to do otherwise.
func FinishSalvage(dir string) error {
	whole := dir + stageWhole
	if _, err := os.Lstat(whole); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err // the old one is in its place: it is whole by now, or is salvaged again
	}
	d := disk{}
	if err := d.rename(whole, dir); err != nil {
		return fmt.Errorf("put the new log in its place: %w", err)
	}
	return d.syncDir(filepath.Dir(dir))
}

// setAside moves dir out of the way, keeping it, and returns its new name.
func setAside(dir string) (string, error) {
	for n := 1; ; n++ {
		to := fmt.Sprintf("%s.damaged-%d", filepath.Clean(dir), n)
		if _, err := os.Lstat(to); err == nil {
			continue
		}
		if err := os.Rename(dir, to); err != nil {
			return "", fmt.Errorf("set %s aside: %w", dir, err)
		}
		return to, disk{}.syncDir(filepath.Dir(to))
	}
}
