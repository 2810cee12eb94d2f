package bench

// Requests calls fn with the bodies of one scrape of the fleet after another, size samples each, those of the
// shards in turn, as they reach a relay from that many connections. A body is valid until fn returns.
func (f *Fleet) Requests(p Proto, shards, size, scrapes int, fn func(scrape int, body []byte)) {
	l := NewLoad(f, p, "", shards, size, 0)
	var nobody Sum
	var body []byte
	for scrape := range scrapes {
		for k := range l.shards[0].batches { // the first shard has most
			for _, sh := range l.shards {
				if k < len(sh.batches) {
					sh.batches[k].advance(f, l.start, l.interval, &nobody)
					body = sh.batches[k].compress(body)
					fn(scrape, body)
				}
			}
		}
	}
}
