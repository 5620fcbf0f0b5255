package sim

import (
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// checkSnapshots sees that a snapshot is enough: a member that was sent one goes on from it with the entries that follow, and is not sent the next, and the
// next, because the log is cut faster than snapshots travel. It is looked at in the calm after the faults, while clients still write.
//
// A log far beyond its bound is cut whoever needs it, since a disk is finite. Whether it was is seen when it is cut: by the time a snapshot has arrived, it is
// short again.
type checkSnapshots struct {
	nothing
	group *group
	// taken is, by member, what is known of the snapshots it has taken over.
	taken map[*member]*snapshotsTaken
	// forced is when a leader last cut its log far beyond its bound, 0 if none did.
	forced time.Duration
}

// snapshotsTaken counts the snapshots that a member has taken over in the calm. last and before are when it took over the newest, and the one before.
type snapshotsTaken struct {
	count        int
	last, before time.Duration
}

// mostSnapshots is how many a member may need in the calm: what was under way when it began, one that the process was started with, the one that counts, and
// some that were lost by what the faults left on its way.
const mostSnapshots = 6

// farBeyond is how many times its bound a log may be long before it is cut whoever needs it: engine.Group.compactTarget's number, written down once more.
const farBeyond = 8

// compacted is told before the log has given up what was cut.
func (c *checkSnapshots) compacted(m *member) {
	if m.role == raft.Leader && m.host.log.Bytes(c.group.id) > farBeyond*m.host.program.compactBytes {
		c.forced = m.world.now
	}
}

func (c *checkSnapshots) restored(m *member, _ head) {
	w := m.world
	t := c.taken[m]
	if t == nil {
		t = &snapshotsTaken{}
		c.taken[m] = t
	}
	// What made this snapshot necessary happened after the last one was captured, which was after the one before it was taken over.
	forced := c.forced != 0 && c.forced >= t.before
	t.before, t.last = t.last, w.now
	leader := c.group.leader()
	if forced || !w.healing || w.now < w.healed+100*time.Millisecond || w.quiet() || leader == nil || leader == m || leader.host.log == nil {
		return
	}
	// Before the leader has admitted a new disk it hears nothing of what that has.
	if member, in := leader.running.Core().CommittedConfiguration().Find(m.host.id); !in || member.Incarnation != m.host.log.Incarnation() {
		return
	}
	if t.count++; t.count > mostSnapshots {
		w.fail("liveness", "%v was sent snapshot after snapshot, %d within %v: the log that follows each is cut before it gets there", m, t.count, w.now-w.healed)
	}
}
