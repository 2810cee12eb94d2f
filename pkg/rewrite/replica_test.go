package rewrite

import (
	"bytes"
	"slices"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"pgregory.net/rapid"
)

// The random requests' labels that stand for a pair's.
var testPair = PairLabels{Cluster: "job", Replica: "code"}

// seek has b look for pairs and does the same to want by plain means. It gives the members' places.
func seek(t testing.TB, b *Batch, want *flat) (members []int) {
	t.Helper()
	var full []flatSeries
	for i := range want.series {
		s := &want.series[i]
		full = append(full, *s)
		if s.ls.Get(testPair.Cluster) == "" || s.ls.Get(testPair.Replica) == "" {
			continue
		}
		members = append(members, i)
		s.ls = labels.NewBuilder(s.ls).Del(testPair.Replica).Labels()
	}
	b.SeekReplicas(testPair)
	if b.Members() != len(members) {
		t.Fatalf("%d series of pairs, want %d", b.Members(), len(members))
	}
	for k, i := range members {
		at, cluster, replica := b.Member(k)
		if at != i || string(cluster) != full[i].ls.Get(testPair.Cluster) || string(replica) != full[i].ls.Get(testPair.Replica) {
			t.Fatalf("member %d is series %d of %q, %q; want series %d of %v", k, at, cluster, replica, i, full[i].ls)
		}
	}
	return members
}

// A series of a pair has the key, the labels and the name of what goes out, whichever replica sent it; any other is what it was.
func checkIdentities(t testing.TB, b *Batch, want flat) {
	t.Helper()
	for i, s := range want.series {
		if !labels.Equal(b.Labels(i), s.ls) || b.Series[i].Key != KeyOf(b.Tenant, s.ls) {
			t.Fatalf("series %d is %v with another key than %v", i, b.Labels(i), s.ls)
		}
		if got := string(b.Label(i, testPair.Replica)); got != s.ls.Get(testPair.Replica) {
			t.Fatalf("series %d: replica label %q", i, got)
		}
	}
}

// dropSome leaves out some of the members.
func dropSome(d dice, b *Batch, members []int) (gone []int) {
	for _, i := range members {
		if d.IntN(2) == 0 {
			b.DropSeries(i)
			gone = append(gone, i)
		}
	}
	return gone
}

func without(w flat, gone []int) flat {
	var kept []flatSeries
	for i, s := range w.series {
		if !slices.Contains(gone, i) {
			kept = append(kept, s)
		}
	}
	w.series = kept
	return w
}

// Whatever the request mixes (replicas, series of no pair, edits), what goes out in either version is the elected series without their replica's label.
func TestReplicasAreTakenOffAndTheOthersLeftOut(t *testing.T) {
	check := func(t testing.TB, d dice) {
		b, w := draw(t, d)
		members := seek(t, b, &w)
		checkIdentities(t, b, w)
		edit(d, b, &w)
		w = without(w, dropSome(d, b, members))
		for _, to := range []Version{V1, V2} {
			body, kept, err := b.Encode(nil, to, nil)
			if err != nil {
				t.Fatal(err)
			}
			body = bytes.Clone(body)
			checkEncoded(t, b, body, kept, to, cloneFlat(w))
			again, _, err := b.Encode(nil, to, nil)
			if err != nil || !bytes.Equal(again, body) {
				t.Fatalf("a second Encode differs: %v", err)
			}
		}
	}
	t.Run("rapid", func(t *testing.T) { rapid.Check(t, func(r *rapid.T) { check(t, rapidDice{r}) }) })
	t.Run("seeds", func(t *testing.T) {
		pairs := 0
		for seed := range uint64(3000) {
			check(t, seeded(seed))
			b, _ := draw(t, seeded(seed))
			b.SeekReplicas(testPair)
			pairs += b.Members()
		}
		if pairs < 500 {
			t.Errorf("only %d series of pairs were drawn", pairs)
		}
	})
}

// The rules in force where a request stands in the journal decide, whatever was looked for when it came in.
func TestOtherLabelsUndoTheFirst(t *testing.T) {
	for seed := range uint64(500) {
		b, w := draw(t, seeded(seed))
		b.SeekReplicas(PairLabels{"instance", "job"})
		b.SeekReplicas(PairLabels{})
		checkIdentities(t, b, w)
		if b.Changed() {
			t.Fatalf("seed %d: changed by looking for pairs and taking it back", seed)
		}
		b.SeekReplicas(PairLabels{"job", "instance"})
		seek(t, b, &w)
		checkIdentities(t, b, w)
	}
}

func TestRelabellingSeesNoReplica(t *testing.T) {
	rules := []*relabel.Config{{
		SourceLabels: model.LabelNames{"__name__"}, Regex: relabel.MustNewRegexp("(.*)"), TargetLabel: "seen", Replacement: "$1", Action: relabel.Replace,
		NameValidationScheme: model.UTF8Validation,
	}, {
		SourceLabels: model.LabelNames{model.LabelName(testPair.Replica)}, Regex: relabel.MustNewRegexp(".+"), Action: relabel.Drop, NameValidationScheme: model.UTF8Validation,
	}}
	n := 0
	for seed := range uint64(300) {
		for _, to := range []Version{V1, V2} {
			b, w := draw(t, seeded(seed))
			members := seek(t, b, &w)
			body, kept, err := b.Encode(nil, to, rules)
			if err != nil {
				t.Fatal(err)
			}
			samples := 0
			for _, i := range members {
				samples += len(w.series[i].samples)
			}
			n += samples
			if kept.Samples < samples {
				t.Fatalf("seed %d: %d samples kept of %d: a series was dropped by its replica's label", seed, kept.Samples, samples)
			}
			var again Batch
			if err := again.Decode(to, "t", body, Limits{}); err != nil {
				t.Fatal(err)
			}
			for i := range again.Series {
				if again.Label(i, testPair.Replica) != nil {
					t.Fatalf("seed %d: series %v has a replica", seed, again.Labels(i))
				}
			}
		}
	}
	if n == 0 {
		t.Fatal("no series of a pair was drawn")
	}
}

func TestKeyWithoutALabelIsTheKeyOfTheRest(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		x := rapid.Uint64().Draw(r, "x")
		if unmix(mix(x)) != x {
			r.Fatalf("unmix(mix(%d)) is %d", x, unmix(mix(x)))
		}
	})
}

func BenchmarkSeekReplicas(b *testing.B) {
	for v, body := range map[Version][]byte{V1: loadV1(b, 500, 0), V2: loadV2(b, 500, 0)} {
		b.Run(string('0'+rune(v)), func(b *testing.B) {
			batch := decoded(b, v, "", body)
			pair := PairLabels{"instance", "job"}
			b.ReportAllocs()
			for b.Loop() {
				batch.SeekReplicas(pair)
				batch.SeekReplicas(PairLabels{})
			}
			if b.N > 0 {
				batch.SeekReplicas(pair)
				if batch.Members() == 0 {
					b.Fatal("no series of a pair in the load")
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/series")
			}
		})
	}
}
