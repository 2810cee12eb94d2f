package correct_test

import (
	"bytes"
	"testing"

	"pawl/pkg/correct"
)

// FuzzDecode: no bytes make Decode panic, nor what is decoded panic later, and
// what is decoded is written as the bytes that were read.
func FuzzDecode(f *testing.F) {
	var c correct.Counter
	var cs *correct.Case
	f.Add(c.Append(nil, nil))
	for i, s := range wild(1)[:200] {
		if cs, _ = feed(&c, cs, correct.Policy{}, s); i%20 == 0 {
			f.Add(c.Append(nil, cs))
		}
	}
	next := wild(2)[:40]
	f.Fuzz(func(t *testing.T, record []byte) {
		var c correct.Counter
		cs, err := c.Decode(record)
		if err != nil {
			if c != (correct.Counter{}) || cs != nil {
				t.Fatal("an error, and the counter has changed")
			}
			return
		}
		again := c.Append(nil, cs)
		var d correct.Counter
		ds, err := d.Decode(again)
		if err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
		if !bytes.Equal(again, d.Append(nil, ds)) {
			t.Fatal("a second round trip differs")
		}
		for _, s := range next {
			s.T += c.T &^ (1 << 62)
			cs, _ = feed(&c, cs, correct.Policy{Impute: true}, s)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	var c correct.Counter
	var cs *correct.Case
	for _, s := range wild(1)[:200] {
		cs, _ = feed(&c, cs, correct.Policy{}, s)
	}
	good := c.Append(nil, cs)
	for name, bad := range map[string][]byte{
		"nothing":         nil,
		"a later version": append([]byte{99}, good[1:]...),
		"a torn record":   good[:len(good)-1],
		"a torn counter":  good[:20],
		"a byte too many": append(bytes.Clone(good), 0),
		"unknown flags":   append([]byte{1, 0xff}, good[2:]...),
	} {
		var d correct.Counter
		if _, err := d.Decode(bad); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
