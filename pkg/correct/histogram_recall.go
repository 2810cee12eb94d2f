package correct

// Retag changes the tags of all samples held.
func (h *Histogram) Retag(fn func(part int, tag uint64) uint64) {
	if h.cs == nil {
		return
	}
	for k := range h.cs.queue {
		if x := &h.cs.queue[k]; !x.gone {
			x.tag = fn(int(x.part), x.tag)
		}
	}
}

// Recall takes back a sample that was answered at once, and reports whether it
// was: then it is held, and comes out of Decide. It is for a caller that finds
// a histogram suspicious while earlier samples of its parts have not left its
// hands yet. Only the last sample of a part can be recalled, then the one before, and only
// if the histogram waits for its timestamp.
func (h *Histogram) Recall(i int, s Sample, tag uint64) bool {
	cs := h.cs
	if cs == nil || s.T < cs.suspect {
		return false
	}
	x := cs.ahead(i)
	if x == nil || x.s != s {
		return false
	}
	was, seen := h.before(i, s.T)
	if !seen {
		return false // where it was placed cannot be taken back
	}
	x.gone, x.tag, x.out = false, tag, 0
	cs.note(x)
	cs.recalled(i, s.T)
	cs.parts[i].out, _ = cs.at(i, was)
	return true
}
