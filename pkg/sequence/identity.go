package sequence

import (
	"encoding/binary"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
)

// identity is who a series is.
type identity struct {
	Tenant string
	Labels labels.Labels
}

// identityVersion is the first byte of an identity on disk. Behind it stand the
// tenant, then names and values in turn, each after its length (uvarint).
const identityVersion = 1

func decodeIdentity(b []byte) (id identity, err error) {
	if len(b) == 0 || b[0] != identityVersion {
		return id, fmt.Errorf("version %v of an identity is unknown to this release", b[:min(1, len(b))])
	}
	b = b[1:]
	next := func() (s string) {
		n, l := binary.Uvarint(b)
		if l <= 0 || n > uint64(len(b)-l) {
			b, err = nil, errShort
			return ""
		}
		s, b = string(b[l:l+int(n)]), b[l+int(n):]
		return s
	}
	id.Tenant = next()
	sb := labels.NewScratchBuilder(16)
	for len(b) > 0 {
		name := next()
		sb.Add(name, next())
	}
	sb.Sort()
	id.Labels = sb.Labels()
	return id, err
}
