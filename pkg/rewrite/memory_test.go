package rewrite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
)

func remembering(bytes int) Limits {
	lim := benchLimits
	lim.Memory = NewMemory(func() int { return bytes }, lim)
	return lim
}

// bothWays decodes with and without a memory and fails if that makes a difference.
func bothWays(t testing.TB, b *Batch, tenant string, body []byte, lim Limits) {
	t.Helper()
	got := b.Decode(V1, tenant, body, lim)
	var plain Batch
	lim.Memory = nil
	want := plain.Decode(V1, tenant, body, lim)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("with a memory %v, without %v", got, want)
	}
	if want != nil {
		return
	}
	alike := func(x, y Series) bool {
		x.same, y.same, x.labels, y.labels, x.front, y.front = 0, 0, 0, 0, 0, 0 // of a label set that is remembered it is not asked
		return x == y
	}
	if !slices.EqualFunc(b.Series, plain.Series, alike) || b.Exemplars != plain.Exemplars ||
		!slices.EqualFunc(b.Samples, plain.Samples, sameSample) || !slices.Equal(b.Histograms, plain.Histograms) {
		t.Fatalf("decoded differently with a memory:\n%v\n%v", b.Series, plain.Series)
	}
}

func sameSample(x, y Sample) bool {
	v := sameFloat(x.V, y.V)
	x.V, y.V = 0, 0
	return v && x == y
}

func TestWhatIsRememberedIsWhatWouldBeDecoded(t *testing.T) {
	lim := remembering(4 << 20)
	var b Batch
	for _, cut := range []struct{ from, n int }{{0, 500}, {0, 500}, {130, 500}, {37, 400}, {5000, 300}, {0, 2000}, {700, 30}, {0, 2000}} {
		for _, tenant := range []string{"a", "b", "a"} {
			bothWays(t, &b, tenant, loadV1(t, cut.n, cut.from), lim)
		}
	}
	if got, want := lim.Memory.used, 2*2300; got != want {
		t.Errorf("%d label sets are remembered, %d came", got, want)
	}
}

func TestLookAlikesOfWhatIsRememberedAreToldApart(t *testing.T) {
	series := func(parts ...[]byte) []byte { return snappy.Encode(nil, bytesField(1, join(parts...)...)) }
	name, pod, zone := labelV1("__name__", "requests_total"), labelV1("pod", "checkout-7d9f8b6c5-00017"), labelV1("zone", "eu-west-1a")
	known := join(name, pod, zone)
	for what, messages := range map[string][][]byte{
		"a label more":                               {series(known, labelV1("zz", "y"), plainSample)},
		"a label more and back":                      {series(known, labelV1("zz", "y"), plainSample), series(known, plainSample)},
		"a label less":                               {series(name, pod, plainSample)},
		"two labels change places":                   {series(pod, name, zone, plainSample)},
		"a label behind the sample":                  {series(known, plainSample, labelV1("zz", "y"))},
		"a name twice, one behind":                   {series(known, plainSample, zone)},
		"an unknown field between":                   {series(name, bytesField(9, 1), pod, zone, plainSample)},
		"an unknown field behind":                    {series(known, bytesField(9, 1), plainSample)},
		"a tag in two bytes":                         {series(known, []byte{0x8a, 0}, labelV1("zz", "y")[1:], plainSample)},
		"nothing behind the labels":                  {series(known)},
		"nothing behind a value as long as a sample": {series(name, labelV1("zone", "sixteen bytes ok")), series(name, labelV1("zone", "7 bytes"))},
		"what ends like a sample":                    {series(known, labelV1("zz", "\x12\x10sixteen bytes ok")), series(known, labelV1("zz", "\x12\x077 bytes"))},
		"another field that does":                    {series(known, bytesField(9, []byte("\x12\x10sixteen bytes ok")...)), series(known, bytesField(9, []byte("\x12\x077 bytes")...))},
		"two samples":                                {series(known, plainSample, plainSample)},
		"the sample cut off":                         {series(known, plainSample[:5])},
		"labels as unknown field":                    {series(bytesField(5, known...), plainSample)},
		"length beyond the series":                   {series(name, pod, []byte{0x0a, 120}, zone[2:], plainSample)},
		"the same twice in a request":                {snappy.Encode(nil, join(bytesField(1, join(known, plainSample)...), bytesField(1, join(known, plainSample)...)))},
	} {
		t.Run(what, func(t *testing.T) {
			plain := [][]byte{series(known, plainSample)}
			for _, order := range [][][]byte{slices.Concat(plain, messages, messages), slices.Concat(messages, plain, messages)} {
				lim := remembering(1 << 20)
				var b Batch
				for _, m := range order {
					bothWays(t, &b, "", m, lim)
				}
			}
		})
	}
	t.Run("one bit", func(t *testing.T) {
		lim := remembering(8 << 20)
		var b Batch
		bothWays(t, &b, "", series(known, plainSample), lim)
		for bit := range 8 * len(known) {
			other := bytes.Clone(known)
			other[bit/8] ^= 1 << (bit % 8)
			bothWays(t, &b, "", series(other, plainSample), lim)
			bothWays(t, &b, "", series(known, plainSample), lim)
		}
	})
}

