package campaign_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/sim"
	"github.com/balsa-raft/balsa/sim/campaign"
	"github.com/balsa-raft/balsa/transport/wire"
)

// codec is the codec of production. With lies, every vote that is refused arrives as one that is given.
type codec struct{ lies bool }

func (codec) Encode(group raft.GroupID, m raft.Message) ([]byte, error) {
	return wire.AppendMessage(make([]byte, 0, 128), group, m)
}

func (c codec) Decode(b []byte) (raft.GroupID, raft.Message, error) {
	group, m, err := wire.DecodeMessage(b)
	if vote, ok := m.(*raft.VoteReply); ok && c.lies {
		vote.Granted = true
	}
	return group, m, err
}

// TestWorkersAddUpToTheSame runs the same seeds on one goroutine and on four.
func TestWorkersAddUpToTheSame(t *testing.T) {
	o := campaign.Options{First: 50, Seeds: 40, Workers: 1, World: sim.Options{Profile: "quick", Codec: codec{}}}
	one := campaign.Run(t.Context(), o)
	o.Workers = 4
	four := campaign.Run(t.Context(), o)
	one.Took, four.Took = 0, 0
	if one.Worlds != 40 || one.Worlds != four.Worlds || one.Events != four.Events || one.Simulated != four.Simulated || !slices.Equal(one.Faults, four.Faults) {
		t.Errorf("one worker: %+v\nfour workers: %+v", one, four)
	}
	if len(one.Failures) > 0 {
		t.Errorf("seed %d: %v", one.Failures[0].Report.Seed, one.Failures[0].Report.Failure)
	}
}

// TestAFailureEndsTheCampaign has a network that lies, which cannot go well.
func TestAFailureEndsTheCampaign(t *testing.T) {
	o := campaign.Options{First: 1, Workers: 2, World: sim.Options{Codec: codec{lies: true}}, ShrinkRuns: 100}
	for worthIt := false; !worthIt && o.First < 200; { // A world that fails at once leaves nothing to shrink.
		report := sim.Run(o.First, o.World)
		if worthIt = report.Failure != nil && report.Events > 2000; !worthIt {
			o.First++
		}
	}
	r := campaign.Run(t.Context(), o)
	if len(r.Failures) == 0 || r.Interrupted {
		t.Fatalf("%+v", r)
	}
	f := r.Failures[0]
	if f.Shrunk == nil || f.Shrunk.Report.Events >= f.Report.Events || f.Shrunk.Report.Failure.Checker != f.Report.Failure.Checker || f.Shrunk.Tried > 100 {
		t.Errorf("%v was shrunk to %+v", f.Report.Failure, f.Shrunk)
	}
	o.All, o.Seeds, o.ShrinkRuns = true, 60, 0
	if all := campaign.Run(t.Context(), o); all.Worlds != 60 || len(all.Failures) < 2 {
		t.Errorf("60 worlds under a network that lies: %d ended, %d failed", all.Worlds, len(all.Failures))
	}
}

// TestACampaignIsInterrupted ends one without a last seed, from outside.
func TestACampaignIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := campaign.Run(ctx, campaign.Options{
		First: 1, Workers: 2, World: sim.Options{Profile: "calm", Duration: time.Second}, Every: 10 * time.Millisecond,
		Progress: func(r campaign.Result) {
			if r.Worlds > 3 {
				cancel()
			}
		},
	})
	if !r.Interrupted || r.Worlds < 3 || len(r.Failures) > 0 {
		t.Errorf("%+v", r)
	}
}

// TestIdleFaultsAreSeen: a fault that was to strike in many worlds, and never did anything.
func TestIdleFaultsAreSeen(t *testing.T) {
	for _, c := range []struct {
		fault campaign.Fault
		idle  bool
	}{
		{campaign.Fault{Worlds: 9, Exposed: campaign.Enough, Injected: 5, Effective: 1}, false},
		{campaign.Fault{Worlds: 9, Exposed: campaign.Enough, Injected: 5}, true},
		{campaign.Fault{Worlds: 9, Exposed: campaign.Enough, Effective: 1}, true},
		{campaign.Fault{Exposed: campaign.Enough, Effective: 1}, false},
		{campaign.Fault{Exposed: campaign.Enough}, true},
		{campaign.Fault{Exposed: campaign.Enough - 1}, false},
	} {
		if c.fault.Idle() != c.idle {
			t.Errorf("%+v: idle %v, want %v", c.fault, c.fault.Idle(), c.idle)
		}
	}
}
