package front

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	// tableSize is that of HPACK's table before anybody says otherwise.
	tableSize = 4096
	// maxHeaders bounds the headers of a request, as HTTP/2 counts them.
	maxHeaders = 1 << 20
)

// requestHeaders are those of the request that begins.
type requestHeaders struct {
	id     uint32 // 0 between requests
	ending bool   // nothing follows them
	block  []byte // what has come of them
	fields []hpack.HeaderField
	size   int
}

func (h *requestHeaders) add(f hpack.HeaderField) {
	if h.size += int(f.Size()); h.size <= maxHeaders {
		h.fields = append(h.fields, f)
	}
}

func (h *requestHeaders) reset() {
	clear(h.fields)
	*h = requestHeaders{fields: h.fields[:0], block: h.block[:0]}
	if cap(h.block) > maxKeptBuffer {
		h.block = nil
	}
	if cap(h.fields) > 100 {
		h.fields = nil
	}
}

// judge returns the call that the headers begin, or nil if it is not for us: whatever is unusual is grpc-go's to answer.
func (h *requestHeaders) judge(o *Options) *call {
	if h.ending {
		return nil
	}
	var seen uint // of what there may be one of
	var timeout string
	one := &call{values: context.Background()}
	for i := range h.fields {
		f := &h.fields[i]
		bit := uint(0)
		switch f.Name {
		case ":method":
			bit = 1
			if f.Value != "POST" {
				return nil
			}
		case ":path":
			bit = 2
			if one.method = o.Methods[f.Value]; one.method == nil {
				return nil
			}
			one.quick = o.Quick[f.Value]
		case ":scheme":
			bit = 4
		case ":authority":
			bit = 8
			if f.Value == "" {
				return nil
			}
		case "content-type":
			bit = 16
			if f.Value != "application/grpc" && f.Value != "application/grpc+proto" {
				return nil
			}
		case "grpc-timeout":
			bit = 32
			timeout = f.Value
		case "te", "user-agent", "grpc-accept-encoding", "accept-encoding":
		case "grpc-encoding":
			if f.Value != "identity" {
				return nil
			}
		case "connection", "host":
			return nil
		default:
			if strings.HasPrefix(f.Name, ":") || !plainName(f.Name) {
				return nil
			}
			for _, name := range o.Metadata {
				if name == f.Name {
					one.values = withMetadata(one.values, name, f.Value)
				}
			}
		}
		if seen&bit != 0 {
			return nil
		}
		seen |= bit
	}
	if seen&31 != 31 {
		return nil
	}
	if seen&32 != 0 {
		d, err := parseTimeout(timeout)
		if err != nil || d <= 0 {
			return nil
		}
		one.limit(d, o.Patience)
	}
	return one
}

func withMetadata(ctx context.Context, name, value string) context.Context {
	md, _ := metadata.FromIncomingContext(ctx) // a copy
	return metadata.NewIncomingContext(ctx, metadata.Join(md, metadata.Pairs(name, value)))
}

// plainName tells whether a header's name is one that HTTP/2 allows.
func plainName(name string) bool {
	for i := range len(name) {
		if b := name[i]; !('a' <= b && b <= 'z' || '0' <= b && b <= '9' || b == '-' || b == '_' || b == '.') {
			return false
		}
	}
	return name != ""
}

var errTimeout = errors.New("a timeout is malformed")

// parseTimeout reads what gRPC writes a timeout as: up to eight digits and a unit.
func parseTimeout(text string) (time.Duration, error) {
	if len(text) < 2 || len(text) > 9 {
		return 0, errTimeout
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 64)
	if err != nil {
		return 0, errTimeout
	}
	var unit time.Duration
	switch text[len(text)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0, errTimeout
	}
	return time.Duration(min(n, uint64((1<<63-1)/unit))) * unit, nil
}

// answerHeaders encodes the headers of answers. Those of answers that went well are always the same, and so a few references to what the client's decoder knows
// from the first of them, until something else is added to what it knows.
type answerHeaders struct {
	encoder   *hpack.Encoder
	buffer    bytes.Buffer
	first, ok []byte // nil if they are not known
}

var (
	firstFields = []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"}}
	okFields    = []hpack.HeaderField{{Name: "grpc-status", Value: "0"}, {Name: "grpc-message", Value: ""}}
)

func (a *answerHeaders) init() { a.encoder = hpack.NewEncoder(&a.buffer) }

// resize is told how much the client's decoder remembers at most.
func (a *answerHeaders) resize(size uint32) {
	a.encoder.SetMaxDynamicTableSizeLimit(size)
	a.encoder.SetMaxDynamicTableSize(min(size, tableSize))
	a.first, a.ok = nil, nil
}

// begin is the block before a message, and end the one after it when all went well. A block has to be written before the next call.
func (a *answerHeaders) begin() []byte {
	if a.first == nil {
		return a.remember(&a.first, firstFields)
	}
	return a.first
}

func (a *answerHeaders) end() []byte {
	if a.ok == nil {
		return a.remember(&a.ok, okFields)
	}
	return a.ok
}

func (a *answerHeaders) remember(as *[]byte, fields []hpack.HeaderField) []byte {
	block := a.block(fields)
	if onlyReferences(block) {
		*as = bytes.Clone(block)
	}
	return block
}

// block encodes any headers.
func (a *answerHeaders) block(fields []hpack.HeaderField) []byte {
	a.buffer.Reset()
	for _, f := range fields {
		_ = a.encoder.WriteField(f) // into memory
	}
	if !onlyReferences(a.buffer.Bytes()) {
		a.first, a.ok = nil, nil // what was added has moved what they refer to
	}
	return a.buffer.Bytes()
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

// failure is the only block of an answer that is an error.
func (a *answerHeaders) failure(err error) []byte {
	s := status.Convert(err)
	fields := append(firstFields[:len(firstFields):len(firstFields)],
		hpack.HeaderField{Name: "grpc-status", Value: strconv.FormatUint(uint64(s.Code()), 10)},
		hpack.HeaderField{Name: "grpc-message", Value: escape(s.Message())})
	if p := s.Proto(); len(p.GetDetails()) > 0 {
		if details, err := proto.Marshal(p); err == nil {
			fields = append(fields, hpack.HeaderField{Name: "grpc-status-details-bin", Value: base64.RawStdEncoding.EncodeToString(details)})
		}
	}
	return a.block(fields)
}

// escape writes what is not printable ASCII as gRPC wants it in a message.
func escape(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
