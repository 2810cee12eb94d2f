package correct

// Out is what went out for the last sample of c.
func (c *Counter) Out(cs *Case) float64 {
	if cs == nil {
		return c.Raw
	}
	return cs.now().out(c.Raw)
}

// Held is how many samples wait in h that have not gone out yet.
func (h *Histogram) Held() (n int) {
	if h.cs == nil {
		return 0
	}
	for i := range h.cs.queue {
		if !h.cs.queue[i].gone {
			n++
		}
	}
	return n
}
