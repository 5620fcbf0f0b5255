// Package lab is the engine behind the page in which one sees and breaks Raft: a small protocol of JSON requests and answers (see protocol.md),
// and an Engine that answers them from a world of package sim, which runs the production core, engine, write-ahead log and wire format.
//
// The protocol has two hosts, and the page cannot tell them apart: package lab/serve carries it over a WebSocket, package lab/wasm runs the same Engine
// in the page, in a Web Worker. A run is a version, a seed, a setup and a list of inputs; replaying it gives the same states and the same hash of the trace
// in both, because nothing in the Engine reads a clock, starts a goroutine, or iterates a map in an order that matters.
//
// An Engine belongs to one connection and one goroutine. It knows no sockets and no files.
package lab
