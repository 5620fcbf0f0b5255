package raft

// Member is one participant as the group's configuration knows it.
type Member struct {
	ID MemberID
	// Learner receives the log but neither votes nor counts (thesis §4.2.1).
	Learner bool
	// AutoPromote asks the leader to make this learner a voter once it has caught up.
	AutoPromote bool
	// Incarnation is that of the data directory the group admitted; 0 until it is known. Votes and acknowledgements of another
	// incarnation do not count.
	Incarnation uint64
	// Priority says how much this member should lead: a leader of lower priority hands over to the caught-up voter with the highest. 0 for all
	// means nobody is preferred.
	Priority uint8
	// Address is where the member's host is reached; opaque to the core, carried so that every member learns it through the log.
	Address string
	// Meta is for the application (names, client URLs); opaque to the core.
	Meta []byte
}

// Configuration is the set of a group's members. It is a value: whoever changes one, changes a copy.
type Configuration struct {
	// Members are the members of the configuration (the incoming one while joint), sorted by ID, without duplicates.
	Members []Member
	// Outgoing are the members of the old configuration while the group is in joint consensus (thesis §4.3), else empty. Then a
	// decision needs a majority of both. Sorted by ID.
	Outgoing []Member
}

// Change is a request to alter the configuration. Members in Set are added, or replace the member of the same ID (which is how a
// learner is promoted, a voter demoted, an address updated); those in Remove are removed. A change of more than one
// voter goes through joint consensus; one that changes at most one voter is made in a single step (thesis §4.1).
//
// A member becomes a voter only once it has caught up (thesis §4.2.1): if Set asks for one that has not, it is, or stays, a learner with
// AutoPromote, and the leader makes it a voter in time. A voter that has no log yet would only cost availability; and because nobody ever needs the vote of a
// member that knows no configuration, such a member can refuse to vote, which is what keeps a wiped disk from voting away what it forgot.
type Change struct {
	Set    []Member
	Remove []MemberID
}
