package main

import (
	"testing"

	"go.uber.org/goleak"
)

// Rule: no command leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
