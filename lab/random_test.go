package lab

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// anyInput draws something to do; often it cannot be done.
func anyInput(r *rand.Rand, s *State) Input {
	member := func() uint64 { return 1 + r.Uint64N(uint64(len(s.Members))) }
	message := func() uint64 {
		if len(s.Messages) == 0 {
			return 1
		}
		return s.Messages[r.IntN(len(s.Messages))].ID
	}
	number := func(low, high int64) *int64 { n := low + r.Int64N(high-low+1); return &n }
	flag := func() *bool { b := r.IntN(2) == 0; return &b }
	kinds := []string{
		InputStop, InputCrash, InputCrash, InputPause, InputResume, InputResume, InputRestart, InputRestart, InputRestart, InputTimeout, InputTransfer, InputAdd, InputRemove,
		InputPromote, InputDemote, InputDrop, InputDrop, InputDuplicate, InputDelay, InputDeliver, InputCut, InputMend, InputPartition, InputHeal, InputHeal, InputClient, InputClient,
		InputClient, InputClient, InputClient, InputSet,
	}
	in := Input{Do: kinds[r.IntN(len(kinds))], Member: member(), Message: message(), From: member(), To: member(), By: 1 + r.Int64N(200e6), Learner: r.IntN(3) == 0}
	switch in.Do {
	case InputAdd:
		in.Member = r.Uint64N(uint64(len(s.Members)) + 1)
	case InputPartition:
		in.Groups = [][]uint64{{}, {}}
		for _, m := range s.Members {
			k := r.IntN(2)
			in.Groups[k] = append(in.Groups[k], m.ID)
		}
	case InputClient:
		in.Op = &Op{
			Client: 1 + r.Uint64N(4), Member: r.Uint64N(uint64(len(s.Members)) + 1), Kind: []string{OpSet, OpAdd, OpDelete, OpCompareAndSet, OpRead, OpRead}[r.IntN(6)], Key: "x",
			Value: []string{"1", "2"}[r.IntN(2)], Expect: "1", Read: []string{ReadLinearizable, ReadSerializable}[r.IntN(2)], Retry: r.IntN(2) == 0, Patience: 1 + r.Int64N(500e6),
		}
	case InputSet:
		loss := r.IntN(150)
		in.Set = &Settings{
			Loss: &loss, DelayMin: number(1e6, 10e6), DelayMax: number(10e6, 40e6), DiskMax: number(4e6, 20e6), PreVote: flag(), CheckQuorum: flag(), Heartbeat: number(20e6, 70e6),
		}
	}
	return in
}

// TestAnythingMayBeDone does anything at any moment, many times: nothing is violated, nothing panics, and the run that is written down gives the same again.
func TestAnythingMayBeDone(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 5
	}
	done := map[string]int{}
	for seed := uint64(1); seed <= seeds; seed++ {
		r := rand.New(rand.NewPCG(seed, 0x6c6162))
		e := NewEngine(Hello{})
		a := e.Answer(Request{Do: DoLoad, Run: &Run{Version: Version, Seed: seed, Setup: Setup{
			Members: 1 + r.IntN(6), CompactEntries: r.Uint64N(3) * 3, KeepEntries: r.Uint64N(3), NoSessions: r.IntN(4) == 0, Known: r.IntN(2) == 0,
		}}})
		for range 150 {
			request := Request{Do: DoInput}
			switch k := r.IntN(10); {
			case k < 3:
				request = Request{Do: DoAdvance, By: ByEvent}
			case k < 4:
				request = Request{Do: DoAdvance, By: ByMessage}
			case k < 7:
				request = Request{Do: DoAdvance, To: a.State.T + r.Int64N(400e6)}
			default:
				in := anyInput(r, a.State)
				request.Input = &in
			}
			next := e.Answer(request)
			if next.Error != "" {
				continue
			}
			if request.Input != nil {
				done[request.Input.Do]++
			}
			a = next
			i := slices.IndexFunc(a.State.Safety, func(p Property) bool { return p.Violated })
			if i >= 0 || a.State.Ended != "" {
				t.Fatalf("seed %d, after %d inputs, at %d: %s %+v", seed, len(e.Run().Inputs), a.State.T, a.State.Ended, a.State.Safety[max(i, 0)])
			}
		}
		run := e.Run()
		again := NewEngine(Hello{}).Answer(Request{Do: DoLoad, Run: &run, Until: &Point{T: a.State.T, N: a.State.N}})
		if again.Error != "" || again.State.Hash != a.State.Hash || again.State.N != a.State.N {
			t.Fatalf("seed %d is at %d, %s; again: %s %d %s", seed, a.State.N, a.State.Hash, again.Error, again.State.N, again.State.Hash)
		}
	}
	for _, kind := range []string{
		InputStop, InputCrash, InputPause, InputResume, InputRestart, InputTimeout, InputTransfer, InputAdd, InputRemove, InputPromote, InputDemote, InputDrop, InputDuplicate, InputDelay,
		InputDeliver, InputCut, InputMend, InputPartition, InputHeal, InputClient, InputSet,
	} {
		if done[kind] == 0 && !testing.Short() {
			t.Errorf("%s was never done", kind)
		}
	}
}
