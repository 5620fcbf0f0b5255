// Counter is a replicated counter. Start it three times, with 1, 2 and 3, and type numbers to add, or ? to read, into any of them:
//
//	go run ./examples/counter 1 127.0.0.1:7001 127.0.0.1:7002 127.0.0.1:7003
package main

import (
	"bufio"
	"context"
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

func (c *counter) Snapshot() (balsa.SnapshotWriter, error) {
	return balsa.SnapshotBytes(strconv.AppendInt(nil, c.Load(), 10)), nil
}

func (c *counter) Restore(r io.Reader) error {
	var value int64
	_, err := fmt.Fscan(r, &value)
	c.Store(value)
	return err
}

func main() {
	number, _ := strconv.Atoi(append(os.Args, "")[1])
	if number < 1 || number > len(os.Args)-2 {
		log.Fatal("usage: counter NUMBER ADDRESS...  (which of the addresses is this member's, counted from 1)")
	}
	var members []balsa.Member
	for i, address := range os.Args[2:] {
		members = append(members, balsa.Member{ID: balsa.MemberID(i + 1), Address: address})
	}
	host, err := balsa.Open(balsa.Options{Dir: "counter-" + os.Args[1], Listen: os.Args[1+number]})
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()
	c := &counter{}
	group, err := host.Start(1, members, c)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("type a number to add, or ? to read; answers wait until %d of the %d members run", len(members)/2+1, len(members))
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
