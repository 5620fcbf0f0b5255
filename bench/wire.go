package main

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// encode is a question's message, which ends with the value if it puts one.
func (c *client) encode(q question) []byte {
	encoded, err := proto.Marshal(c.request(q))
	if err != nil || q.writes() && !bytes.HasSuffix(encoded, c.value) {
		panic(fmt.Sprintf("the request %d does not end with its value: %v", q, err)) // both are ours
	}
	return encoded
}

// understand reads what matters of an answer, field by field as etcd's rpc.proto and kv.proto number them. It costs a fraction of what generated code does,
// since nothing is allocated.
func understand(q question, message []byte) (told, error) {
	var t told
	err := eachField(message, func(number protowire.Number, value uint64, text []byte) error {
		switch {
		case number == 1: // header
			return eachField(text, func(number protowire.Number, value uint64, _ []byte) error {
				if number == 3 {
					t.revision = int64(value)
				}
				return nil
			})
		case q == questionTxn && number == 2:
			t.succeeded = value != 0
		case q == questionTxn && number == 3:
			t.operations++
		case !q.writes() && number == 2: // kvs
			if t.pairs++; t.pairs > 1 {
				return nil
			}
			return eachField(text, func(number protowire.Number, _ uint64, text []byte) error {
				switch number {
				case 1:
					t.key = text
				case 5:
					t.value = text
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return told{}, fmt.Errorf("the answer is no message: %w", err)
	}
	return t, nil
}

// eachField goes through the fields of a message. A number is in value, anything that has a length in text.
func eachField(message []byte, visit func(number protowire.Number, value uint64, text []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		var value uint64
		var text []byte
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			text, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := visit(number, value, text); err != nil {
			return err
		}
	}
	return nil
}
