//go:build !unix && (!jemalloc || !cgo)

package z

func callocMapped(n int) []byte { return make([]byte, n) }

func freeMapped([]byte) {}
