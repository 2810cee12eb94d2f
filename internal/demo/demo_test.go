package demo

import (
	"os"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	b := time.Now()
	err := Run(t.Context(), Options{Out: os.Stdout})
	t.Log(time.Since(b), err)
}
