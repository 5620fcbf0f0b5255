package raft

import (
	"math"
	"testing"
)

func TestAgreedIsWhatAMajorityHasReached(t *testing.T) {
	for _, c := range []struct {
		values []uint64
		want   uint64
	}{
		{nil, math.MaxUint64},
		{[]uint64{7}, 7},
		{[]uint64{7, 3}, 3},
		{[]uint64{7, 3, 5}, 5},
		{[]uint64{1, 9, 9, 1}, 1},
		{[]uint64{1, 9, 9, 1, 9}, 9},
		{[]uint64{0, 0, 0, 4, 5, 6, 7}, 4},
	} {
		values := append([]uint64(nil), c.values...)
		if got := agreed(values); got != c.want {
			t.Errorf("%v: %d, want %d", c.values, got, c.want)
		}
		// By definition: a majority has it, and no majority has more.
		if n := len(c.values); n > 0 && (count(c.values, c.want) < majority(n) || count(c.values, c.want+1) >= majority(n)) {
			t.Errorf("%v: %d is not what a majority has", c.values, c.want)
		}
	}
}

func count(values []uint64, atLeast uint64) (n int) {
	for _, v := range values {
		if v >= atLeast {
			n++
		}
	}
	return n
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		granted, refused, n int
		want                verdict
	}{
		{0, 0, 0, won}, {1, 0, 1, won}, {0, 1, 1, lost},
		{1, 0, 2, undecided}, {1, 1, 2, lost}, {2, 0, 2, won},
		{1, 1, 3, undecided}, {2, 1, 3, won}, {1, 2, 3, lost},
		{2, 1, 4, undecided}, {2, 2, 4, lost}, {3, 1, 4, won},
		{2, 2, 5, undecided}, {3, 0, 5, won}, {0, 3, 5, lost},
	} {
		if got := decide(c.granted, c.refused, c.n); got != c.want {
			t.Errorf("%d for, %d against, of %d: %d, want %d", c.granted, c.refused, c.n, got, c.want)
		}
	}
}

// TestMajoritiesIntersect checks what all safety rests on: two won votes share a voter who granted both, also between a
// configuration, the joint one after it, and the one after that.
func TestMajoritiesIntersect(t *testing.T) {
	configurations := []Configuration{
		voters(1, 2, 3),
		{Members: voters(3, 4, 5).Members, Outgoing: voters(1, 2, 3).Members},
		voters(3, 4, 5),
	}
	votes := func(mask int) func(MemberID) bool {
		return func(id MemberID) bool { return mask>>(id-1)&1 == 1 }
	}
	nobody := func(MemberID) bool { return false }
	for i := range configurations {
		for _, j := range []int{i, i + 1} {
			if j == len(configurations) {
				continue
			}
			for a := range 32 {
				for b := range 32 {
					if a&b == 0 && configurations[i].decide(votes(a), nobody) == won && configurations[j].decide(votes(b), nobody) == won {
						t.Fatalf("%v elects with %05b what %v elects with %05b", configurations[i], a, configurations[j], b)
					}
				}
			}
		}
	}
}

func TestSingleChangesAreThoseWhoseMajoritiesOverlap(t *testing.T) {
	// Every pair of voter sets out of five members: if at most one voter changed, all majorities overlap.
	set := func(mask int) (c Configuration) {
		for id := range 5 {
			if mask>>id&1 == 1 {
				c.Members = append(c.Members, Member{ID: MemberID(id + 1)})
			}
		}
		return c
	}
	nobody := func(MemberID) bool { return false }
	for a := 1; a < 32; a++ {
		for b := 1; b < 32; b++ {
			if votersChanged(set(a).Members, set(b).Members) > 1 {
				continue
			}
			for x := range 32 {
				has := func(mask int) func(MemberID) bool {
					return func(id MemberID) bool { return mask>>(id-1)&1 == 1 }
				}
				if set(a).decide(has(x), nobody) == won && set(b).decide(has(^x), nobody) == won {
					t.Fatalf("%05b and %05b have disjoint majorities", a, b)
				}
			}
		}
	}
}
