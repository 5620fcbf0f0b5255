package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/balsa-raft/balsa"
	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/etcdapi"
	"github.com/balsa-raft/balsa/raft"
)

// stopTimeout is how long requests that run get to end when the member is asked to stop.
const stopTimeout = 5 * time.Second

// serve runs until ctx ends, which is a stop as asked, or until the member cannot go on.
func (m *member) serve(ctx context.Context) error {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	go m.logLeaders(watching)
	go m.announce(watching)
	removed := make(chan *memberList, 1)
	go m.watchConfiguration(watching, removed)
	select {
	case <-ctx.Done():
		m.logger.Info("stopping as asked")
		m.handOver()
		if err := m.close(); err != nil {
			return fmt.Errorf("stopping: %w", err)
		}
		m.logger.Info("stopped")
		return nil
	case list := <-removed:
		return errors.Join(m.wasRemoved(list), m.close())
	case <-m.host.Failed():
		return errors.Join(fmt.Errorf("the member cannot go on: %w", m.host.Err()), m.close())
	case <-m.group.Done():
		return errors.Join(fmt.Errorf("the member cannot go on: %w", m.group.Err()), m.close())
	}
}

// wasRemoved says what to do when the cluster does not have this member any more. The directory's identity is that of the removed one, even if the
// machine was added again in the meantime.
func (m *member) wasRemoved(list *memberList) error {
	next := "Its data directory is of no use any more. To bring the machine back, empty it and add the member anew."
	if successor, found := list.find(m.peerURLs); found && !successor.Started {
		next = fmt.Sprintf("It was added anew as %s, and only the data directory %s is still the removed one's: empty it, and start it with --initial-cluster-state=existing.",
			successor.ID, m.dataDir)
	}
	return cli.Advise(fmt.Errorf("member %s (%s) was removed from cluster %s", m.Name, hexID(m.ids.member), hexID(m.ids.cluster)), next)
}

// close takes the member apart, in the opposite order of start. It may be called on one that is only partly made.
func (m *member) close() error {
	var errs []error
	if m.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		m.server.Stop(ctx)
		cancel()
	}
	if m.console != nil {
		m.endConsole()
		errs = append(errs, m.console.Close())
	}
	if m.metrics != nil {
		errs = append(errs, m.metrics.Close())
	}
	if m.api != nil {
		errs = append(errs, m.api.Close())
	}
	if m.peerWeb != nil {
		errs = append(errs, m.peerWeb.Close())
	}
	if m.host != nil {
		errs = append(errs, m.host.Close())
	}
	if m.peerPort != nil {
		errs = append(errs, m.peerPort.Close())
	}
	if m.store != nil {
		errs = append(errs, m.store.Close())
	}
	if m.sockets != nil {
		errs = append(errs, m.sockets.close())
	}
	if m.dir != nil {
		errs = append(errs, m.dir.close())
	}
	return errors.Join(errs...)
}

// announce tells the cluster this member's name and client URLs, and says that it is ready once its own reads work.
func (m *member) announce(ctx context.Context) {
	for !m.attempt(ctx, "waiting for a leader", m.group.ReadBarrier) {
		if ctx.Err() != nil {
			return
		}
	}
	for !m.attempt(ctx, "publishing the client addresses", func(ctx context.Context) error {
		return m.api.Publish(ctx, m.Name, m.clientURLs())
	}) {
		if ctx.Err() != nil {
			return
		}
	}
	leader, term := m.group.Leader()
	m.logger.Info("ready to serve client requests", "client_urls", m.clientURLs(), "peer_urls", m.peerURLs, "id", hexID(m.ids.member),
		"cluster", hexID(m.ids.cluster), "leader", hexID(leader), "term", uint64(term))
}

// attempt tries once, for as long as some elections may take, and not more often than a few times a second.
func (m *member) attempt(ctx context.Context, what string, try func(context.Context) error) bool {
	limited, cancel := context.WithTimeout(ctx, 10*m.electionMax)
	defer cancel()
	err := try(limited)
	if err == nil {
		return true
	}
	if ctx.Err() == nil {
		m.logger.Info("still "+what, "error", err)
	}
	wait(ctx, m.electionMax)
	return false
}

