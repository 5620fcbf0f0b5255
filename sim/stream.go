package sim

import (
	"math/rand/v2"
	"time"
)

// stream is a source of randomness of its own: what one stream draws says nothing of what another does, and using one more or less often changes
// none of the others. Each host, link, client, operator, strike of a fault and drawn option has streams of its own, which follow from the
// seed and a name. So a run from which one fault, one strike or one client is taken away stays as it was, as far as it can.
type stream struct{ *rand.Rand }

// newStream makes the stream of a name, and of the numbers that tell it from others of that name.
func newStream(seed uint64, name string, numbers ...uint64) *stream {
	low, high := scramble(seed^0x62616c7361), scramble(seed+0x9e3779b97f4a7c15)
	for i := range len(name) {
		low = scramble(low ^ uint64(name[i]))
		high = scramble(high + low)
	}
	for _, n := range numbers {
		low = scramble(low ^ n ^ 1<<63)
		high = scramble(high + low)
	}
	return &stream{rand.New(rand.NewPCG(low, high))}
}

// scramble mixes the bits of a word (the finalizer of SplitMix64).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// stream makes a stream of this world.
func (w *World) stream(name string, numbers ...uint64) *stream {
	return newStream(w.seed, name, numbers...)
}

// chance is true n times out of m.
func (s *stream) chance(n, m int) bool { return s.IntN(m) < n }

// between draws a duration uniformly from [low, high].
func (s *stream) between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(s.Int64N(int64(high-low)+1))
}

// around draws from a distribution with a tail: mostly near mean, now and then several times as much.
func (s *stream) around(mean time.Duration) time.Duration {
	return min(time.Duration(s.ExpFloat64()*float64(mean)), 8*mean)
}

// pick draws one of the choices.
func pick[T any](rng interface{ IntN(n int) int }, choices ...T) T {
	return choices[rng.IntN(len(choices))]
}
