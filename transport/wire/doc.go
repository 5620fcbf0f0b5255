// Package wire is what two hosts of Balsa say to each other, as bytes: frames, the introduction that opens a connection, and the encoding of
// every message of raft/ and engine/. The grammar is in docs/formats/wire.md.
//
// A frame is a fixed header, a meta part and a payload. The payload is the bulk (entries' data, a piece of a snapshot) exactly as it stands in
// the log; the meta part holds everything else, and a CRC-32C for every piece of the payload. That split is what makes the two ends cheap: the
// sender hands the payload to the operating system from where it lies, without copying or reading it, and the receiver makes
// one allocation for it, into which the entries point.
//
// What holds:
//   - A header is believed only after its checksum, a length only after its limit, so a hostile or damaged frame never makes the
//     receiver allocate more than the limit it chose.
//   - What Decode accepts is what Encode was given, value for value; what was damaged on the way is an error that wraps ErrCorrupt, never a
//     different message.
//   - No function here panics on bytes, whatever they are.
//
// What it does not do: it opens no socket, starts no goroutine and knows no time; package transport does, and the simulator carries the same
// bytes over its own network. It does not judge messages either: whether a term or an index makes sense is for raft/ to say.
package wire
