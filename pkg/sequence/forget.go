package sequence

import "pawl/pkg/correct"

// outlived drops what was remembered of a series that was away for longer
// than correct.forget_after.
func (w *writer) outlived(id uint32, s *series) {
	if w.natives.all[id] != nil {
		w.renew(id)
	}
	if s.flags&isPart != 0 {
		w.dissolve(s.counter - 1)
		return
	}
	if s.counter != 0 {
		*w.table.counters.at(s.counter - 1) = correct.Counter{}
	}
	delete(w.table.troubles, id)
	s.flags &^= isTroubled
}

// startAnew drops every offset: the upstream has had raw values so far, and
// the first corrected one must follow on from them.
func (w *writer) startAnew() {
	for gid, g := range w.groups.all {
		if g != nil {
			w.dissolve(uint32(gid))
		}
	}
	for id := range w.table.troubles {
		w.touch(id)
		w.outlived(id, w.table.series.at(id))
	}
	for id := range w.natives.all {
		w.renew(id)
	}
}

// forgetAll drops the series whose keys a KindForget record holds.
func (w *writer) forgetAll(payload []byte) {
	for len(payload) >= keyLen {
		k := decodeKey(payload)
		payload = payload[keyLen:]
		if id, ok := w.table.find(k); ok {
			if w.carries(id, w.table.series.at(id)) && !w.observe {
				w.lose(k)
			}
			w.forget(id)
		}
	}
	w.forgotten = w.next - 1
}

// forget drops what is known of a series. A histogram of which one part is
// forgotten starts anew as a whole.
func (w *writer) forget(id uint32) {
	s := w.table.series.at(id)
	w.touch(id)
	w.labels.page(id >> pageBits)
	if s.flags&isPart != 0 {
		w.dissolve(s.counter - 1)
	}
	if n := w.natives.all[id]; n != nil {
		w.touchNative(id, n)
		delete(w.natives.all, id)
	}
	w.targets.leave(id)
	w.table.forget(id)
}
