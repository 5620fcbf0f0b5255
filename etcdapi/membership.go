package etcdapi

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// The rules below say which changes of the membership are let through. They are etcd's (with its strict reconfiguration check, which it
// has on by default) and protect the quorum: Raft itself would carry out a change that leaves the group without one.

// mayAdd checks the addition of m, of whom nothing is running yet.
func mayAdd(s *engine.Status, m raft.Member, maxLearners int) error {
	voters := votersOf(s.Configuration)
	if !m.Learner {
		// One started member may always get a second: that is how a cluster grows from one, and how it is restored.
		started := countStarted(voters)
		if alone := started == 1 && len(voters) == 1; !alone && started < majority(len(voters)+1) {
			return rpctypes.ErrGRPCMemberNotEnoughStarted
		}
	}
	if len(voters) > 1 && countActive(s, voters) < majority(len(voters)+1) {
		return rpctypes.ErrGRPCUnhealthy
	}
	if _, exists := find(s.Configuration, m.ID); exists {
		return rpctypes.ErrGRPCMemberExist
	}
	if sharesPeerURL(s.Configuration, m) {
		return rpctypes.ErrGRPCPeerURLExist
	}
	if m.Learner && countLearners(s.Configuration) >= maxLearners {
		return rpctypes.ErrGRPCTooManyLearners
	}
	return nil
}

// mayRemove checks the removal of a member.
func mayRemove(s *engine.Status, id raft.MemberID) error {
	m, exists := find(s.Configuration, id)
	if exists && m.Learner {
		return nil
	}
	voters := votersOf(s.Configuration)
	rest := slices.DeleteFunc(slices.Clone(voters), func(v raft.Member) bool { return v.ID == id })
	if countStarted(rest) < majority(len(rest)) {
		return rpctypes.ErrGRPCMemberNotEnoughStarted
	}
	if !exists {
		return rpctypes.ErrGRPCMemberNotFound
	}
	// A member that is down takes nothing from the quorum when it goes; one that is up must leave a quorum behind.
	if isActive(s, id) && countActive(s, rest) < majority(len(rest)) {
		return rpctypes.ErrGRPCUnhealthy
	}
	return nil
}

// mayPromote checks that the learner id can become a voter. Only the leader knows how far it is.
func mayPromote(s *engine.Status, id raft.MemberID, maxLag uint64) error {
	m, exists := find(s.Configuration, id)
	if !exists {
		return rpctypes.ErrGRPCMemberNotFound
	}
	if !m.Learner {
		return rpctypes.ErrGRPCMemberNotLearner
	}
	if !inSync(s, id, maxLag) {
		return rpctypes.ErrGRPCLearnerNotReady
	}
	voters := votersOf(s.Configuration)
	if countStarted(voters)+1 < majority(len(voters)+1) {
		return rpctypes.ErrGRPCMemberNotEnoughStarted
	}
	return nil
}

// mayUpdate checks the new peer URLs of m.
func mayUpdate(s *engine.Status, m raft.Member) error {
	if _, exists := find(s.Configuration, m.ID); !exists {
		return rpctypes.ErrGRPCMemberNotFound
	}
	if sharesPeerURL(s.Configuration, m) {
		return rpctypes.ErrGRPCPeerURLExist
	}
	return nil
}

// inSync tells whether a learner would follow the leader closely enough as a voter: it answers, and lacks neither a tenth of the log (etcd's measure)
// nor more than maxLag entries, which for a long log is far less.
func inSync(s *engine.Status, id raft.MemberID, maxLag uint64) bool {
	p, known := progress(s, id)
	if !known || !p.RecentActive || p.PendingSnapshot != 0 {
		return false
	}
	lag := uint64(s.Last) - min(uint64(s.Last), uint64(p.Match))
	return lag <= maxLag && lag <= uint64(s.Last)/10
}

func progress(s *engine.Status, id raft.MemberID) (raft.Progress, bool) {
	i := slices.IndexFunc(s.Peers, func(p raft.Progress) bool { return p.ID == id })
	if i < 0 {
		return raft.Progress{}, false
	}
	return s.Peers[i], true
}

func isActive(s *engine.Status, id raft.MemberID) bool {
	p, known := progress(s, id)
	return id == s.ID || (known && p.RecentActive)
}

// countActive counts who answers the leader. A member that does not lead cannot know: there everybody counts, since the read barrier before
// the check has shown that a quorum answers.
func countActive(s *engine.Status, members []raft.Member) int {
	if len(s.Peers) == 0 {
		return len(members)
	}
	count := 0
	for _, m := range members {
		if isActive(s, m.ID) {
			count++
		}
	}
	return count
}

func countStarted(members []raft.Member) int {
	count := 0
	for _, m := range members {
		if view(m).Name != "" {
			count++
		}
	}
	return count
}

// countLearners counts those who were added as learners. A voter that is still catching up is none: it becomes one by itself.
func countLearners(c raft.Configuration) int {
	count := 0
	for _, m := range c.Members {
		if m.Learner && !m.AutoPromote {
			count++
		}
	}
	return count
}

func votersOf(c raft.Configuration) []raft.Member {
	return slices.DeleteFunc(slices.Clone(c.Members), func(m raft.Member) bool { return m.Learner })
}

func majority(n int) int { return n/2 + 1 }

// sharesPeerURL tells whether another member has one of m's peer URLs.
func sharesPeerURL(c raft.Configuration, m raft.Member) bool {
	urls := view(m).PeerURLs
	return slices.ContainsFunc(viewAll(c), func(other *pb.Member) bool {
		return other.ID != uint64(m.ID) && slices.ContainsFunc(other.PeerURLs, func(u string) bool { return slices.Contains(urls, u) })
	})
}
