package raft

import (
	"math"
	"slices"
)

// Quorums are pure functions of what members said. A decision of a joint configuration needs a majority of both of its halves
// (thesis §4.3); callers take the minimum of agreed, or both of decide.

// majority is how many of n members make a majority.
func majority(n int) int { return n/2 + 1 }

// agreed returns the highest value that a majority of the values has reached: with match indexes, what may be committed. It
// sorts the values in place. Nobody's agreement is needed if there are no values, as in an absent outgoing configuration.
func agreed(values []uint64) uint64 {
	if len(values) == 0 {
		return math.MaxUint64
	}
	slices.Sort(values)
	return values[len(values)-majority(len(values))]
}

// verdict is how a vote stands.
type verdict uint8

const (
	undecided verdict = iota
	won
	lost
)

// decide tells how a vote among n members stands.
func decide(granted, refused, n int) verdict {
	switch {
	case n == 0 || granted >= majority(n):
		return won
	case refused > n-majority(n):
		return lost
	}
	return undecided
}

// decideJoint combines the verdicts of the two halves of a joint configuration.
func decideJoint(incoming, outgoing verdict) verdict {
	switch {
	case incoming == won && outgoing == won:
		return won
	case incoming == lost || outgoing == lost:
		return lost
	}
	return undecided
}
