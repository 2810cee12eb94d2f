package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// diskWrites is how many small synced writes tell what the disk is like now.
const diskWrites = 200

// disk tells what a synced write of 16 KB costs in dir, without any relay: the
// part of an answer's time that no relay can avoid.
func disk(dir string) (text string, err error) {
	f, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	var times []time.Duration
	block := make([]byte, 16<<10)
	for range diskWrites {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return "", err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return "", err
		}
		times = append(times, time.Since(began))
		time.Sleep(time.Millisecond)
	}
	return fmt.Sprintf("a synced write of 16 KB takes %.1f ms, p99 %.1f ms, at most %.1f ms", ms(quantile(times, 0.5)), ms(quantile(times, 0.99)), ms(quantile(times, 1))), nil
}
