package correct

// histEpoch is from when on samples of one part go out otherwise than before:
// the one at at as out, later ones as raw + off, and never below out.
//
// Each part has its own, entered when a sample goes out that those it has do
// not give. So whatever its siblings gave away afterwards, and however far behind or
// ahead it was, a sample that comes again goes out as it did.
type histEpoch struct {
	at       int64 // ms
	out, off float64
	flags    uint8
}

const (
	epochFolded = 1 << iota // start timestamps go out as those of the folded series
	epochFree               // there is no floor: a reset that went out as it was, or a sum of negative observations
	epochOldest             // those before it are forgotten: it stands for them
	epochFlags  = epochFolded | epochFree | epochOldest

	// maxHistEpochs bounds how far back late and repeated samples of a part get
	// their old bits: at the worst, a histogram that dips at every timestamp, 32 samples.
	maxHistEpochs = 32
)

// went notes that s went out for part i as its out says; free: as it came,
// whatever went out before. It allocates only when it opens an epoch.
func (h *Histogram) went(i int, s Sample, free bool) {
	cs := h.cs
	hp := &cs.parts[i]
	out, st := cs.at(i, s)
	if !free && out == hp.out && st == h.start(s.ST) {
		return
	}
	e := histEpoch{at: s.T, out: hp.out, off: hp.off}
	if cs.folded {
		e.flags |= epochFolded
	}
	if free || h.parts[i].c.kin.role == RoleSum && h.negative() {
		e.flags |= epochFree
	}
	if len(hp.epochs) == maxHistEpochs {
		hp.epochs = append(hp.epochs[:0], hp.epochs[1:]...)
		hp.epochs[0].flags |= epochOldest
	}
	hp.epochs = append(hp.epochs, e)
}

// recalled takes back that the sample at time t went out for part i.
func (cs *histCase) recalled(i int, t int64) {
	hp := &cs.parts[i]
	if n := len(hp.epochs); n > 0 && hp.epochs[n-1].at == t {
		hp.epochs = hp.epochs[:n-1]
	}
}

// at is what goes out for a sample of part i that is not newer than its last, and its start timestamp.
func (cs *histCase) at(i int, s Sample) (float64, int64) {
	list := cs.parts[i].epochs
	k := len(list) - 1
	for k >= 0 && s.T < list[k].at {
		k--
	}
	v, st := s.V, s.ST
	switch {
	case k >= 0:
		e := &list[k]
		v = e.value(s)
		if e.flags&epochFolded != 0 && st != 0 {
			st = cs.history.startST
		}
	case len(list) > 0 && list[0].flags&epochOldest != 0:
		v += list[0].off
	}
	if k+1 < len(list) && list[k+1].flags&epochFree == 0 {
		// Late, if it is more than what went out after it.
		v = min(v, list[k+1].out)
	}
	return v, st
}

// offset is what is added to a sample of part i at time t: what was in force then, or what is due for the samples to come.
func (cs *histCase) offset(i int, t int64) float64 {
	list := cs.parts[i].epochs
	k := len(list) - 1
	for k >= 0 && t < list[k].at {
		k--
	}
	switch {
	case k == len(list)-1:
		return cs.parts[i].off
	case k >= 0:
		return list[k].off
	case list[0].flags&epochOldest != 0:
		return list[0].off
	}
	return 0
}

func (e *histEpoch) value(s Sample) float64 {
	if s.T == e.at {
		return e.out
	}
	v := s.V
	if e.off != 0 {
		v += e.off
	}
	if v < e.out && e.flags&epochFree == 0 {
		v = e.out
	}
	return v
}
