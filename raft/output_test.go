package raft

import (
	"slices"
	"testing"
)

// TestAnOutputIsTheCallersUntilTheNextTake: the core takes the slices of an Output back, but not before it was asked for another one.
func TestAnOutputIsTheCallersUntilTheNextTake(t *testing.T) {
	a := one(t, 3, 1)
	var index Index
	for range 10 {
		out := func() Output {
			a.Receive(&AppendRequest{Header: head(2, 1), PrevIndex: index, PrevTerm: min(Term(index), 1), Entries: entries(index+1, 1)})
			index++
			return a.Take()
		}()
		if len(out.Events) == 0 || len(out.AfterSync) == 0 {
			t.Fatalf("%d events and %d messages, want some of each", len(out.Events), len(out.AfterSync))
		}
		events, messages, after := slices.Clone(out.Events), slices.Clone(out.Messages), slices.Clone(out.AfterSync)
		a.Synced(out.Seq)
		a.Receive(&AppendRequest{Header: head(2, 1), PrevIndex: index, PrevTerm: 1, Commit: index})
		a.Receive(&AppendRequest{Header: head(2, 1), PrevIndex: index, PrevTerm: 1, Entries: entries(index+1, 1)})
		index++
		if !slices.Equal(events, out.Events) || !slices.Equal(messages, out.Messages) || !slices.Equal(after, out.AfterSync) {
			t.Fatal("what came in after Take changed what it had given")
		}
		a.Synced(a.Take().Seq)
	}
}
