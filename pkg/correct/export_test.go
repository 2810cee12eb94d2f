package correct

// Spill makes a queue of what runs ahead in rows, and reports whether anything did.
func (h *Histogram) Spill() bool {
	running := h.running()
	if running {
		h.newCase()
	}
	return running
}
