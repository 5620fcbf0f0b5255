package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/balsa-raft/balsa"
	"github.com/balsa-raft/balsa/bench/ledger"
)

// keeper is a state machine that remembers which commands it has applied, so that it can be asked for each that was acknowledged, also after a restart or a
// snapshot. Its state may have ballast: bytes that say nothing and have to be carried along.
type keeper struct {
	ballast int64
	// captured counts the snapshots that were taken, begun and restored those that were about to be taken over, and were; writing is how many are being written.
	captured, begun, restored, writing atomic.Int64

	mu    sync.Mutex
	pages [][]uint64 // of each proposer, the set of its commands' numbers
	count uint64
	twice uint64
	index balsa.Index
}

func newKeeper(proposers int, ballast int64) *keeper {
	return &keeper{pages: make([][]uint64, proposers), ballast: ballast}
}

// Apply implements balsa.StateMachine.
func (k *keeper) Apply(entries []balsa.Entry) []balsa.Result {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range entries {
		if command := entries[i].Data; len(command) >= ledger.MinCommand {
			k.add(binary.LittleEndian.Uint32(command[4:]), binary.LittleEndian.Uint64(command[8:]))
		}
	}
	k.index = entries[len(entries)-1].Index
	return make([]balsa.Result, len(entries))
}

func (k *keeper) add(proposer uint32, n uint64) {
	if int(proposer) >= len(k.pages) {
		return
	}
	p := &k.pages[proposer]
	for uint64(len(*p)) <= n/64 {
		*p = append(*p, 0)
	}
	if (*p)[n/64]&(1<<(n%64)) != 0 {
		k.twice++
		return
	}
	(*p)[n/64] |= 1 << (n % 64)
	k.count++
}

// applied is how many commands the machine has.
func (k *keeper) applied() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count
}

// check returns an error unless the machine has every command that was promised, and none twice.
func (k *keeper) check(who string, promises []promise) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.twice > 0 {
		return fmt.Errorf("%s applied %d commands twice", who, k.twice)
	}
	for proposer := range promises {
		for n := uint64(1); n <= promises[proposer].last; n++ {
			if p := k.pages[proposer]; (n/64 >= uint64(len(p)) || p[n/64]&(1<<(n%64)) == 0) && promises[proposer].has(n) {
				return fmt.Errorf("%s lost command %d of proposer %d, which was acknowledged", who, n, proposer)
			}
		}
	}
	return nil
}

// Snapshot implements balsa.StateMachine.
func (k *keeper) Snapshot() (balsa.SnapshotWriter, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.captured.Add(1)
	k.writing.Add(1)
	s := &keeperSnapshot{of: k, ballast: k.ballast}
	for _, p := range k.pages {
		s.pages = append(s.pages, slices.Clone(p))
	}
	return s, nil
}

type keeperSnapshot struct {
	of      *keeper
	pages   [][]uint64
	ballast int64
}

// WriteTo implements io.WriterTo.
func (s *keeperSnapshot) WriteTo(w io.Writer) (int64, error) {
	head := binary.LittleEndian.AppendUint64(nil, uint64(s.ballast))
	for _, p := range s.pages {
		head = binary.LittleEndian.AppendUint64(head, uint64(len(p)))
		for _, word := range p {
			head = binary.LittleEndian.AppendUint64(head, word)
		}
	}
	written, err := w.Write(head)
	total := int64(written)
	for rest := s.ballast; rest > 0 && err == nil; {
		written, err = w.Write(ballast[:min(rest, int64(len(ballast)))])
		rest -= int64(written)
		total += int64(written)
	}
	return total, err
}

// Close implements io.Closer.
func (s *keeperSnapshot) Close() error {
	s.of.writing.Add(-1)
	return nil
}

// ballast does not compress.
var ballast = ledger.NewCommand(64<<10, 1, 1)

// Restore implements balsa.StateMachine.
func (k *keeper) Restore(r io.Reader) error {
	k.begun.Add(1)
	word := make([]byte, 8)
	next := func() (uint64, error) {
		_, err := io.ReadFull(r, word)
		return binary.LittleEndian.Uint64(word), err
	}
	rest, err := next()
	if err != nil {
		return err
	}
	pages, count := make([][]uint64, len(k.pages)), uint64(0)
	for i := range pages {
		n, err := next()
		if err != nil {
			return err
		}
		for range n {
			bits, err := next()
			if err != nil {
				return err
			}
			pages[i] = append(pages[i], bits)
			for ; bits != 0; bits &= bits - 1 {
				count++
			}
		}
	}
	got, err := io.Copy(io.Discard, r)
	if err != nil || got != int64(rest) {
		return fmt.Errorf("%d bytes of ballast instead of %d: %w", got, rest, err)
	}
	k.mu.Lock()
	k.pages, k.count = pages, count
	k.mu.Unlock()
	k.restored.Add(1)
	return nil
}

// lasting is a keeper whose state outlives the host, as a database's does.
type lasting struct {
	*keeper
	applied atomic.Uint64
}

// Apply implements balsa.StateMachine.
func (l *lasting) Apply(entries []balsa.Entry) []balsa.Result {
	results := l.keeper.Apply(entries)
	l.applied.Store(uint64(entries[len(entries)-1].Index))
	return results
}

// DurableIndex implements balsa.DurableStateMachine.
func (l *lasting) DurableIndex() balsa.Index { return balsa.Index(l.applied.Load()) }

// Flush implements balsa.DurableStateMachine.
func (l *lasting) Flush() error { return nil }
