// Package transport carries engine.Envelopes between hosts, as frames (package wire) over TCP or TLS.
//
// Every host listens at one address, which is also its name. A host that has something for a peer dials it, and sends over that connection; what
// the peer has to say comes over the connection that the peer dialled. So each direction has its own connection, its own queue and its
// own fate, and there is no question of who dials.
//
// What holds:
//   - No message is delivered before its sender has introduced itself (cluster, protocol version, the name it dialled) and Options.OnPeer has
//     agreed. A mismatch is answered with a reason, and both sides show it.
//   - What one host sends to another arrives in the order of Send, unaltered and at most once, also across connections: a peer's new
//     connection counts only after its old one has ended. What was in a queue when its connection ended is dropped, never sent later: to
//     Raft an old message is worth less than the repetition of it.
//   - Send never blocks. Queues, frames, strangers' connections and their time are all bounded, whatever comes over the network.
//
// What it does not do: it repeats nothing, acknowledges nothing and knows no groups or members; Raft does all that. It keeps no list of peers:
// whom to talk to is in each envelope, whom to listen to is for Options.OnPeer to say. Without TLS it protects against mistakes, not against
// somebody who can write to the network.
package transport
