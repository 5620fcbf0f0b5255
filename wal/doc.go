// Package wal is one write-ahead log for all the Raft groups of a host: entries, term and vote, and where each group's log begins.
//
// One writer appends batches, each one group's change, and makes all that it appended durable with a single Sync: the group commit
// across groups. Anybody reads entries at the same time. The log is a sequence of segment files of frames; docs/formats/wal.md is
// the grammar.
//
// What holds at all times:
//   - A batch is in the log after a crash as a whole or not at all; what Sync returned for is there (paper, figure 2: "Updated on stable
//     storage before responding to RPCs").
//   - A bad frame at or past the point up to which the log is proven to have been synced is a torn tail, and is cut. Below that point it is
//     corruption: its entry is faulty, never missing, and a lost vote is an error, never a forgotten vote.
//   - Every byte that is returned was checked against its checksum on that read.
//   - A failed write or fsync poisons the log for good: the kernel may have dropped what it failed to write, so a later success proves
//     nothing.
//   - A frame is bound to its segment and its place there. Old frames in a recycled file, and frames inside of an entry's data, never read as
//     frames of the log.
//   - The space of a log is bounded by a multiple of what is live in it, whichever groups are idle.
//
// What it does not do: it knows no protocol, keeps no entry cache, stores no snapshots (only where they stand), starts no goroutine, and
// reads no clock. Options.FS is all it knows of the operating system.
package wal
