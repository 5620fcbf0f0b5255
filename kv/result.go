package kv

import (
	"encoding/binary"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// PutResponse decodes the result of a PutCommand, which may have come from another member. The error is the reason why the command was refused,
// or ErrCorrupt. Of the header only the revision is set, as in all responses of this package.
func PutResponse(data []byte) (*pb.PutResponse, error) {
	response := &pb.PutResponse{}
	revision, _, err := decodeResult(data, response)
	if err != nil {
		return nil, err
	}
	if response.Header == nil {
		response.Header = &pb.ResponseHeader{Revision: revision}
	}
	return response, nil
}

// DeleteRangeResponse decodes the result of a DeleteRangeCommand.
func DeleteRangeResponse(data []byte) (*pb.DeleteRangeResponse, error) {
	response := &pb.DeleteRangeResponse{}
	revision, count, err := decodeResult(data, response)
	if err != nil {
		return nil, err
	}
	if response.Header == nil {
		response.Header, response.Deleted = &pb.ResponseHeader{Revision: revision}, count
	}
	return response, nil
}

// TxnResponse decodes the result of a TxnCommand.
func TxnResponse(data []byte) (*pb.TxnResponse, error) {
	if revision, puts, succeeded, ok := ShortTxnResult(data); ok {
		return putsResponse(revision, puts, succeeded), nil
	}
	response := &pb.TxnResponse{}
	revision, _, err := decodeResult(data, response)
	if err != nil {
		return nil, err
	}
	if code(data[0]) == codePuts {
		return nil, fmt.Errorf("%w: result %x is malformed", ErrCorrupt, data)
	}
	if response.Header == nil {
		response.Header = &pb.ResponseHeader{Revision: revision}
	}
	return response, nil
}

// ShortPutResult returns the revision that the result of a PutCommand says, if that is all it says.
func ShortPutResult(data []byte) (revision int64, ok bool) {
	if len(data) == 0 || code(data[0]) != codeRevision {
		return 0, false
	}
	revision, _, err := decodeResult(data, nil)
	return revision, err == nil
}

// ShortTxnResult returns what the result of a TxnCommand says, if that is only that so many puts were carried out, at which revision, and whether the compares held.
func ShortTxnResult(data []byte) (revision int64, puts int, succeeded, ok bool) {
	if len(data) == 0 || code(data[0]) != codePuts {
		return 0, 0, false, false
	}
	revision, outcome, err := decodeResult(data, nil)
	if err != nil || outcome < 0 || outcome>>1 > maxShortPuts {
		return 0, 0, false, false
	}
	return revision, int(outcome >> 1), outcome&1 != 0, true
}

// putAnswer is all that the answer to a put within a transaction consists of, in one piece of memory.
type putAnswer struct {
	op     pb.ResponseOp
	choice pb.ResponseOp_ResponsePut
	put    pb.PutResponse
	header pb.ResponseHeader
}

// maxShortPuts bounds how many puts a short result stands for, and so what it makes of a few bytes.
const maxShortPuts = 4

// putsResponse is the response to a transaction that has carried out puts alone.
func putsResponse(revision int64, puts int, succeeded bool) *pb.TxnResponse {
	response := &pb.TxnResponse{Header: &pb.ResponseHeader{Revision: revision}, Succeeded: succeeded}
	for range puts {
		a := new(putAnswer)
		a.header.Revision = revision
		a.put.Header = &a.header
		a.choice.ResponsePut = &a.put
		a.op.Response = &a.choice
		response.Responses = append(response.Responses, &a.op)
	}
	return response
}

// onlyPuts tells whether putsResponse makes the response to a branch.
func onlyPuts(branch []*pb.RequestOp) bool {
	if len(branch) > maxShortPuts {
		return false
	}
	for _, op := range branch {
		if put := op.GetRequestPut(); put == nil || put.PrevKv {
			return false
		}
	}
	return true
}

// CompactionResponse decodes the result of a CompactionCommand.
func CompactionResponse(data []byte) (*pb.CompactionResponse, error) {
	revision, _, err := decodeResult(data, &pb.CompactionResponse{})
	if err != nil {
		return nil, err
	}
	return &pb.CompactionResponse{Header: &pb.ResponseHeader{Revision: revision}}, nil
}

// MetaResponse decodes the result of a MetaCommand: nothing, or why it was refused.
func MetaResponse(data []byte) error {
	_, _, err := decodeResult(data, &pb.CompactionResponse{})
	return err
}

// decodeResult decodes a short result to a revision and a count, or a long one to the message.
func decodeResult(data []byte, m proto.Message) (revision, count int64, err error) {
	if len(data) == 0 {
		return 0, 0, fmt.Errorf("%w: a result is empty", ErrCorrupt)
	}
	rest := data[1:]
	switch code(data[0]) {
	case codeMessage:
		if err := proto.Unmarshal(rest, m); err != nil {
			return 0, 0, fmt.Errorf("%w: a result does not decode: %w", ErrCorrupt, err)
		}
		return 0, 0, nil
	case codeRevision, codeCount, codePuts:
		value, n := binary.Uvarint(rest)
		if n <= 0 {
			return 0, 0, fmt.Errorf("%w: result %x is malformed", ErrCorrupt, data)
		}
		if code(data[0]) != codeRevision {
			number, m := binary.Uvarint(rest[n:])
			if m <= 0 {
				return 0, 0, fmt.Errorf("%w: result %x is malformed", ErrCorrupt, data)
			}
			count = int64(number)
		}
		return int64(value), count, nil
	default:
		return 0, 0, code(data[0]).err()
	}
}

// results encodes the results of one Apply. Short ones share one piece of memory.
type results struct {
	arena []byte
}

// maxShortResult bounds the length of a result that is not a message.
const maxShortResult = 1 + 2*binary.MaxVarintLen64

func (r *results) short(c code, numbers ...int64) []byte {
	if cap(r.arena)-len(r.arena) < maxShortResult {
		r.arena = make([]byte, 0, 64*maxShortResult)
	}
	start := len(r.arena)
	r.arena = append(r.arena, byte(c))
	for _, number := range numbers {
		r.arena = binary.AppendUvarint(r.arena, uint64(number))
	}
	return r.arena[start:len(r.arena):len(r.arena)]
}

func (r *results) message(m proto.Message) []byte {
	b, err := proto.MarshalOptions{}.MarshalAppend([]byte{byte(codeMessage)}, m)
	if err != nil {
		panic(fmt.Sprintf("kv: a response does not encode: %v", err))
	}
	return b
}
