package accuracy

import (
	"fmt"
	"math/rand/v2"

	"golang.org/x/sync/errgroup"
)

// Luck is how often who knows the right verdict at every fall, and adds nothing that was
// not seen, is within in one class: Passed[i] of Draws draws of DrawnSeeds seeds, with Plays[i] plays to a seed. See docs/decisions/0028.
type Luck struct {
	Class  string
	Reach  float64
	Floor  float64 // over all plays
	Passed []int
}

// PlaysOfSeed is how often a seed of the project's measure plays every setting of a class (docs/decisions/0028).
const PlaysOfSeed = 8

// Plays are the numbers of plays to a seed that are tried.
var Plays = []int{1, 2, 4, 8, 16}

// DrawnSeeds are how many seeds a draw has, as the project's measure has.
const DrawnSeeds = 20

// floored is a class as the floor sees it.
type floored struct {
	name   string
	reach  float64
	floors func(seed uint64, hours int) []float64 // of each of its traces
}

// withFloor are the classes that have one which is not always 0.
func withFloor() (list []floored) {
	for _, c := range Classes() {
		list = add(list, c.Name, c.Reach, c.Right, c.Traces, (*Trace).shown)
	}
	for _, c := range append(HistClasses(), SummaryClasses()...) {
		list = add(list, c.Name, c.Reach, c.Right, c.Traces, (*HistTrace).shown)
	}
	for _, c := range NativeClasses() {
		list = add(list, c.Name, c.Reach, c.Right, c.Traces, (*NativeTrace).shown)
	}
	return list
}

// add leaves out what needs no luck: no floor is known of it, or whoever knows the verdicts is exact.
func add[T any](list []floored, name string, reach float64, right Fate, traces func(uint64, int) []T, see func(*T) []shown) []floored {
	if right == Unknown || right == Dips || reach == 0 {
		return list
	}
	return append(list, floored{name, reach, func(seed uint64, hours int) (floors []float64) {
		for _, tr := range traces(seed, hours) {
			floors = append(floors, floor(right, see(&tr)))
		}
		return floors
	}})
}

// Draw measures the luck of every class that is asked for, and of all of them together whose floor is within the reach by its mean (the
// last in the list): plays of the seeds s are drawn with replacement. The same settings give the same draws.
func Draw(s Settings, draws int, asked func(class string) bool) ([]Luck, error) {
	chance := rand.New(rand.NewPCG(1, 1))
	all := Luck{Class: "all of them", Passed: make([]int, len(Plays))}
	failed := make([][]bool, len(Plays))
	for i := range failed {
		failed[i] = make([]bool, draws)
	}
	var list []Luck
	for _, class := range withFloor() {
		if !asked(class.name) {
			continue
		}
		pool, err := pooled(class, s)
		if err != nil {
			return nil, err
		}
		l := Luck{Class: class.name, Reach: class.reach, Floor: mean(pool), Passed: make([]int, len(Plays))}
		for i, plays := range Plays {
			for d := range draws {
				if drawn(pool, plays, class.reach, chance) {
					l.Passed[i]++
				} else if l.Floor <= class.reach {
					failed[i][d] = true
				}
			}
		}
		list = append(list, l)
	}
	for i := range failed {
		for _, f := range failed[i] {
			if !f {
				all.Passed[i]++
			}
		}
	}
	return append(list, all), nil
}

// pooled are the floors of all plays of a class.
func pooled(class floored, s Settings) ([]float64, error) {
	pool := make([]float64, s.Seeds*s.Plays)
	var group errgroup.Group
	group.SetLimit(max(1, s.AtOnce))
	for i := range pool {
		group.Go(func() error {
			floors := class.floors(s.of(i/s.Plays, i%s.Plays), s.Hours)
			if len(floors) == 0 {
				return fmt.Errorf("class %q: no traces", class.name)
			}
			pool[i] = mean(floors)
			return nil
		})
	}
	return pool, group.Wait()
}

// drawn tells whether DrawnSeeds seeds of so many plays are within: their mean, and each.
func drawn(pool []float64, plays int, reach float64, chance *rand.Rand) bool {
	sum, within := 0.0, true
	for range DrawnSeeds {
		seed := 0.0
		for range plays {
			seed += pool[chance.IntN(len(pool))] / float64(plays)
		}
		sum += seed
		within = within && seed <= OfSeed*reach
	}
	return within && sum <= DrawnSeeds*reach
}

func mean(list []float64) (sum float64) {
	for _, x := range list {
		sum += x / float64(len(list))
	}
	return sum
}
