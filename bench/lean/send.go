package lean

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// prefixSize is that of gRPC's prefix of a message: whether it is compressed, and its length.
const prefixSize = 5

// hasRoom tells whether the server takes another request on this connection.
func (l *link) hasRoom() bool {
	return l.leaving == nil && uint64(len(l.live)) < uint64(l.mostLive)
}

// ask begins a stream with the client's next request.
func (l *link) ask(one *call) {
	method, request := one.client.Ask(append(one.request[:0], make([]byte, prefixSize)...))
	binary.BigEndian.PutUint32(request[1:], uint32(len(request)-prefixSize))
	one.request, one.unsent = request, request
	one.answer.reset()
	one.id, one.sendWindow, one.recvWindow = l.nextID, l.callWindow, streamWindow
	block, err := l.requests.block(method, l.headerList)
	if err != nil {
		one.unsent = nil
		l.finish(one, nil, err)
		return
	}
	l.live[one.id] = one
	if l.nextID += 2; l.nextID > mostStreamID {
		l.leaving = errors.New("all streams of the connection were used")
	}
	_ = l.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: one.id, BlockFragment: block, EndHeaders: true})
	if !l.send(one) {
		l.blocked = append(l.blocked, one.id)
	}
}

// send writes of a request what flow control allows, and tells whether that was all.
func (l *link) send(one *call) bool {
	for len(one.unsent) > 0 {
		n := min(int64(len(one.unsent)), int64(l.theirFrame), one.sendWindow, l.sendWindow)
		if n <= 0 {
			return false
		}
		_ = l.framer.WriteData(one.id, n == int64(len(one.unsent)), one.unsent[:n])
		one.unsent = one.unsent[n:]
		one.sendWindow -= n
		l.sendWindow -= n
	}
	return true
}

// unblock goes on with the requests that waited for flow control.
func (l *link) unblock() {
	if len(l.blocked) == 0 {
		return
	}
	still := l.blocked[:0]
	for _, id := range l.blocked {
		if one := l.live[id]; one != nil && !l.send(one) {
			still = append(still, id)
		}
	}
	l.blocked = still
}

// requestHeaders encodes the headers of requests. Those of a method are always the same, so they are a few references to what the server's decoder knows
// already from the first of them, and stay so until something else is added to what it knows.
type requestHeaders struct {
	limit   time.Duration
	always  []hpack.HeaderField
	encoder *hpack.Encoder
	buffer  bytes.Buffer
	blocks  map[string][]byte
	largest uint32 // the most that those of blocks have, as HTTP/2 counts it
}

func (r *requestHeaders) init(authority string, limit time.Duration) {
	r.limit, r.encoder, r.blocks = limit, hpack.NewEncoder(&r.buffer), map[string][]byte{}
	r.always = []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path"}, {Name: ":authority", Value: authority},
		{Name: "content-type", Value: "application/grpc"}, {Name: "user-agent", Value: "balsa-bench"}, {Name: "te", Value: "trailers"},
		{Name: "grpc-timeout", Value: fmt.Sprintf("%dm", max(limit.Milliseconds(), 1))},
	}
}

// resize is told how much the server's decoder remembers at most.
func (r *requestHeaders) resize(size uint32) {
	r.encoder.SetMaxDynamicTableSizeLimit(size)
	clear(r.blocks)
}

// block is the encoded headers of a request, which have to be written before the next call. The server takes so many bytes at most.
func (r *requestHeaders) block(method string, most uint32) ([]byte, error) {
	if known, ok := r.blocks[method]; ok && r.largest <= most {
		return known, nil
	}
	r.always[2].Value = method
	var size uint32
	for _, f := range r.always {
		size += f.Size()
	}
	if size > most { // nothing may be encoded that is not sent, since the decoder would not know it
		return nil, status.Errorf(codes.Internal, "the server takes headers of %d bytes, and those of a request have %d", most, size)
	}
	r.buffer.Reset()
	for _, f := range r.always {
		_ = r.encoder.WriteField(f) // into memory
	}
	if !onlyReferences(r.buffer.Bytes()) {
		clear(r.blocks) // what was added has moved what they refer to
		return r.buffer.Bytes(), nil
	}
	r.blocks[method], r.largest = bytes.Clone(r.buffer.Bytes()), max(r.largest, size)
	return r.blocks[method], nil
}

// onlyReferences tells whether a header block consists of indexed fields, RFC 7541 §6.1, of a byte each. Such a block changes nothing for later ones.
func onlyReferences(block []byte) bool {
	for _, b := range block {
		if b < 0x80 || b == 0xff {
			return false
		}
	}
	return true
}
