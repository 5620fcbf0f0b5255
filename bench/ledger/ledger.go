// Package ledger knows which writes were acknowledged and which were applied where, so that a measurement can show afterwards that nothing was lost: figures
// of a system that loses writes are worth nothing.
//
// Every command says who proposed it and as which one. A proposer numbers its commands 1, 2, 3, whatever becomes of them.
package ledger

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
)

// MinCommand is the least size of a command.
const MinCommand = 16

// NewCommand returns a command of the given size for a proposer to fill in: group, proposer, number, and bytes that do not compress well.
func NewCommand(size int, group, proposer uint32) []byte {
	c := make([]byte, size)
	state := uint64(proposer)<<32 | 1
	for i := MinCommand; i < size; i++ {
		state = state*6364136223846793005 + 1442695040888963407
		c[i] = byte(state >> 56)
	}
	binary.LittleEndian.PutUint32(c, group)
	binary.LittleEndian.PutUint32(c[4:], proposer)
	return c
}

// SetNumber makes the command the proposer's n-th.
func SetNumber(command []byte, n uint64) { binary.LittleEndian.PutUint64(command[8:], n) }

// Ledger has a page for every replica and proposer. A page is written by one goroutine at a time, since a proposer stays with its group.
type Ledger struct {
	replicas [][]page
	// applied counts a replica's commands. It is stored after the page, and loaded before the page is read.
	applied []atomic.Uint64
	acked   []page
}

// page is a set of numbers.
type page struct {
	bits  []uint64
	count uint64
	twice uint64
}

func (p *page) add(n uint64) {
	word, bit := n/64, uint64(1)<<(n%64)
	for uint64(len(p.bits)) <= word {
		p.bits = append(p.bits, 0)
	}
	if p.bits[word]&bit != 0 {
		p.twice++
		return
	}
	p.bits[word] |= bit
	p.count++
}

func (p *page) has(n uint64) bool { return n/64 < uint64(len(p.bits)) && p.bits[n/64]&(1<<(n%64)) != 0 }

// New makes the ledger for some replicas and proposers.
func New(replicas, proposers int) *Ledger {
	l := &Ledger{replicas: make([][]page, replicas), applied: make([]atomic.Uint64, replicas), acked: make([]page, proposers)}
	for i := range l.replicas {
		l.replicas[i] = make([]page, proposers)
	}
	return l
}

// Applied notes that a replica has applied a command. What is no command of a proposer's is passed over.
func (l *Ledger) Applied(replica int, command []byte) {
	if len(command) < MinCommand {
		return
	}
	if proposer := int(binary.LittleEndian.Uint32(command[4:])); proposer < len(l.acked) {
		l.replicas[replica][proposer].add(binary.LittleEndian.Uint64(command[8:]))
		l.applied[replica].Add(1)
	}
}

// Acknowledged notes that the proposer was told that its n-th command is done.
func (l *Ledger) Acknowledged(proposer int, n uint64) { l.acked[proposer].add(n) }

// Level tells how many commands every replica has applied, and whether that is the same number for all of them and at least what was acknowledged. It is for
// waiting before Check: while commands that nobody acknowledged are still being applied, a replica may have as many as were acknowledged, and not those.
func (l *Ledger) Level() (applied uint64, level bool) {
	var acked uint64
	for i := range l.acked {
		acked += l.acked[i].count
	}
	applied = l.applied[0].Load()
	level = applied >= acked
	for i := range l.applied {
		level = level && l.applied[i].Load() == applied
	}
	return applied, level
}

// Check returns an error unless every acknowledged command was applied on every replica, and none twice. Nobody may apply or acknowledge meanwhile.
func (l *Ledger) Check() error {
	for r := range l.replicas {
		l.applied[r].Load()
		for p := range l.acked {
			have := &l.replicas[r][p]
			if have.twice > 0 {
				return fmt.Errorf("replica %d applied %d commands of proposer %d twice", r, have.twice, p)
			}
			acked := &l.acked[p]
			for word, bits := range acked.bits {
				for bit := range uint64(64) {
					if n := uint64(word)*64 + bit; bits&(1<<bit) != 0 && !have.has(n) {
						return fmt.Errorf("replica %d lost command %d of proposer %d, which was acknowledged", r, n, p)
					}
				}
			}
		}
	}
	return nil
}
