package accuracy

import ("testing";"fmt";"pawl/pkg/correct";"os")

func TestDbg(t *testing.T) {
	if os.Getenv("DBG")=="" { return }
	tr := flips(100, 10, 4, 10)
	var c correct.Counter
	var cs *correct.Case
	n:=0
	for i, x := range tr.Raw {
		s := correct.Sample{T: x.T, V: x.V, ST: x.ST}
		var o correct.Outcome
		cs, o = c.Apply(cs, correct.Policy{}, s)
		d:= 0.0
		if i>0 {d=(x.V-tr.Raw[i-1].V)/150}
		fmt.Printf("%d raw %.0f step %.2f out %.0f truth %.0f err %.2f", i, x.V, d, o.V, tr.Truth[i].V, (o.V-tr.Truth[i].V)/150)
		for _, k := range o.Corrections { fmt.Printf(" | %v am %.0f pend %v settles %d", k.Kind, k.Amount, k.Pending, k.Settles); for _,e:=range k.Evidence{fmt.Printf(" %s %.1f;",e.Test,e.LogOdds)} }
		fmt.Println()
		if n++; n>120 {break}
	}
}
