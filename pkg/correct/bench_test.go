package correct_test

import (
	"testing"

	"pawl/pkg/correct"
)

func BenchmarkHealthy(b *testing.B) {
	var c correct.Counter
	s := correct.Sample{T: 1, V: 1}
	c.Apply(nil, correct.Policy{}, s)
	b.ReportAllocs()
	for b.Loop() {
		s.T += 15000
		s.V += 3
		if !c.Healthy(s) {
			b.Fatal("refused")
		}
	}
}

// BenchmarkApplyOffset is the usual sample of a counter that was reset before.
func BenchmarkApplyOffset(b *testing.B) {
	var c correct.Counter
	var cs *correct.Case
	s := correct.Sample{T: 1, V: 1000}
	for range 40 {
		cs, _ = c.Apply(cs, correct.Policy{}, s)
		s.T += 15000
		s.V += 3
	}
	s.V = 0
	b.ReportAllocs()
	for b.Loop() {
		s.T += 15000
		s.V += 3
		cs, _ = c.Apply(cs, correct.Policy{}, s)
	}
}

// BenchmarkApplyLosses loses something at every tenth sample.
func BenchmarkApplyLosses(b *testing.B) {
	var c correct.Counter
	var cs *correct.Case
	s := correct.Sample{T: 1, V: 1e6}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		s.T += 15000
		s.V += 3
		if i++; i%10 == 0 {
			s.V -= 23
		}
		cs, _ = c.Apply(cs, correct.Policy{}, s)
	}
}

func BenchmarkState(b *testing.B) {
	var c correct.Counter
	c.Apply(nil, correct.Policy{}, correct.Sample{T: 1, V: 1})
	var record []byte
	b.ReportAllocs()
	for b.Loop() {
		record = c.Append(record[:0], nil)
		if _, err := c.Decode(record); err != nil {
			b.Fatal(err)
		}
	}
}
