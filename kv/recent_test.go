package kv

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// What is remembered is always what was put last, also when a half has made room for the next and when a record was too large to be kept.
func TestRecentNeverHasAnOldRecord(t *testing.T) {
	var r recent
	rng := rand.New(rand.NewPCG(1, 1))
	last := map[string]record{}
	known := 0
	for i := range 200_000 {
		key := fmt.Sprintf("key/%03d", rng.IntN(500))
		next := record{version: int64(i + 1), value: bytes.Repeat([]byte{byte(i)}, rng.IntN(100))}
		switch rng.IntN(50) {
		case 0:
			next.value = make([]byte, recentBytes/16)
		case 1:
			next = record{}
		}
		r.put(key, next)
		last[key] = next
		asked := fmt.Sprintf("key/%03d", rng.IntN(500))
		found, ok := r.get([]byte(asked))
		if !ok {
			continue
		}
		known++
		if want, put := last[asked]; !put || found.version != want.version || !bytes.Equal(found.value, want.value) {
			t.Fatalf("after %d puts %s is remembered as version %d with %x, not as version %d with %x", i+1, asked, found.version, found.value, want.version, want.value)
		}
	}
	if known < 100_000 {
		t.Errorf("of 200,000 questions only %d were answered", known)
	}
}
