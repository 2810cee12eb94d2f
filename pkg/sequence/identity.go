package sequence

import (
	"encoding/binary"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/rewrite"
)

// identity is who a series is.
type identity struct {
	Tenant string
	Labels labels.Labels
}

// identityVersion is the first byte of an identity on disk. Behind it stand the
// tenant, then names and values in turn, each after its length (uvarint). It
// is written once for every series that ever comes, so it is written fast.
const identityVersion = 1

// appendIdentity writes who series i of a batch is, and notes in l what a decision looks at.
func appendIdentity(dst []byte, b *rewrite.Batch, i int, l *labelsOf) []byte {
	dst = append(dst, identityVersion)
	dst = binary.AppendUvarint(dst, uint64(len(b.Tenant)))
	dst = append(dst, b.Tenant...)
	b.EachLabel(i, func(name, value []byte) {
		l.note(name, value)
		dst = append(binary.AppendUvarint(dst, uint64(len(name))), name...)
		dst = append(binary.AppendUvarint(dst, uint64(len(value))), value...)
	})
	return dst
}

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
