package raft

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// NoDeadline is a deadline that never comes: the core waits for an input.
const NoDeadline = time.Duration(math.MaxInt64)

// Terms and indexes beyond these cannot come from a correct member, however long it ran. Refusing them keeps a single
// malformed message from using up the space of terms, and all arithmetic on them from overflowing.
const (
	maxTerm  Term  = 1 << 62
	maxIndex Index = 1 << 62
)

// maxWaitingReads bounds the reads a member holds for confirmation.
const maxWaitingReads = 1 << 16

// Default fills in the fields that are zero.
func (c Config) Default() Config {
	def(&c.HeartbeatInterval, 50*time.Millisecond)
	def(&c.ElectionTimeoutMin, 150*time.Millisecond)
	def(&c.ElectionTimeoutMax, 2*c.ElectionTimeoutMin)
	def(&c.MaxMessageBytes, 1<<20)
	def(&c.MaxInflightMessages, 256)
	def(&c.MaxInflightBytes, 16<<20)
	def(&c.MaxUncommittedBytes, 64<<20)
	def(&c.MaxCachedBytes, 8<<20)
	def(&c.ClockDriftBound, 10)
	return c
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate tells what is wrong with a configuration, after Default.
func (c Config) Validate() error {
	switch {
	case c.ID == NoMember:
		return errors.New("raft: Config.ID is 0, which is no member")
	case c.HeartbeatInterval <= 0:
		return fmt.Errorf("raft: HeartbeatInterval %v is not positive", c.HeartbeatInterval)
	case c.ElectionTimeoutMin < 2*c.HeartbeatInterval:
		return fmt.Errorf("raft: ElectionTimeoutMin %v is less than twice HeartbeatInterval %v: a single lost heartbeat would depose the leader",
			c.ElectionTimeoutMin, c.HeartbeatInterval)
	case c.ElectionTimeoutMax <= c.ElectionTimeoutMin:
		return fmt.Errorf("raft: ElectionTimeoutMax %v is not above ElectionTimeoutMin %v: timeouts would not be random",
			c.ElectionTimeoutMax, c.ElectionTimeoutMin)
	case c.ElectionTimeoutMax > time.Hour:
		return fmt.Errorf("raft: ElectionTimeoutMax %v is more than an hour", c.ElectionTimeoutMax)
	case c.MaxInflightMessages < 1:
		return fmt.Errorf("raft: MaxInflightMessages %d is less than 1", c.MaxInflightMessages)
	case c.MaxInflightBytes < c.MaxMessageBytes:
		return fmt.Errorf("raft: MaxInflightBytes %d is less than MaxMessageBytes %d", c.MaxInflightBytes, c.MaxMessageBytes)
	case c.ClockDriftBound < 0 || c.ClockDriftBound >= 100:
		return fmt.Errorf("raft: ClockDriftBound %d%% is not within [0, 100)", c.ClockDriftBound)
	case c.LeaseReads && c.DisableCheckQuorum:
		return errors.New("raft: LeaseReads needs the check of the quorum: without it members do not stick to their leader")
	case c.CommitDelay < 0:
		return fmt.Errorf("raft: CommitDelay %v is negative", c.CommitDelay)
	case c.CommitDelay > c.HeartbeatInterval:
		return fmt.Errorf("raft: CommitDelay %v is more than HeartbeatInterval %v: a heartbeat tells of a commit in any case", c.CommitDelay, c.HeartbeatInterval)
	case c.QuiesceAfter < 0:
		return fmt.Errorf("raft: QuiesceAfter %v is negative", c.QuiesceAfter)
	case c.QuiesceAfter > 0 && c.QuiesceAfter < c.HeartbeatInterval:
		return fmt.Errorf("raft: QuiesceAfter %v is less than HeartbeatInterval %v", c.QuiesceAfter, c.HeartbeatInterval)
	}
	return nil
}
