package etcdapi

import (
	"math/rand/v2"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// refersTwice is collectWrites without its data structures: lists, looked through from end to end.
func refersTwice(branch []*pb.RequestOp) (puts []string, deletes []span, twice bool) {
	covered := func(key string) bool {
		for _, s := range deletes {
			if s.begin <= key && key < s.end {
				return true
			}
		}
		return false
	}
	has := func(list []string, key string) bool {
		for _, k := range list {
			if k == key {
				return true
			}
		}
		return false
	}
	for _, op := range branch {
		if r := op.GetRequestDeleteRange(); r != nil {
			deletes = append(deletes, spanOf(r))
		}
	}
	for _, op := range branch {
		r := op.GetRequestTxn()
		if r == nil {
			continue
		}
		thenPuts, thenDeletes, thenTwice := refersTwice(r.Success)
		elsePuts, elseDeletes, elseTwice := refersTwice(r.Failure)
		if thenTwice || elseTwice {
			return nil, nil, true
		}
		nested := append(thenPuts, elsePuts...)
		for _, key := range nested {
			if has(puts, key) || covered(key) {
				return nil, nil, true
			}
		}
		puts = append(puts, nested...)
		deletes = append(append(deletes, thenDeletes...), elseDeletes...)
	}
	for _, op := range branch {
		if r := op.GetRequestPut(); r != nil {
			if has(puts, string(r.Key)) || covered(string(r.Key)) {
				return nil, nil, true
			}
			puts = append(puts, string(r.Key))
		}
	}
	return puts, deletes, false
}

func TestOverlapsAreFoundAsByLookingThroughLists(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	key := func() string { return string([]byte{byte('a' + random.IntN(20)), byte('a' + random.IntN(20))}) }
	var branch func(depth int) []*pb.RequestOp
	branch = func(depth int) []*pb.RequestOp {
		var list []*pb.RequestOp
		for range random.IntN(6) {
			switch n := random.IntN(10); {
			case n < 4:
				list = append(list, put(key()))
			case n < 6:
				list = append(list, del(key(), ""))
			case n < 7:
				a := key()
				list = append(list, del(a, a[:1]+string(rune(a[1]+3))))
			case n < 8:
				list = append(list, del(key(), key()[:random.IntN(2)+1]))
			case depth > 0:
				list = append(list, txn(branch(depth-1), branch(depth-1)))
			}
		}
		return list
	}
	found := 0
	for range 20000 {
		list := branch(3)
		_, _, want := refersTwice(list)
		_, _, err := collectWrites(list)
		if (err != nil) != want {
			t.Fatalf("the transaction writes a key twice: %v, but the check said %v:\n%v", want, err, list)
		}
		if want {
			found++
		}
	}
	if found < 1000 || found > 19000 {
		t.Errorf("%d of 20000 random transactions write a key twice; the test needs a good part of both kinds", found)
	}
}

func TestSpansHoldWhatWasAdded(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		var set spans
		var list []span
		for range random.IntN(40) {
			run := make([]span, random.IntN(5))
			for i := range run {
				run[i] = span{string(rune('a' + random.IntN(26))), string(rune('a' + random.IntN(26)))}
			}
			list = append(list, run...)
			if random.IntN(2) == 0 {
				set.add(run)
			} else {
				var other spans
				other.add(run)
				set.merge(other)
			}
		}
		for c := 'a'; c <= 'z'; c++ {
			want := false
			for _, s := range list {
				want = want || (s.begin <= string(c) && string(c) < s.end)
			}
			if set.contain(string(c)) != want {
				t.Fatalf("contain(%q) is %v for %v", c, !want, list)
			}
		}
	}
}
