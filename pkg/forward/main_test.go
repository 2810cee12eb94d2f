package forward

import (
	"testing"

	"go.uber.org/goleak"
)

// Rule: a forwarder that has ended leaves no goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
