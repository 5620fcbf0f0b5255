package etcdapi

import (
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// A transaction may not write a key twice, because all its writes share one revision. collectWrites finds out whether one branch would, and
// returns what it puts and deletes, for the level above. The rules are etcd's, with what they leave out:
//
//   - the two branches of a nested transaction exclude each other, so both may touch the same keys;
//   - a put is compared with the deletes of its own level, and of nested transactions that stand before it; a nested put followed by a sibling
//     transaction that deletes its key is let through, in this order only;
//   - deletes may overlap deletes;
//   - a delete of all keys from one on (range end "\x00") overlaps nothing.
func collectWrites(branch []*pb.RequestOp) (puts map[string]struct{}, deletes spans, err error) {
	var own []span
	for _, op := range branch {
		if r := op.GetRequestDeleteRange(); r != nil {
			own = append(own, spanOf(r))
		}
	}
	deletes.add(own)

	puts = map[string]struct{}{}
	for _, op := range branch {
		if r := op.GetRequestTxn(); r != nil {
			if err := collectNested(r, puts, &deletes); err != nil {
				return nil, spans{}, err
			}
		}
	}
	for _, op := range branch {
		r := op.GetRequestPut()
		if r == nil {
			continue
		}
		key := string(r.Key)
		if _, twice := puts[key]; twice || deletes.contain(key) {
			return nil, spans{}, rpctypes.ErrGRPCDuplicateKey
		}
		puts[key] = struct{}{}
	}
	return puts, deletes, nil
}

// collectNested adds a nested transaction's writes to those of the level it stands in.
func collectNested(r *pb.TxnRequest, puts map[string]struct{}, deletes *spans) error {
	thenPuts, thenDeletes, err := collectWrites(r.Success)
	if err != nil {
		return err
	}
	elsePuts, elseDeletes, err := collectWrites(r.Failure)
	if err != nil {
		return err
	}
	for key := range thenPuts {
		if _, twice := puts[key]; twice || deletes.contain(key) {
			return rpctypes.ErrGRPCDuplicateKey
		}
	}
	for key := range elsePuts {
		if _, twice := puts[key]; twice || deletes.contain(key) {
			return rpctypes.ErrGRPCDuplicateKey
		}
	}
	for key := range thenPuts {
		puts[key] = struct{}{}
	}
	for key := range elsePuts {
		puts[key] = struct{}{}
	}
	deletes.merge(thenDeletes)
	deletes.merge(elseDeletes)
	return nil
}

// span is the keys from begin (inclusive) to end (exclusive).
type span struct{ begin, end string }

func spanOf(r *pb.DeleteRangeRequest) span {
	if len(r.RangeEnd) == 0 {
		return span{string(r.Key), string(r.Key) + "\x00"}
	}
	return span{string(r.Key), string(r.RangeEnd)}
}

// spans is a set of keys given by ranges. It is kept as runs of sorted, disjoint spans, each run at least twice as long as the next, so that a set
// of n spans that is gathered bit by bit costs O(n log n): a hostile request of 2 MiB holds some hundred thousand of them.
type spans struct{ runs [][]span }

// contain tells whether the key is in the set.
func (s *spans) contain(key string) bool {
	for _, run := range s.runs {
		i, _ := slices.BinarySearchFunc(run, key, func(candidate span, key string) int {
			if candidate.end <= key {
				return -1
			}
			return 1
		})
		if i < len(run) && run[i].begin <= key {
			return true
		}
	}
	return false
}

// add takes the slice over.
func (s *spans) add(list []span) {
	list = slices.DeleteFunc(list, func(each span) bool { return each.begin >= each.end })
	if len(list) == 0 {
		return
	}
	slices.SortFunc(list, func(a, b span) int { return cmp.Compare(a.begin, b.begin) })
	s.push(joinSorted(list))
}

// merge adds all of another set.
func (s *spans) merge(other spans) {
	for _, run := range other.runs {
		s.push(run)
	}
}

func (s *spans) push(run []span) {
	for n := len(s.runs); n > 0 && len(s.runs[n-1]) < 2*len(run); n-- {
		run = joinSorted(mergeSorted(s.runs[n-1], run))
		s.runs = s.runs[:n-1]
	}
	s.runs = append(s.runs, run)
}

func mergeSorted(a, b []span) []span {
	merged := make([]span, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].begin <= b[0].begin {
			merged, a = append(merged, a[0]), a[1:]
		} else {
			merged, b = append(merged, b[0]), b[1:]
		}
	}
	return append(append(merged, a...), b...)
}

// joinSorted joins spans that overlap or touch, in place.
func joinSorted(list []span) []span {
	joined := list[:1]
	for _, next := range list[1:] {
		last := &joined[len(joined)-1]
		if next.begin <= last.end {
			last.end = max(last.end, next.end)
		} else {
			joined = append(joined, next)
		}
	}
	return joined
}
