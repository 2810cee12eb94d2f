package store

import "fmt"

func (k RecordKind) String() string {
	switch k {
	case KindBatch1:
		return "remote write 1.0"
	case KindBatch2:
		return "remote write 2.0"
	case KindRules:
		return "rules"
	case KindForget:
		return "forget"
	case KindTick:
		return "tick"
	case KindRejected:
		return "rejected"
	case KindSettled:
		return "settled"
	case KindHeld:
		return "held"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}
