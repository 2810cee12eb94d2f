package relay

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"pawl/api"
)

// Elections lists which replica of every pair is forwarded, by tenant and cluster. The cursor is the last pair of the page before.
func (a admin) Elections(ctx context.Context, after string, limit int) (found []api.Election, next string, err error) {
	last, err := hex.DecodeString(after)
	if err != nil {
		return nil, "", api.BadData(fmt.Errorf("after: %q is no cursor that a list of elected replicas gave out", after))
	}
	all, err := a.r.sequence.Elections(ctx)
	for _, e := range all {
		key := e.Tenant + "\x00" + e.Cluster
		if key <= string(last) {
			continue
		}
		if len(found) == limit {
			return found, next, passing(err)
		}
		next = hex.EncodeToString([]byte(key))
		found = append(found, api.Election{
			Tenant: e.Tenant, Cluster: e.Cluster, Replica: e.Replica, Changes: e.Changes,
			Since: time.UnixMilli(e.Since).UTC(), LastSeen: time.UnixMilli(e.Last).UTC(),
		})
	}
	return found, "", passing(err)
}