// Rule: a label set is remembered however many samples come with it, and of whatever length its last value is: also where one value is as long as a sample.
func TestLabelSetsAreRememberedWhateverStandsBehindThem(t *testing.T) {
	value, zero := make([]byte, 16), make([]byte, 7) // a sample's messages: a value and a time, and a time alone
	value[0], value[9] = 1<<3|wire64, 2<<3
	zero[0] = 2 << 3
	for _, time := range [][]byte{value[10:], zero[1:]} {
		copy(time, "\x80\x80\x80\x80\x80\x01")
	}
	one, none := bytesField(v1Samples, value...), bytesField(v1Samples, zero...)
	for what, behind := range map[string][]byte{"a sample": one, "a 0": none, "two": join(one, one), "two of them 0": join(none, none), "a 0 and one": join(none, one), "three": join(one, none, one)} {
		for _, zone := range []string{"eu", "sixteen bytes ok", "7 bytes"} {
			lim := remembering(1 << 20)
			var b Batch
			for range 2 {
				bothWays(t, &b, "", snappy.Encode(nil, bytesField(1, join(labelV1("__name__", "requests_total"), labelV1("zone", zone), behind)...)), lim)
			}
			if lim.Memory.used != 1 {
				t.Errorf("%s behind zone=%q: %d label sets are remembered, want 1", what, zone, lim.Memory.used)
			}
		}
	}
}

// A reload that lowers a limit must hold for label sets that were good before.
func TestWhatIsRememberedIsHeldToTheLimitsOfToday(t *testing.T) {
	lim := remembering(1 << 20)
	body := loadV1(t, 10, 0)
	var b Batch
	for range 2 {
		if err := b.Decode(V1, "", body, lim); err != nil {
			t.Fatal(err)
		}
	}
	fewer, shorter := lim, lim
	fewer.MaxLabels, shorter.MaxLabelValueBytes = 3, 10
	for _, lim := range []Limits{fewer, shorter} {
		var large *TooLargeError
		if err := b.Decode(V1, "", body, lim); !errors.As(err, &large) {
			t.Errorf("%+v: %v", lim, err)
		}
	}
}

func TestTenantsDoNotShareWhatIsRemembered(t *testing.T) {
	lim := remembering(1 << 20)
	body := loadV1(t, 50, 0)
	var b Batch
	seen := map[Key]string{}
	for _, tenant := range []string{"", "a", "b", "a", ""} {
		if err := b.Decode(V1, tenant, body, lim); err != nil {
			t.Fatal(err)
		}
		for i := range b.Series {
			k := b.Series[i].Key
			if other, ok := seen[k]; ok && other != tenant {
				t.Fatalf("series %d has the same key for tenants %q and %q", i, tenant, other)
			}
			if want := KeyOf(tenant, loadLabels(i)); k != want {
				t.Fatalf("tenant %q series %d: %v, want %v", tenant, i, k, want)
			}
			seen[k] = tenant
		}
	}
}

