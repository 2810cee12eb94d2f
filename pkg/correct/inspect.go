package correct

// Out is what went out for the last sample of c.
func (c *Counter) Out(cs *Case) float64 {
	if cs == nil {
		return c.Raw
	}
	return cs.now().out(c.Raw)
}
