package kv

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// ShortTxn has room for a transaction that compares a key and puts one, as most do, in one piece of memory that can be used again. The library makes a dozen of it, on each
// member.
type ShortTxn struct {
	request  pb.TxnRequest
	compares [1]*pb.Compare
	success  [1]*pb.RequestOp
	failure  [1]*pb.RequestOp
	compare  shortCompare
	put      shortPut
}

type shortCompare struct {
	compare pb.Compare
	version pb.Compare_Version
	created pb.Compare_CreateRevision
	changed pb.Compare_ModRevision
	value   pb.Compare_Value
}

type shortPut struct {
	op     pb.RequestOp
	choice pb.RequestOp_RequestPut
	put    pb.PutRequest
}

// decodeTxn decodes an encoded TxnRequest, whose memory the request may share. It may be in t, and then lasts until t is used again.
func decodeTxn(data []byte, t *ShortTxn) (*pb.TxnRequest, error) {
	if r := t.Decode(data); r != nil {
		return r, nil
	}
	r := new(pb.TxnRequest)
	return r, decodeCommand(data, r)
}

// Decode decodes an encoded TxnRequest if it is one of compares and puts, with nothing in it that the library would refuse, merge or keep although it does not know it. What it
// returns, nil otherwise, shares the memory of what was decoded, and lasts until it is called again.
func (t *ShortTxn) Decode(data []byte) *pb.TxnRequest {
	*t = ShortTxn{}
	if !t.decode(data) {
		return nil
	}
	return &t.request
}

func (t *ShortTxn) decode(data []byte) bool {
	t.request.Compare, t.request.Success, t.request.Failure = t.compares[:0], t.success[:0], t.failure[:0]
	compare, put := &t.compare, &t.put // the first ones; others have their own memory
	for len(data) > 0 {
		number, body, rest, ok := nextBytes(data)
		if !ok {
			return false
		}
		data = rest
		switch number {
		case 1:
			if compare == nil {
				compare = new(shortCompare)
			}
			if !compare.decode(body) {
				return false
			}
			t.request.Compare = append(t.request.Compare, &compare.compare)
			compare = nil
		case 2, 3:
			if put == nil {
				put = new(shortPut)
			}
			if !put.decode(body) {
				return false
			}
			if number == 2 {
				t.request.Success = append(t.request.Success, &put.op)
			} else {
				t.request.Failure = append(t.request.Failure, &put.op)
			}
			put = nil
		default:
			return false
		}
	}
	return true
}

func (c *shortCompare) decode(data []byte) bool {
	for len(data) > 0 {
		field, _, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		switch field {
		case 1, 2, 4, 5, 6:
			number, value, rest, ok := nextVarint(data)
			if !ok {
				return false
			}
			data = rest
			switch number {
			case 1:
				c.compare.Result = pb.Compare_CompareResult(int32(value))
			case 2:
				c.compare.Target = pb.Compare_CompareTarget(int32(value))
			case 4:
				c.version.Version = int64(value)
				c.compare.TargetUnion = &c.version
			case 5:
				c.created.CreateRevision = int64(value)
				c.compare.TargetUnion = &c.created
			case 6:
				c.changed.ModRevision = int64(value)
				c.compare.TargetUnion = &c.changed
			}
		case 3, 7, 64:
			number, value, rest, ok := nextBytes(data)
			if !ok {
				return false
			}
			data = rest
			switch number {
			case 3:
				c.compare.Key = value
			case 7:
				c.value.Value = value
				c.compare.TargetUnion = &c.value
			case 64:
				c.compare.RangeEnd = value
			}
		default:
			return false
		}
	}
	return true
}

func (p *shortPut) decode(data []byte) bool {
	number, body, rest, ok := nextBytes(data)
	if !ok || number != 2 || len(rest) > 0 {
		return false
	}
	p.choice.RequestPut = &p.put
	p.op.Request = &p.choice
	return DecodePut(body, &p.put)
}

// DecodePut decodes an encoded PutRequest into an empty one, which then shares its memory. It is false if there is anything in it that the library would refuse, or keep although it
// does not know it.
func DecodePut(data []byte, r *pb.PutRequest) bool {
	for len(data) > 0 {
		field, _, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		switch field {
		case 1, 2:
			number, value, rest, ok := nextBytes(data)
			if !ok {
				return false
			}
			if data = rest; number == 1 {
				r.Key = value
			} else {
				r.Value = value
			}
		case 3, 4, 5, 6:
			number, value, rest, ok := nextVarint(data)
			if !ok {
				return false
			}
			data = rest
			switch number {
			case 3:
				r.Lease = int64(value)
			case 4:
				r.PrevKv = protowire.DecodeBool(value)
			case 5:
				r.IgnoreValue = protowire.DecodeBool(value)
			case 6:
				r.IgnoreLease = protowire.DecodeBool(value)
			}
		default:
			return false
		}
	}
	return true
}

// DecodePoint returns the key of an encoded RangeRequest that has nothing else, in the memory of that. It is false for any other.
func DecodePoint(data []byte) (key []byte, ok bool) {
	for len(data) > 0 {
		number, value, rest, ok := nextBytes(data)
		if !ok || number != 1 {
			return nil, false
		}
		key, data = value, rest
	}
	return key, true
}

// nextBytes takes a field of bytes from the front.
func nextBytes(data []byte) (number protowire.Number, value, rest []byte, ok bool) {
	number, kind, n := protowire.ConsumeTag(data)
	if n < 0 || kind != protowire.BytesType {
		return 0, nil, nil, false
	}
	value, m := protowire.ConsumeBytes(data[n:])
	if m < 0 {
		return 0, nil, nil, false
	}
	return number, value[:len(value):len(value)], data[n+m:], true
}

// nextVarint takes a field of a varint from the front.
func nextVarint(data []byte) (number protowire.Number, value uint64, rest []byte, ok bool) {
	number, kind, n := protowire.ConsumeTag(data)
	if n < 0 || kind != protowire.VarintType {
		return 0, 0, nil, false
	}
	value, m := protowire.ConsumeVarint(data[n:])
	if m < 0 {
		return 0, 0, nil, false
	}
	return number, value, data[n+m:], true
}
