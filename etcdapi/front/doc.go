// Package front is what clients' connections of a gRPC server come to. It speaks HTTP/2, and answers the unary requests of some methods itself: without a goroutine, a context, a
// timer and a dozen buffers of their own for each, which in grpc-go take more processor time than a key-value store needs for its work.
//
// A method has a goroutine for as long as it takes. What is asked most needs none: whoever reads the connection begins such a request, and whoever learns its answer (the one that applies a
// command, say) encodes it for the connection's writer.
//
// Everything else it passes on: other methods, streams, compressed messages, and whatever is not quite what gRPC prescribes. For these a connection has a second one within the
// process, to an ordinary server of grpc-go, which is opened when it is first needed. Streams keep their numbers there. Headers are decoded and encoded anew, since those of both kinds
// share one table of HPACK; so do flow control's windows of the connection, which are the front's, while those of a stream that was passed on are between the client and grpc-go.
//
// What it does not do: TLS, compression, pings of its own (TCP finds out who is gone), server push, priorities.
package front