func TestAMemoryKeepsToItsBoundAndForgetsWhatIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 10*pageBytes + 4*16384
		lim := remembering(most)
		m := lim.Memory
		var b Batch
		used := loadV1(t, 500, 0)
		for i := range 60 { // six times what there is room for
			bothWays(t, &b, "", loadV1(t, 1000, 1000*(i+1)), lim)
			bothWays(t, &b, "", used, lim)
			if got := m.Bytes(); got > most {
				t.Fatalf("%d bytes, %d are allowed", got, most)
			}
			time.Sleep(time.Minute)
		}
		if m.Bytes() < most/2 {
			t.Errorf("only %d bytes are held of %d", m.Bytes(), most)
		}
		misses := m.used
		bothWays(t, &b, "", used, lim)
		if m.used != misses {
			t.Errorf("what was used all the time had to be learned anew")
		}
		for range 100 {
			time.Sleep(time.Minute)
			bothWays(t, &b, "", used, lim)
		}
		// They share the two pages that they are in with others.
		if m.held > 3 || m.used > 2*pageLen || len(m.slots) > 8*m.used {
			t.Errorf("%d pages, %d label sets and %d slots are held for 500 label sets", m.held, m.used, len(m.slots))
		}
	})
}

func TestMoreLabelSetsThanFitDoNotDriveOneAnotherOut(t *testing.T) {
	lim := remembering(4*pageBytes + 4*(8192+4096))
	var b Batch
	for range 3 {
		for i := range 10 {
			bothWays(t, &b, "", loadV1(t, 1000, 1000*i), lim)
		}
	}
	if m := lim.Memory; m.used != 4*pageLen {
		t.Fatalf("%d label sets are held, there is room for %d", m.used, 4*pageLen)
	}
	p, _ := lim.Memory.lookup(lim.Memory.pages[0].hashes[0], int32(lim.Memory.pages[0].lens[0]))
	if p != lim.Memory.pages[0] {
		t.Error("the first ones are gone")
	}
}

// Rule: what may be remembered is asked for when it is needed: more is taken at once, and where it is less now, nothing more is
// taken, nor is what is still used driven out.
func TestTheBoundOfAMemoryMayMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const least = 4*pageBytes + 4*(8192+4096) // the index is there twice while it grows
		var most atomic.Int64
		lim := benchLimits
		lim.Memory = NewMemory(func() int { return int(most.Load()) }, lim)
		m := lim.Memory
		m.places = 11 // so that they have to have more room
		var b Batch
		meet := func(n int) {
			for i := range n {
				bothWays(t, &b, "", loadV1(t, 1000, 1000*i), lim)
			}
		}
		for _, c := range []struct{ most, want int }{{least, 4 * pageLen}, {10 * least, 20_000}, {least, 20_000}} {
			most.Store(int64(c.most))
			meet(20)
			if m.used != c.want {
				t.Fatalf("%d label sets are held where %d bytes are allowed, want %d", m.used, c.most, c.want)
			}
		}
		meet(25)
		if m.used != 20*pageLen { // the page at hand has room
			t.Errorf("%d label sets are held where less is allowed than is held, want %d", m.used, 20*pageLen)
		}
		if m.places < 15 || m.places > 16 {
			t.Errorf("a place takes %d bits of a slot", m.places)
		}
		for range 100 {
			time.Sleep(time.Minute)
			meet(1)
		}
		if got := m.Bytes(); got > least {
			t.Errorf("%d bytes are held by what nobody uses, %d are allowed", got, least)
		}
	})
}

func TestAMemoryMayBeUsedByManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := remembering(8 * pageBytes)
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				var b Batch
				for i := range 30 {
					from := 300 * ((g + i) % 12)
					if i%3 == 0 {
						from += 10_000 * g // of its own
					}
					bothWays(t, &b, "", loadV1(t, 300, from), lim)
					time.Sleep(time.Duration(g+1) * time.Minute)
				}
			})
		}
		wg.Wait()
	})
}

func TestRecallingDoesNotAllocate(t *testing.T) {
	lim := remembering(1 << 20)
	body := loadV1(t, 500, 0)
	var b Batch
	decode := func() {
		if err := b.Decode(V1, "tenant", body, lim); err != nil {
			t.Fatal(err)
		}
	}
	decode()
	if n := testing.AllocsPerRun(20, decode); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The bound on collisions is a theorem about this very function.
func TestBlockHashIsWhatItsTheoremIsAbout(t *testing.T) {
	h := newBlockHash()
	word := func(b []byte) *big.Int { return new(big.Int).SetUint64(binary.LittleEndian.Uint64(b)) }
	u := func(x uint64) *big.Int { return new(big.Int).SetUint64(x) }
	mod := func(x *big.Int, bits uint) *big.Int { return x.Mod(x, new(big.Int).Lsh(big.NewInt(1), bits)) }
	sum := func(x *big.Int, k uint64) *big.Int { return mod(x.Add(x, u(k)), 64) }
	for n := leastBlock; n <= mostBlock; n++ {
		b := bytes.Repeat([]byte{byte(n), byte(n >> 8), 3, 251, byte(n * 7)}, n/5+1)[:n]
		tenant := uint64(n) * keyHi
		nh := new(big.Int).Mul(sum(u(tenant), h.tenant[0]), u(h.tenant[1]))
		for i := 0; i < n; i += 16 {
			at := min(i, n-16) // the last words may overlap: for one length that loses nothing
			x, y := sum(word(b[at:]), h.words[i/8]), sum(word(b[at+8:]), h.words[i/8+1])
			nh.Add(nh, x.Mul(x, y))
		}
		mod(nh, 128)
		hi, lo := new(big.Int).Rsh(nh, 64), mod(new(big.Int).Set(nh), 64)
		// fold: two random factors of 128 bits, [0] and [2] their lower halves.
		f1 := new(big.Int).Add(u(h.fold[0]), new(big.Int).Lsh(u(h.fold[1]), 64))
		f2 := new(big.Int).Add(u(h.fold[2]), new(big.Int).Lsh(u(h.fold[3]), 64))
		want := mod(hi.Mul(hi, f1).Add(hi, lo.Mul(lo, f2)), 128)
		if got := h.sum(tenant, b); got != want.Rsh(want, 64).Uint64() {
			t.Fatalf("%d bytes: %x, want %x", n, got, want)
		}
	}
	if x := newBlockHash(); x.sum(1, make([]byte, 20)) == h.sum(1, make([]byte, 20)) {
		t.Error("two hashes have the same key")
	}
}

// FuzzDecodeAgain decodes one request after another with a memory and without.
func FuzzDecodeAgain(f *testing.F) {
	pack := func(seed uint64) []byte {
		msg, err := drawV1(seeded(seed)).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		return msg
	}
	for seed := range uint64(20) {
		f.Add(pack(seed), pack(seed+1), "t")
	}
	long, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels: prompb.FromLabels(loadLabels(0), nil), Samples: []prompb.Sample{{Value: 1, Timestamp: 1}},
	}}}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(long, bytes.Replace(long, []byte("kubernetes"), []byte("kubernotes"), 1), "")
	f.Add(long, append(bytes.Clone(long), long...), "")
	f.Fuzz(func(t *testing.T, first, second []byte, tenant string) {
		if len(first)+len(second) > 1<<16 {
			return
		}
		lim := fuzzLimits
		lim.Memory = NewMemory(func() int { return 1 << 20 }, lim)
		var b Batch
		for _, m := range [][]byte{first, second, first, append(bytes.Clone(second), first...)} {
			bothWays(t, &b, tenant, snappy.Encode(nil, m), lim)
		}
	})
}