// wait returns after the duration, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// logLeaders logs every change of the leader as this member learns of it.
func (m *member) logLeaders(ctx context.Context) {
	for {
		leader, term, changed := m.group.LeaderChange()
		switch leader {
		case raft.NoMember:
			m.logger.Info("no leader is known", "term", uint64(term))
		case m.ids.member:
			m.logger.Info("this member leads", "term", uint64(term))
		default:
			m.logger.Info("another member leads", "leader", hexID(leader), "term", uint64(term))
		}
		select {
		case <-changed:
		case <-m.group.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// watchConfiguration keeps the identity file up to date with the cluster's committed configuration, and sends who is in the cluster to removed when this
// member no longer is.
func (m *member) watchConfiguration(ctx context.Context, removed chan<- *memberList) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		status, err := m.group.Status()
		if err != nil {
			return
		}
		list := m.forgotten(ctx, &status)
		if list == nil && status.ConfigurationIndex <= status.Commit && !m.observe(status.Configuration) {
			if list, err = listOf(m.ids.cluster, status.Configuration); err != nil {
				list = &memberList{} // Who else is there is only for the advice.
			}
		}
		if list != nil {
			removed <- list
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// forgotten asks the others, while this member hears of no leader, whether it still belongs to them: who is removed is mostly not told,
// since the others are done with it as soon as they have agreed. If it does not, it gives who does.
func (m *member) forgotten(ctx context.Context, status *balsa.Status) *memberList {
	if status.Leader != raft.NoMember {
		return nil
	}
	var others []string
	for _, other := range status.Configuration.Members {
		if info, err := etcdapi.DecodeMeta(other.Meta); err == nil && other.ID != m.ids.member {
			others = append(others, info.PeerURLs...)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	list, err := askAny(ctx, others, false) // not stale: the answer is that of a majority
	if err != nil || list.ClusterID != hexID(m.ids.cluster) || list.has(hexID(m.ids.member)) {
		return nil
	}
	return list
}

// observe takes over what a committed configuration says of this member; false if it was in an earlier one and is not in this one. A member that
// joins sees configurations from before its time, while it catches up.
func (m *member) observe(c raft.Configuration) bool {
	i := slices.IndexFunc(c.Members, func(other raft.Member) bool { return other.ID == m.ids.member })
	if i < 0 {
		return !m.identity.Admitted
	}
	info, err := etcdapi.DecodeMeta(c.Members[i].Meta)
	if err != nil || (m.identity.Admitted && slices.Equal(info.PeerURLs, m.identity.PeerURLs)) {
		return true
	}
	next := *m.identity
	next.Admitted, next.PeerURLs = true, info.PeerURLs
	if err := next.write(m.dataDir); err != nil {
		m.logger.Warn("the identity file is not up to date", "error", err)
		return true
	}
	m.identity = &next
	return true
}

// handOver gives leadership to the voter that is furthest, so that the others need no election.
func (m *member) handOver() {
	status, err := m.group.Status()
	if err != nil || status.Role != raft.Leader {
		return
	}
	heir := heirOf(status.Configuration, status.Peers, m.ids.member)
	if heir == raft.NoMember {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*m.electionMax)
	defer cancel()
	if err := m.group.TransferLeadership(ctx, heir); err != nil {
		m.logger.Warn("leadership was not handed over", "to", hexID(heir), "error", err)
		return
	}
	m.logger.Info("handed leadership over", "to", hexID(heir))
}

// heirOf is the other voter that answers and has most of the log.
func heirOf(c raft.Configuration, peers []raft.Progress, self balsa.MemberID) raft.MemberID {
	candidates := slices.DeleteFunc(slices.Clone(peers), func(p raft.Progress) bool {
		return p.ID == self || !p.RecentActive || !slices.ContainsFunc(c.Members, func(m raft.Member) bool { return m.ID == p.ID && !m.Learner })
	})
	if len(candidates) == 0 {
		return raft.NoMember
	}
	return slices.MaxFunc(candidates, func(a, b raft.Progress) int { return cmp.Compare(a.Match, b.Match) }).ID
}
