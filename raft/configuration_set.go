package raft

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Joint tells whether the group is between two configurations (thesis §4.3).
func (c Configuration) Joint() bool { return len(c.Outgoing) > 0 }

// empty tells whether there is no configuration at all: the member waits to be added.
func (c Configuration) empty() bool { return len(c.Members) == 0 }

// Find returns the member with the ID, as the incoming configuration describes it, or else the outgoing one.
func (c Configuration) Find(id MemberID) (Member, bool) {
	if m := find(c.Members, id); m != nil {
		return *m, true
	}
	if m := find(c.Outgoing, id); m != nil {
		return *m, true
	}
	return Member{}, false
}

func find(members []Member, id MemberID) *Member {
	for i := range members {
		if members[i].ID == id {
			return &members[i]
		}
	}
	return nil
}

func votesIn(members []Member, id MemberID) bool {
	m := find(members, id)
	return m != nil && !m.Learner
}

// IsVoter tells whether the member votes in this configuration; while joint, in any half of it.
func (c Configuration) IsVoter(id MemberID) bool {
	return votesIn(c.Members, id) || votesIn(c.Outgoing, id)
}

// Voters returns the IDs of all members that vote, ascending; while joint, of both halves.
func (c Configuration) Voters() []MemberID {
	var ids []MemberID
	for _, id := range c.all() {
		if c.IsVoter(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// all returns the IDs of all members of both halves, ascending.
func (c Configuration) all() []MemberID {
	ids := make([]MemberID, 0, len(c.Members)+len(c.Outgoing))
	for i := range c.Members {
		ids = append(ids, c.Members[i].ID)
	}
	for i := range c.Outgoing {
		ids = append(ids, c.Outgoing[i].ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// replaced tells whether the incoming configuration knows a voter of the outgoing one by another disk. What that disk says counts in the half that names it: the
// one that the outgoing half names has votes left to give to whoever does not know of the change, and may have lost the way to the leader and nothing else.
func (c Configuration) replaced(outgoing *Member) bool {
	m := find(c.Members, outgoing.ID)
	return m != nil && m.Incarnation != 0 && outgoing.Incarnation != 0 && m.Incarnation != outgoing.Incarnation
}

// decide tells how a vote stands in this configuration. granted and refused tell it of one member.
func (c Configuration) decide(granted, refused func(MemberID) bool) verdict {
	half := func(members []Member) verdict {
		var yes, no, n int
		for i := range members {
			if members[i].Learner {
				continue
			}
			n++
			switch {
			case c.replaced(&members[i]): // Never so in the incoming half.
			case granted(members[i].ID):
				yes++
			case refused(members[i].ID):
				no++
			}
		}
		return decide(yes, no, n)
	}
	return decideJoint(half(c.Members), half(c.Outgoing))
}

// Validate tells why a configuration cannot be in force.
func (c Configuration) Validate() error {
	if err := validateMembers(c.Members); err != nil {
		return err
	}
	if c.Joint() {
		if err := validateMembers(c.Outgoing); err != nil {
			return fmt.Errorf("outgoing: %w", err)
		}
	}
	return nil
}

func validateMembers(members []Member) error {
	voters := 0
	var last MemberID
	for i := range members {
		m := &members[i]
		if m.ID <= last {
			return fmt.Errorf("member %d: IDs have to be positive, ascending and unique", m.ID)
		}
		last = m.ID
		if !m.Learner {
			voters++
			if m.AutoPromote {
				return fmt.Errorf("member %d is a voter already and cannot be promoted", m.ID)
			}
		}
		if len(m.Address) > maxMemberBytes || len(m.Meta) > maxMemberBytes {
			return fmt.Errorf("member %d: address or meta data of more than %d bytes", m.ID, maxMemberBytes)
		}
	}
	if voters == 0 {
		return errors.New("no voter is left")
	}
	if len(members) > maxMembers {
		return fmt.Errorf("%d members are more than %d", len(members), maxMembers)
	}
	return nil
}

// Clone returns a deep copy.
func (c Configuration) Clone() Configuration {
	return Configuration{Members: cloneMembers(c.Members), Outgoing: cloneMembers(c.Outgoing)}
}

func cloneMembers(members []Member) []Member {
	out := slices.Clone(members)
	for i := range out {
		out[i].Meta = slices.Clone(out[i].Meta)
	}
	return out
}

// Equal tells whether two configurations are the same in every respect.
func (c Configuration) Equal(d Configuration) bool {
	return slices.EqualFunc(c.Members, d.Members, sameMember) && slices.EqualFunc(c.Outgoing, d.Outgoing, sameMember)
}

func sameMember(a, b Member) bool {
	return a.ID == b.ID && a.Learner == b.Learner && a.AutoPromote == b.AutoPromote && a.Incarnation == b.Incarnation &&
		a.Priority == b.Priority && a.Address == b.Address && bytes.Equal(a.Meta, b.Meta)
}

// String names the members: "1 2 3 learner 4", and while joint "1 2 4 <- 1 2 3".
func (c Configuration) String() string {
	if !c.Joint() {
		return membersString(c.Members)
	}
	return membersString(c.Members) + " <- " + membersString(c.Outgoing)
}

func membersString(members []Member) string {
	if len(members) == 0 {
		return "nobody"
	}
	var b strings.Builder
	for i := range members {
		if i > 0 {
			b.WriteByte(' ')
		}
		if members[i].Learner {
			b.WriteString("learner ")
		}
		fmt.Fprint(&b, uint64(members[i].ID))
	}
	return b.String()
}
