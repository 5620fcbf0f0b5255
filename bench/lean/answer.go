package lean

import (
	"encoding/binary"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// longestMessage bounds an answer.
const longestMessage = 1 << 30

// answer is what has come of a stream's answer: headers, a message with gRPC's prefix, trailers; or all headers in one, if there is no message.
type answer struct {
	data    []byte
	begun   bool // the first headers came
	headers answerHeaders
}

// answerHeaders is what matters of a block of headers, or of the trailers.
type answerHeaders struct {
	http, grpc  string // statuses
	contentType string
	encoding    string
	message     string
}

func (a *answer) reset() {
	a.data, a.begun = a.data[:0], false
	if cap(a.data) > streamWindow {
		a.data = nil // it is kept for the next one, but not forever if it was large
	}
}

// add takes a piece of the message.
func (a *answer) add(data []byte) error {
	if !a.begun {
		return status.Error(codes.Internal, "an answer begins with its message")
	}
	if len(a.data)+len(data) > longestMessage {
		return status.Errorf(codes.ResourceExhausted, "an answer is longer than %d bytes", longestMessage)
	}
	a.data = append(a.data, data...)
	return nil
}

func (a *answer) beginHeaders() { a.headers = answerHeaders{} }

func (a *answer) field(f hpack.HeaderField) {
	switch f.Name {
	case ":status":
		a.headers.http = f.Value
	case "content-type":
		a.headers.contentType = f.Value
	case "grpc-encoding":
		a.headers.encoding = f.Value
	case "grpc-status":
		a.headers.grpc = f.Value
	case "grpc-message":
		a.headers.message = f.Value
	}
}

// endHeaders judges a block of headers, of which ending says that nothing comes after it, and tells whether the answer is done with it, and how.
func (a *answer) endHeaders(ending bool) (done bool, err error) {
	h := &a.headers
	if a.begun {
		if !ending {
			return true, status.Error(codes.Internal, "an answer has headers in its middle")
		}
		return true, a.end()
	}
	if strings.HasPrefix(h.http, "1") && !ending {
		return false, nil // it is on its way, RFC 9110 §15.2
	}
	if !strings.HasPrefix(h.contentType, "application/grpc") {
		return true, status.Errorf(codeOfHTTP(h.http), "what answers is not gRPC: status %q, content %q", h.http, h.contentType)
	}
	if ending {
		return true, a.end()
	}
	if h.http != "200" {
		return true, status.Errorf(codeOfHTTP(h.http), "status %q", h.http)
	}
	if h.encoding != "" && h.encoding != "identity" {
		return true, status.Errorf(codes.Internal, "the answer is compressed with %s, which was not asked for", h.encoding)
	}
	a.begun = true
	return false, nil
}

// end judges the whole answer by its trailers.
func (a *answer) end() error {
	h := &a.headers
	if h.grpc == "" {
		return status.Error(codes.Internal, "the trailers have no grpc-status")
	}
	if h.grpc == "0" {
		return a.checkMessage()
	}
	code, err := strconv.ParseUint(h.grpc, 10, 32)
	if err != nil {
		return status.Errorf(codes.Internal, "grpc-status is %q", h.grpc)
	}
	text := h.message
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	return status.Error(codes.Code(code), text)
}

// checkMessage returns an error unless there is one message, and all of it.
func (a *answer) checkMessage() error {
	if len(a.data) < prefixSize || int64(binary.BigEndian.Uint32(a.data[1:])) != int64(len(a.data)-prefixSize) {
		return status.Errorf(codes.Internal, "%d bytes are not one message", len(a.data))
	}
	if a.data[0] != 0 {
		return status.Error(codes.Internal, "the message is compressed, which was not asked for")
	}
	return nil
}

// message is what came without its prefix.
func (a *answer) message() []byte {
	if len(a.data) < prefixSize {
		return nil
	}
	return a.data[prefixSize:]
}

// codeOfReset and codeOfHTTP say what grpc-go says for the same.
func codeOfReset(code http2.ErrCode) codes.Code {
	switch code {
	case http2.ErrCodeRefusedStream:
		return codes.Unavailable
	case http2.ErrCodeCancel:
		return codes.Canceled
	case http2.ErrCodeEnhanceYourCalm, http2.ErrCodeFlowControl:
		return codes.ResourceExhausted
	case http2.ErrCodeInadequateSecurity:
		return codes.PermissionDenied
	}
	return codes.Internal
}

func codeOfHTTP(text string) codes.Code {
	switch code, _ := strconv.Atoi(text); code {
	case http.StatusBadRequest:
		return codes.Internal
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.Unimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return codes.Unavailable
	}
	return codes.Unknown
}
