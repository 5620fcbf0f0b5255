package kv

import (
	"encoding/binary"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// A command is one byte, the version of the encoding in its upper half and the kind in its lower, and then what the kind says. A new kind or version
// may only be proposed once all members know it: one that does not answers ErrInvalidCommand and changes nothing.
const (
	commandVersion = 1 << 4

	commandPut     = commandVersion | 1 // a PutRequest
	commandDelete  = commandVersion | 2 // a DeleteRangeRequest
	commandTxn     = commandVersion | 3 // a TxnRequest
	commandCompact = commandVersion | 4 // a CompactionRequest
	commandSetting = commandVersion | 5 // the name's length as a varint, the name, the value
)

// PutCommand encodes a put for the log. The request has been checked by the caller, as for all commands.
func PutCommand(r *pb.PutRequest) []byte { return encodeCommand(commandPut, r) }

// DeleteRangeCommand encodes a deletion for the log.
func DeleteRangeCommand(r *pb.DeleteRangeRequest) []byte { return encodeCommand(commandDelete, r) }

// TxnCommand encodes a transaction for the log.
func TxnCommand(r *pb.TxnRequest) []byte { return encodeCommand(commandTxn, r) }

// CompactionCommand encodes a compaction for the log.
func CompactionCommand(r *pb.CompactionRequest) []byte { return encodeCommand(commandCompact, r) }

// MetaCommand encodes the change of a cluster-wide setting. An empty value removes it. It makes no revision.
func MetaCommand(name string, value []byte) []byte {
	b := make([]byte, 0, 1+binary.MaxVarintLen32+len(name)+len(value))
	b = binary.AppendUvarint(append(b, commandSetting), uint64(len(name)))
	return append(append(b, name...), value...)
}

// EncodedPut makes the command of a request that DecodePut has decoded, out of what it was decoded from.
func EncodedPut(data []byte) []byte { return prefixed(commandPut, data) }

// EncodedTxn makes the command of a request that ShortTxn has decoded, out of what it was decoded from.
func EncodedTxn(data []byte) []byte { return prefixed(commandTxn, data) }

func prefixed(kind byte, data []byte) []byte {
	b := make([]byte, 1+len(data))
	b[0] = kind
	copy(b[1:], data)
	return b
}

func encodeCommand(kind byte, m proto.Message) []byte {
	b := make([]byte, 1, 1+proto.Size(m))
	b[0] = kind
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	if err != nil {
		panic(fmt.Sprintf("kv: a request does not encode: %v", err))
	}
	return b
}

func decodeCommand(data []byte, m proto.Message) error {
	if err := proto.Unmarshal(data, m); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidCommand, err)
	}
	return nil
}

// put is a PutRequest. Key and value share memory with the command.
type put struct {
	key, value               []byte
	lease                    int64
	previous                 bool
	ignoreValue, ignoreLease bool
}

func putOf(r *pb.PutRequest) put {
	return put{key: r.Key, value: r.Value, lease: r.Lease, previous: r.PrevKv, ignoreValue: r.IgnoreValue, ignoreLease: r.IgnoreLease}
}

// decodePut decodes an encoded PutRequest without copying or allocating, because puts are what most commands are.
func decodePut(data []byte) (put, error) {
	var p put
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return p, ErrInvalidCommand
		}
		data = data[n:]
		switch {
		case kind == protowire.BytesType && (number == 1 || number == 2):
			value, n := protowire.ConsumeBytes(data)
			if n < 0 {
				return p, ErrInvalidCommand
			}
			if data = data[n:]; number == 1 {
				p.key = value
			} else {
				p.value = value
			}
		case kind == protowire.VarintType && number >= 3 && number <= 6:
			value, n := protowire.ConsumeVarint(data)
			if n < 0 {
				return p, ErrInvalidCommand
			}
			data = data[n:]
			switch number {
			case 3:
				p.lease = int64(value)
			case 4:
				p.previous = protowire.DecodeBool(value)
			case 5:
				p.ignoreValue = protowire.DecodeBool(value)
			case 6:
				p.ignoreLease = protowire.DecodeBool(value)
			}
		default:
			n := protowire.ConsumeFieldValue(number, kind, data)
			if n < 0 {
				return p, ErrInvalidCommand
			}
			data = data[n:]
		}
	}
	return p, nil
}

func decodeSetting(data []byte) (name, value []byte, err error) {
	size, n := binary.Uvarint(data)
	if n <= 0 || size == 0 || size > uint64(len(data)-n) {
		return nil, nil, ErrInvalidCommand
	}
	return data[n : n+int(size)], data[n+int(size):], nil
}

// checkTxn refuses a transaction that cannot be carried out. Requests are checked before they are replicated, so this only finds
// commands that something else made.
func checkTxn(r *pb.TxnRequest) error {
	for _, c := range r.Compare {
		if len(c.GetKey()) == 0 {
			return ErrInvalidCommand
		}
	}
	for _, branch := range [...][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			var key []byte
			switch request := op.GetRequest().(type) {
			case *pb.RequestOp_RequestRange:
				key = request.RequestRange.GetKey()
			case *pb.RequestOp_RequestPut:
				key = request.RequestPut.GetKey()
			case *pb.RequestOp_RequestDeleteRange:
				key = request.RequestDeleteRange.GetKey()
			case *pb.RequestOp_RequestTxn:
				if request.RequestTxn == nil {
					return ErrInvalidCommand
				}
				if err := checkTxn(request.RequestTxn); err != nil {
					return err
				}
				continue
			}
			if len(key) == 0 {
				return ErrInvalidCommand
			}
		}
	}
	return nil
}
