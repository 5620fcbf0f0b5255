// Package hostile is for tests of decoders: what reads bytes that somebody else wrote may refuse them, but may not panic, and may not be made to take much
// memory by a few bytes that name a large number.
package hostile

import (
	"runtime"
	"testing"
)

// Slack is what a decoder may take whatever comes: its errors, and what other goroutines take meanwhile.
const Slack = 64 << 10

// Within fails the test if f allocates more than limit bytes and Slack. It may call f several times.
func Within(t testing.TB, limit int, f func()) {
	t.Helper()
	taken := allocated(f)
	for range 3 { // Another goroutine may have been at work.
		if taken > uint64(limit)+Slack {
			taken = min(taken, allocated(f))
		}
	}
	if taken > uint64(limit)+Slack {
		t.Fatalf("%d bytes were allocated, the limit is %d", taken, limit)
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Numbers calls f with the bytes changed at every place to a number that is far too large, in each of the encodings in use: fixed width, and variable.
func Numbers(b []byte, f func(changed []byte)) {
	for at := range b {
		for _, number := range [][]byte{
			{0xff, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0x7f}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, {0, 0, 0, 0, 0, 0, 0, 0x80},
			{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40}, {0xff, 0xff, 0xff, 0x3f},
		} {
			over := append([]byte(nil), b...)
			copy(over[at:], number)
			f(over)
			// In the place of one byte, so that what follows it stays as it was.
			f(append(append(append([]byte(nil), b[:at]...), number...), b[at+1:]...))
		}
	}
}
