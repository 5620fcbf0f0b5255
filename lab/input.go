package lab

import (
	"fmt"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/sim"
)

// do does an input. What is filled in is what has to be written down to do the same again.
func (e *Engine) do(in *Input) error {
	w, member := e.world, raft.MemberID(in.Member)
	switch in.Do {
	case InputStop:
		return w.Stop(member)
	case InputCrash:
		return w.Crash(member)
	case InputPause:
		return w.Pause(member)
	case InputResume:
		return w.Resume(member)
	case InputRestart:
		return w.Restart(member)
	case InputWipe:
		return w.Wipe(member)
	case InputLie:
		return w.Lie(member, true)
	case InputHonest:
		return w.Lie(member, false)
	case InputRot:
		return w.Rot(member, raft.Index(in.Index))
	case InputTimeout:
		return w.TimeOut(member)
	case InputTransfer:
		return w.Transfer(member)
	case InputAdd:
		added, err := w.Add(member, in.Learner)
		if err == nil {
			in.Member = uint64(added)
		}
		return err
	case InputRemove:
		return w.Remove(member)
	case InputPromote:
		return w.Promote(member)
	case InputDemote:
		return w.Demote(member)
	case InputDrop:
		return w.Drop(in.Message)
	case InputDuplicate:
		return w.Duplicate(in.Message)
	case InputDelay:
		return w.Delay(in.Message, time.Duration(in.By))
	case InputDeliver:
		return w.DeliverNow(in.Message)
	case InputCut:
		return w.Cut(raft.MemberID(in.From), raft.MemberID(in.To))
	case InputMend:
		return w.Mend(raft.MemberID(in.From), raft.MemberID(in.To))
	case InputPartition:
		return w.Partition(members(in.Groups))
	case InputHeal:
		w.HealLinks()
		return nil
	case InputClient:
		return e.ask(in.Op)
	case InputSet:
		return e.set(in.Set)
	}
	return fmt.Errorf("%q: not a thing that can be done", in.Do)
}

func members(groups [][]uint64) [][]raft.MemberID {
	list := make([][]raft.MemberID, len(groups))
	for i := range groups {
		for _, id := range groups[i] {
			list[i] = append(list[i], raft.MemberID(id))
		}
	}
	return list
}

var verbs = map[string]sim.Verb{
	OpSet: sim.VerbSet, OpAdd: sim.VerbAdd, OpDelete: sim.VerbDelete, OpCompareAndSet: sim.VerbCompareAndSet, OpRead: sim.VerbRead,
}

var reads = map[string]sim.ReadKind{
	"": sim.ReadLinearizable, ReadLinearizable: sim.ReadLinearizable, ReadSerializable: sim.ReadSerializable, ReadLease: sim.ReadLease,
}

func (e *Engine) ask(op *Op) error {
	if op == nil {
		return fmt.Errorf("the client has nothing to do: there is no op")
	}
	verb, ok := verbs[op.Kind]
	if !ok {
		return fmt.Errorf("%q: not a thing that a client can do", op.Kind)
	}
	read, ok := reads[op.Read]
	if !ok {
		return fmt.Errorf("%q: not a kind of read", op.Read)
	}
	_, err := e.world.Ask(sim.Request{
		Client: int(min(op.Client, 1000)), Member: raft.MemberID(op.Member), Verb: verb, Read: read, Key: op.Key, Value: op.Value, Expect: op.Expect,
		Retry: op.Retry, Patience: time.Duration(op.Patience),
	})
	return err
}

// set changes the settings that are not nil: all of them, or none if one of them is wrong.
func (e *Engine) set(s *Settings) error {
	if s == nil {
		return fmt.Errorf("there are no settings to set")
	}
	before := e.world.Setup()
	next := before
	s.apply(&next)
	if err := e.world.Tune(next.Raft); err != nil {
		return err
	}
	if err := e.world.SetTimes(next.Delay, next.Disk, next.Loss); err != nil {
		if undo := e.world.Tune(before.Raft); undo != nil {
			panic(undo) // It was in force.
		}
		return err
	}
	return nil
}

// steered makes the setup of a world, with the defaults filled in.
func (s *Setup) steered() (sim.Setup, error) {
	setup := sim.Setup{
		Members: s.Members,
		Delay:   sim.Span{Min: 10 * time.Millisecond, Max: 20 * time.Millisecond},
		Disk:    sim.Span{Min: 2 * time.Millisecond, Max: 4 * time.Millisecond},
		Raft: raft.Tuning{
			HeartbeatInterval: 50 * time.Millisecond, ElectionTimeoutMin: 150 * time.Millisecond, ElectionTimeoutMax: 300 * time.Millisecond, ClockDriftBound: 10,
		},
		CompactEntries: s.CompactEntries, KeepEntries: s.KeepEntries, NoSessions: s.NoSessions, Known: s.Known,
	}
	if setup.Members == 0 {
		setup.Members = 5
	}
	s.Settings.apply(&setup)
	return setup, nil
}

// apply changes what is not nil.
func (s *Settings) apply(to *sim.Setup) {
	duration(&to.Raft.HeartbeatInterval, s.Heartbeat)
	duration(&to.Raft.ElectionTimeoutMin, s.ElectionMin)
	duration(&to.Raft.ElectionTimeoutMax, s.ElectionMax)
	duration(&to.Delay.Min, s.DelayMin)
	duration(&to.Delay.Max, s.DelayMax)
	duration(&to.Disk.Min, s.DiskMin)
	duration(&to.Disk.Max, s.DiskMax)
	if s.Loss != nil {
		to.Loss = *s.Loss
	}
	if s.PreVote != nil {
		to.Raft.DisablePreVote = !*s.PreVote
	}
	if s.CheckQuorum != nil {
		to.Raft.DisableCheckQuorum = !*s.CheckQuorum
	}
	if s.LeaseReads != nil {
		to.Raft.LeaseReads = *s.LeaseReads
	}
}

func duration(to *time.Duration, from *int64) {
	if from != nil {
		*to = time.Duration(*from)
	}
}

// settings tells the settings in force.
func settings(s sim.Setup) Settings {
	nanoseconds := func(d time.Duration) *int64 {
		n := int64(d)
		return &n
	}
	preVote, checkQuorum, leaseReads := !s.Raft.DisablePreVote, !s.Raft.DisableCheckQuorum, s.Raft.LeaseReads
	return Settings{
		Heartbeat: nanoseconds(s.Raft.HeartbeatInterval), ElectionMin: nanoseconds(s.Raft.ElectionTimeoutMin), ElectionMax: nanoseconds(s.Raft.ElectionTimeoutMax),
		DelayMin: nanoseconds(s.Delay.Min), DelayMax: nanoseconds(s.Delay.Max), DiskMin: nanoseconds(s.Disk.Min), DiskMax: nanoseconds(s.Disk.Max),
		Loss: &s.Loss, PreVote: &preVote, CheckQuorum: &checkQuorum, LeaseReads: &leaseReads,
	}
}
