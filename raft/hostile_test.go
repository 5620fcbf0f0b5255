package raft

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// etcd-io/raft #18: a faulty follower's message panicked healthy members. Here any message of any kind, with any content, at any time,
// leaves a member that is in a legal state, and does not panic.
func TestNoMessagePanicsAMember(t *testing.T) {
	for seed := range uint64(400) {
		bombard(t, rand.New(rand.NewPCG(seed, 99)))
	}
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte("something"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var seed [8]byte
		copy(seed[:], data)
		bombard(t, rand.New(&replay{data: data, rest: rand.NewPCG(binary.LittleEndian.Uint64(seed[:]), 1)}))
	})
}

// replay is a source of randomness that begins with given bytes, so that the fuzzer has something to vary.
type replay struct {
	data []byte
	rest rand.Source
}

func (r *replay) Uint64() uint64 {
	if len(r.data) < 2 {
		return r.rest.Uint64()
	}
	v := uint64(r.data[0])<<56 | uint64(r.data[1])
	r.data = r.data[2:]
	return v
}

// bombard sends a core random messages, some of them likely to be close to right.
func bombard(t *testing.T, rng *rand.Rand) {
	a := oneWith(t, func(cfg *Config) {
		cfg.LeaseReads = rng.IntN(2) == 0
		cfg.MaxCachedBytes = 40
		cfg.QuiesceAfter = 100 * time.Millisecond
		cfg.Incarnation = uint64(rng.IntN(2))
	}, 1+rng.IntN(4), Term(3), 1, 2, 3)
	for i := range 150 {
		if rng.IntN(20) == 0 && a.Role() != Leader {
			a.now += time.Second
			a.Tick(a.now)
			a.quietTake()
			for id := MemberID(2); id < 5 && a.Role() == Candidate; id++ {
				a.Receive(&VoteReply{Header: head(id, a.Term()), Granted: true})
			}
		}
		m := randomMessage(rng, a.Core)
		a.Receive(m)
		if rng.IntN(8) == 0 {
			a.now += time.Duration(rng.IntN(40)) * time.Millisecond
			a.Tick(a.now)
		}
		if rng.IntN(8) == 0 {
			_, _, _ = a.Propose([]Proposal{{Kind: EntryCommand, Data: []byte("x")}})
			_ = a.ReadIndex(uint64(i))
			_ = a.TransferLeadership(MemberID(rng.IntN(5)))
			_, _, _ = a.ChangeMembers(Change{Set: []Member{{ID: MemberID(rng.IntN(6)), Learner: rng.IntN(2) == 0}}})
		}
		if err := a.Core.log.consistent(); err != nil {
			t.Fatalf("after %T %+v: %v", m, m, err)
		}
		a.quietTake()
	}
}

// quietTake acts on the outputs as the engine does, without checks that presume honest peers.
func (a *alone) quietTake() {
	for range 100 {
		if !a.HasOutput() {
			return
		}
		out := a.Take()
		if out.Install != nil {
			a.SnapshotInstalled(*out.Install, out.Install.Index%2 == 0)
		}
		for _, f := range out.Fetches {
			a.Fetched(f, entries(f.From, 1, 2, 3))
		}
		for _, to := range out.SendSnapshots {
			a.SnapshotDone(to, SnapshotMeta{Index: a.Commit(), Term: 1}, to%2 == 0)
		}
		a.Synced(out.Seq)
		if n := len(out.Committed); n > 0 {
			a.Applied(out.Committed[n-1].Index)
		} else if out.CommittedTo > 0 {
			a.Applied(out.CommittedTo)
		}
	}
	a.t.Fatal("outputs without end")
}

// consistent is the part of checkLog that no peer may ever break.
func (l *entryLog) consistent() error {
	if l.first+Index(l.window.count) != l.last+1 || l.base > l.last {
		return fmt.Errorf("window [%d, +%d) in log (%d, %d]", l.first, l.window.count, l.base, l.last)
	}
	return nil
}

func randomMessage(rng *rand.Rand, c *Core) Message {
	number := func() uint64 {
		switch rng.IntN(8) {
		case 0:
			return math.MaxUint64 - uint64(rng.IntN(3))
		case 1:
			return 1<<62 + uint64(rng.IntN(3))
		case 2:
			return 0
		case 3:
			return uint64(c.LastIndex())
		case 4:
			return uint64(c.Commit())
		}
		return uint64(rng.IntN(12))
	}
	h := Header{From: MemberID(rng.IntN(6)), To: 1, Term: c.Term(), Incarnation: uint64(rng.IntN(3))}
	switch rng.IntN(12) {
	case 0:
		h.Term = Term(number())
	case 1:
		h.Term++
	case 2:
		h.To = MemberID(rng.IntN(3))
	}
	switch rng.IntN(14) {
	case 0:
		return nil
	case 1:
		return (*AppendRequest)(nil)
	case 2:
		return &PreVoteRequest{h, Index(number()), Term(number())}
	case 3:
		return &PreVoteReply{h, rng.IntN(2) == 0, Term(number())}
	case 4:
		return &VoteRequest{h, Index(number()), Term(number()), rng.IntN(2) == 0}
	case 5:
		return &VoteReply{h, rng.IntN(2) == 0, number() % 3}
	case 6, 7, 8:
		return randomAppend(rng, h, number)
	case 9:
		return &AppendReply{h, rng.IntN(2) == 0, Index(number()), Index(number()), Term(number()), Index(number()), number()}
	case 10:
		conf := voters(1, 2, 3)
		if rng.IntN(4) == 0 {
			conf = Configuration{}
		}
		return &InstallSnapshot{h, SnapshotMeta{Index(number()), Term(number()), conf, Index(number())}}
	case 11:
		return &TimeoutNow{h}
	case 12:
		return &ReadIndexRequest{h, number()}
	}
	if rng.IntN(2) == 0 {
		return &ReadIndexReply{h, number(), Index(number())}
	}
	return &WakeRequest{h}
}

func randomAppend(rng *rand.Rand, h Header, number func() uint64) Message {
	m := &AppendRequest{Header: h, PrevIndex: Index(number()), PrevTerm: Term(rng.IntN(5)), Commit: Index(number()), Round: number(), Quiesce: rng.IntN(8) == 0}
	for i := range rng.IntN(4) {
		e := Entry{Term: m.PrevTerm + Term(rng.IntN(2)), Index: m.PrevIndex + 1 + Index(i), Kind: EntryCommand}
		switch rng.IntN(12) {
		case 0:
			e.Index = Index(number())
		case 1:
			e.Term = Term(number())
		case 2:
			e.Kind, e.Data = EntryConfiguration, []byte("no configuration")
		case 3:
			e.Kind, e.Data = EntryConfiguration, voters(1, 2, 4).Encode(nil)
		case 4:
			e.Kind = EntryKind(rng.IntN(256))
		}
		m.Entries = append(m.Entries, e)
	}
	return m
}
