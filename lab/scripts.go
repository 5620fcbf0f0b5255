package lab

// Script is a run that is written down, with what is asked between its inputs: what the tests of both hosts replay.
type Script struct {
	Name     string
	Requests []Request
}

// Scripts are runs that between them use every input. Both hosts have to give the same answers to them, byte for byte.
func Scripts() []Script {
	const ms = 1_000_000
	wait := func(t int64) Request { return Request{Do: DoAdvance, To: t * ms} }
	input := func(in Input) Request { return Request{Do: DoInput, Input: &in} }
	number := func(n int64) *int64 { return &n }
	off, on, loss := false, true, 100
	load := func(seed uint64, setup Setup) Request {
		return Request{Do: DoLoad, Run: &Run{Version: Version, Seed: seed, Setup: setup}}
	}
	write := func(client uint64, key, value string) Request {
		return input(Input{Do: InputClient, Op: &Op{Client: client, Kind: OpSet, Key: key, Value: value, Retry: true}})
	}
	read := func(client, member uint64, key, kind string) Request {
		return input(Input{Do: InputClient, Op: &Op{Client: client, Member: member, Kind: OpRead, Key: key, Read: kind}})
	}
	event, message := Request{Do: DoAdvance, By: ByEvent}, Request{Do: DoAdvance, By: ByMessage}
	return []Script{
		{"election and writes", []Request{
			load(1, Setup{Members: 5}), wait(400), write(1, "x", "5"), wait(600), read(2, 0, "x", ""), read(3, 4, "x", ReadSerializable), wait(900),
			input(Input{Do: InputClient, Op: &Op{Client: 1, Kind: OpAdd, Key: "x", Value: "2"}}), event, event, message, wait(1200),
			input(Input{Do: InputClient, Op: &Op{Client: 1, Kind: OpCompareAndSet, Key: "x", Expect: "7", Value: "8"}}), wait(1500),
			input(Input{Do: InputClient, Op: &Op{Client: 1, Kind: OpDelete, Key: "x"}}), wait(2000),
		}},
		{"processes", []Request{
			load(2, Setup{Members: 3, CompactEntries: 4, KeepEntries: 2}), wait(500), write(1, "a", "1"), wait(700), input(Input{Do: InputCrash, Member: 1}), wait(1500),
			write(1, "b", "2"), wait(1900), write(1, "c", "3"), wait(2200), write(1, "d", "4"), write(2, "e", "5"), wait(2600), write(1, "f", "6"), write(2, "g", "7"), wait(3000),
			input(Input{Do: InputRestart, Member: 1}), wait(3500), input(Input{Do: InputPause, Member: 2}), wait(4500), input(Input{Do: InputResume, Member: 2}), wait(5000),
			input(Input{Do: InputStop, Member: 3}), wait(5500), input(Input{Do: InputRestart, Member: 3}), input(Input{Do: InputTimeout, Member: 2}), wait(6500),
			input(Input{Do: InputWipe, Member: 3}), input(Input{Do: InputRestart, Member: 3}), wait(7500), input(Input{Do: InputAdd, Member: 3}), wait(9000),
		}},
		{"membership", []Request{
			load(3, Setup{Members: 3}), wait(500), write(1, "x", "1"), wait(700), input(Input{Do: InputAdd}), wait(1500), input(Input{Do: InputAdd, Learner: true}), wait(2500),
			input(Input{Do: InputPromote, Member: 5}), wait(3500), input(Input{Do: InputDemote, Member: 2}), wait(4500), input(Input{Do: InputRemove, Member: 1}), wait(5500),
			input(Input{Do: InputTransfer, Member: 4}), wait(6500),
		}},
		{"network", []Request{
			load(4, Setup{Members: 5, Known: true}), wait(185), message, input(Input{Do: InputDuplicate, Message: 2}), input(Input{Do: InputDelay, Message: 2, By: 30 * ms}),
			input(Input{Do: InputDrop, Message: 4}), input(Input{Do: InputDeliver, Message: 5}), wait(800),
			input(Input{Do: InputPartition, Groups: [][]uint64{{1, 2}, {3, 4, 5}}}), wait(1000), write(1, "x", "3"), wait(2500), write(2, "x", "8"), wait(3000),
			input(Input{Do: InputHeal}), wait(4000), input(Input{Do: InputCut, From: 1, To: 2}), wait(4500), input(Input{Do: InputMend, From: 1, To: 2}), wait(5000),
		}},
		{"disks", []Request{
			load(7, Setup{Members: 3}), wait(500), write(1, "x", "5"), wait(800), write(1, "y", "1"), wait(1100), input(Input{Do: InputRot, Member: 3, Index: 3}), input(Input{Do: InputRestart, Member: 3}), wait(1500),
			input(Input{Do: InputLie, Member: 2}), write(1, "x", "6"), wait(1800), input(Input{Do: InputHonest, Member: 2}), wait(2500),
		}},
		{"settings", []Request{
			load(5, Setup{Members: 4, NoSessions: true, Settings: Settings{PreVote: &off}}), wait(500),
			input(Input{Do: InputSet, Set: &Settings{Loss: &loss, DelayMax: number(60 * ms), ElectionMin: number(300 * ms), ElectionMax: number(600 * ms)}}), wait(2000),
			write(1, "x", "1"), wait(4000), input(Input{Do: InputSet, Set: &Settings{LeaseReads: &on, PreVote: &on}}), wait(5000), read(2, 0, "x", ReadLease), wait(6000),
			input(Input{Do: InputSet, Set: &Settings{LeaseReads: &off, CheckQuorum: &off}}), wait(8000),
		}},
	}
}
