package sequence

import (
	"strconv"
	"testing"
)

// Rule: a bound that was read before is what the library reads, also where many share a place.
func TestABoundThatIsRememberedIsWhatItSays(t *testing.T) {
	written := []string{"", "0", "-0", "1", "1.0", "1e3", "+Inf", "-Inf", "NaN", "x", "0x", "1234567", "12345678", "0.000001", "\x001", "1\x00"}
	for i := range 300 {
		written = append(written, strconv.Itoa(i), strconv.FormatFloat(float64(i)/8, 'g', -1, 64))
	}
	var x boundsOf
	for range 2 {
		for _, le := range written {
			want, err := strconv.ParseFloat(le, 64)
			got, ok := x.parse([]byte(le))
			if ok != (err == nil) || ok && !sameBits(got, want) {
				t.Errorf("%q is read as %v, %v, want %v, %v", le, got, ok, want, err)
			}
		}
	}
}
