package sequence

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"

	"pawl/pkg/store"
)

// load reads the last good checkpoint. Labels stay on disk, where they are
// read when somebody asks for them.
func (w *writer) load() error {
	members := loading{ts: w.targets, places: map[string]uint32{}}
	steps := []func() error{
		w.loadMeta, w.loadFamilies, w.loadHistory, func() error { return w.loadLabels(&members) }, w.loadSeries, w.loadGroups, w.loadNatives,
		func() error { members.settle(w); return w.loadTargets() }, w.loadLosses, w.loadElections,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if w.table.live > 0 {
		debug.FreeOSMemory() // what reading took
	}
	return nil
}

func (w *writer) loadMeta() error {
	return w.state.Load([]byte{store.PrefixMeta}, func(key, value []byte) error {
		switch string(key[1:]) {
		case metaRules:
			return w.adopt(value)
		case metaClock:
			if len(value) != 8 {
				return fmt.Errorf("journal time of %d bytes, want 8", len(value))
			}
			w.clock = int64(binary.BigEndian.Uint64(value))
		}
		return nil
	})
}

func (w *writer) loadFamilies() error {
	return w.state.Load([]byte{store.PrefixFamily}, func(key, value []byte) error {
		var f family
		if err := json.Unmarshal(value, &f); err != nil {
			return fmt.Errorf("metric family %q: %w", key[1:], err)
		}
		w.class.families[string(key[1:])] = f
		return nil
	})
}

// loadHistory counts the entries of the corrections log.
func (w *writer) loadHistory() error {
	return w.state.Load([]byte{store.PrefixCorrection}, func(_, _ []byte) error { w.kept++; return nil })
}

// loadLabels finds the targets of the series, and which pages are cut.
func (w *writer) loadLabels(members *loading) error {
	return w.loadPages(store.PrefixLabels, pageBits, func(place uint32, record []byte) error {
		_, identity, err := seriesKey(record)
		if err != nil {
			return err
		}
		return members.series(place, identity)
	})
}

// loadPages calls fn for every record of the pages with a prefix, in the order
// of their places.
func (w *writer) loadPages(prefix byte, bits uint32, fn func(place uint32, record []byte) error) error {
	var buf []byte
	return w.state.Load([]byte{prefix}, func(key, value []byte) error {
		place, err := storedPlace(key)
		if err != nil {
			return err
		}
		w.pieces.found(prefix, place)
		if buf, err = unpackPage(buf, value); err == nil {
			err = eachPaged(buf, func(slot uint32, record []byte) error {
				if slot>>bits != 0 {
					return errPage
				}
				return fn(place>>bits<<bits|slot, record)
			})
		}
		if err != nil {
			return fmt.Errorf("page %c%d: %w", prefix, place, err)
		}
		return nil
	})
}

func (w *writer) loadSeries() error {
	err := w.loadPages(store.PrefixSeries, pageBits, func(place uint32, record []byte) error {
		if err := w.decodeSeries(place, record); err != nil {
			return fmt.Errorf("series %d: %w", place, err)
		}
		return nil
	})
	slices.Reverse(w.table.free) // the lowest first
	return err
}

// loadGroups reads the histograms.
func (w *writer) loadGroups() error {
	gs := w.groups
	err := w.loadPages(store.PrefixHistogram, groupPageBits, func(gid uint32, record []byte) error {
		for uint32(len(gs.all)) <= gid {
			gs.spare = append(gs.spare, gs.grow())
		}
		gs.spare = gs.spare[:len(gs.spare)-1]
		if err := w.decodeGroup(gid, record); err != nil {
			return fmt.Errorf("histogram %d: %w", gid, err)
		}
		return nil
	})
	slices.Reverse(gs.spare)
	return err
}

func (w *writer) loadNatives() error {
	return w.state.Load([]byte{store.PrefixNative}, func(key, value []byte) error {
		place, err := storedPlace(key)
		if err != nil {
			return err
		}
		if !w.table.has(place) {
			return fmt.Errorf("native histogram %d has a state and is no series", place)
		}
		n, err := decodeNative(value)
		if err != nil {
			return fmt.Errorf("native histogram %d: %w", place, err)
		}
		w.natives.all[place] = n
		return nil
	})
}

// pieces are the pages that took more than one value: when they are written
// again, values that are no longer needed go. All others take one, under the
// first place of the page. The writer's until a draft begins, the
// checkpointer's while it writes.
type pieces map[pieceOf][]uint32 // the pieces' first places

type pieceOf struct {
	prefix byte
	page   uint32
}

func pageOf(prefix byte, place uint32) pieceOf {
	if prefix == store.PrefixHistogram {
		return pieceOf{prefix, place >> groupPageBits}
	}
	return pieceOf{prefix, place >> pageBits}
}

// found notes a piece that is in the last good checkpoint.
func (p pieces) found(prefix byte, place uint32) {
	of := pageOf(prefix, place)
	if last := p[of]; last != nil || place != p.first(of) {
		p[of] = append(last, place)
	}
}

func (p pieces) first(of pieceOf) uint32 {
	if of.prefix == store.PrefixHistogram {
		return of.page << groupPageBits
	}
	return of.page << pageBits
}

// put puts the page that begins with a place, in as many pieces as it takes.
// buf is scratch.
func (p pieces) put(version *store.Draft, prefix byte, first uint32, records []byte, buf *[]byte) error {
	var now []uint32
	for rest := records; len(rest) > 0; {
		piece, after, slot, err := cutPiece(rest)
		if err != nil {
			return err
		}
		place := first + slot
		if len(now) == 0 {
			place = first // so that a page of one piece has one key, whatever is free in it
		}
		var value []byte
		value, *buf = packPage(*buf, piece)
		version.Put(placeKey(prefix, place), value)
		now, rest = append(now, place), after
	}
	p.keep(version, prefix, first, now)
	return nil
}

// putPacked puts a page that is one piece, as packPage made it.
func (p pieces) putPacked(version *store.Draft, prefix byte, first uint32, value []byte) {
	version.Put(placeKey(prefix, first), value)
	p.keep(version, prefix, first, []uint32{first})
}

// keep notes which pieces the page that begins with first has now, and deletes those that it had.
func (p pieces) keep(version *store.Draft, prefix byte, first uint32, now []uint32) {
	of := pageOf(prefix, first)
	if was := p[of]; was != nil || len(now) == 0 {
		for _, place := range append(was, first) {
			if !slices.Contains(now, place) {
				version.Delete(placeKey(prefix, place))
			}
		}
	}
	delete(p, of)
	if len(now) > 1 {
		p[of] = now
	}
}

// cutPiece takes the records of one piece off a page's; slot is the first's.
func cutPiece(records []byte) (piece, after []byte, slot uint32, err error) {
	slot, _, rest, err := nextPaged(records)
	for err == nil && len(rest) > 0 {
		var longer []byte
		if _, _, longer, err = nextPaged(rest); err != nil || len(records)-len(longer) > pieceBytes {
			break
		}
		rest = longer
	}
	n := len(records) - len(rest)
	return records[:n], records[n:], slot, err
}
