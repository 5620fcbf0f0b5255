// Package console shows a cluster that runs, in the lab's page: who leads, the terms, how far each member is and how fast it goes, and the events of each
// member's core as they happen.
//
// A member records its core's events in a Recorder, of bounded size, and answers what it knows of itself in a Report (Member). A Console gathers the reports of all members a few times a
// second, as long as somebody looks, and passes them on as the lab's protocol has them. Whoever runs the members may give it Controls; without them it only shows.
//
// Invariants: what a member's turn pays for being watched does not depend on how many watch; no more is kept than the bounds below; nothing of what clients write is shown.
package console
