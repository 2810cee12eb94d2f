package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Rule: no command leaves a goroutine behind.
func TestMain(m *testing.M) {
	if os.Getenv(beginsAnew) != "" {
		tellSlack()
		return
	}
	goleak.VerifyTestMain(m)
}
