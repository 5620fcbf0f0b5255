package compat

import (
	"cmp"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestBalsaAnswersAsEtcdDoes sends random requests to Balsa, a cluster of three that is asked through any of its members, and to a real etcd. The answers have
// to be the same: messages, revisions, codes and texts of errors. A difference is shrunk to the few requests that show it; -rapid.seed repeats it.
// -rapid.checks says how many lists of requests there are (`make compat` runs many).
func TestBalsaAnswersAsEtcdDoes(t *testing.T) {
	p := newPair(t, 3)
	first := ""
	t.Cleanup(func() {
		if first != "" {
			t.Logf("The first difference, before the list was shrunk:\n%s", first)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		if err := p.reset(); err != nil {
			t.Fatal(err)
		}
		g := requests{t: t, pair: p}
		lastWriter := 0
		for range rapid.IntRange(1, 40).Draw(t, "requests") {
			s := g.step(lastWriter)
			balsa, etcd := p.do(s)
			if !balsa.equal(etcd) {
				// The list is only shrunk as long as it fails in the same words, and revisions go on from one list to the next.
				difference := fmt.Sprintf("%v\n  Balsa: %v\n  etcd:  %v", s, balsa, etcd)
				t.Log(difference)
				first = cmp.Or(first, difference)
				t.Fatal("the answers differ")
			}
			t.Logf("%v\n  both: %v", s, balsa)
			if isWrite(s.request) && etcd.err == nil {
				lastWriter = s.member
			}
		}
		if err := p.checkHashes(); err != nil {
			t.Fatal(err)
		}
	})
}
