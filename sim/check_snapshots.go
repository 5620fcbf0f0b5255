package sim

import "time"

// checkSnapshots sees that a snapshot is enough: a member that was sent one goes on from it with the entries that follow, and is not sent the next, and the
// next, because the log is cut faster than snapshots travel. It is looked at in the calm after the faults, while clients still write.
type checkSnapshots struct {
	nothing
	group *group
	// taken counts, by member, the snapshots taken over in the calm.
	taken map[*member]int
}

// mostSnapshots is how many a member may need in the calm: what was under way when it began, one that the process was started with, the one that counts, and
// some that were lost by what the faults left on its way.
const mostSnapshots = 6

func (c *checkSnapshots) restored(m *member, _ head) {
	w := m.world
	leader := c.group.leader()
	if !w.healing || w.now < w.healed+100*time.Millisecond || w.quiet() || leader == nil || leader == m || leader.host.log == nil {
		return
	}
	// Before the leader has admitted a new disk it hears nothing of what that has.
	if member, in := leader.running.Core().CommittedConfiguration().Find(m.host.id); !in || member.Incarnation != m.host.log.Incarnation() {
		return
	}
	// A log far beyond its bound is cut whoever needs it: a disk is finite.
	if leader.host.log.Bytes(c.group.id) > 4*w.regime.CompactBytes {
		return
	}
	if c.taken[m]++; c.taken[m] > mostSnapshots {
		w.fail("liveness", "%v was sent snapshot after snapshot, %d within %v: the log that follows each is cut before it gets there", m, c.taken[m], w.now-w.healed)
	}
}
