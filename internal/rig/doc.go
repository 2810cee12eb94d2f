// Package rig holds the crash tests: the relay's real binary as a child
// process between a sender that keeps a ledger and an upstream that keeps
// everything, killed, starved and lied to. `make rig` runs every row at the
// size that CI affords, `make torture` at the large ones, whose figures stand
// in docs/reliability.md.
//
//	shards (seeded, truth known) ─▶ sender ─▶ relay (child) ─▶ upstream (by script)
//	                                   │                           │
//	                                ledger ───────▶ check ◀────────┘
//
// After every run it must hold that
//
//	A  every acknowledged sample is upstream or in the rejected store,
//	B  nothing is upstream that was not sent,
//	C  all copies of one sample are the same bits,
//	D  first arrivals are in order per series,
//	E  values are the true ones, bit for bit,
//	F  accepted = delivered + rejected + left out + pending in the relay's own metrics.
//
// The truth does not come from the relay's code: the generator makes only
// faults whose right answer leaves no doubt, and knows it. What it does not
// know (native histograms that restart) must be what a second relay makes of
// the same requests without being killed.
package rig
