// Counter is a replicated counter: start it three times, with 1, 2 and 3, and type numbers to add, or ? to read, into any of them.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/balsa-raft/balsa"
)

// counter is the state machine: these three methods are what a replicated type takes.
type counter struct{ atomic.Int64 }

func (c *counter) Apply(entries []balsa.Entry) []balsa.Result {
	results := make([]balsa.Result, len(entries))
	for i, e := range entries {
		n, _ := strconv.ParseInt(string(e.Data), 10, 64)
		results[i].Data = strconv.AppendInt(nil, c.Add(n), 10)
	}
	return results
}

func (c *counter) Snapshot() (balsa.SnapshotWriter, error) { return snapshot(c.Load()), nil }

func (c *counter) Restore(r io.Reader) error {
	var value int64
	defer func() { c.Store(value) }()
	return binary.Read(r, binary.LittleEndian, &value)
}

type snapshot int64

func (s snapshot) WriteTo(w io.Writer) (int64, error) {
	return 8, binary.Write(w, binary.LittleEndian, s)
}
func (s snapshot) Close() error { return nil }

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: counter 1|2|3")
	}
	var members []balsa.Member
	for id := range balsa.MemberID(3) {
		members = append(members, balsa.Member{ID: id + 1, Address: fmt.Sprintf("127.0.0.1:700%d", id+1)})
	}
	host, err := balsa.Open(balsa.Options{Dir: "counter-" + os.Args[1], Listen: "127.0.0.1:700" + os.Args[1]})
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()
	c := &counter{}
	group, err := host.Start(1, members, c)
	if err != nil {
		log.Fatal(err)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "?" {
			err = group.ReadBarrier(context.Background()) // from here on the local value is current
			fmt.Println(c.Load(), err)
			continue
		}
		result, err := group.Propose(context.Background(), []byte(in.Text()))
		fmt.Println(string(result.Data), err)
	}
}
