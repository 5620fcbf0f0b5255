package replica

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/balsa-raft/balsa/bench/limit"
)

// startBare runs what every replicated log has to do at least, and nothing else: a leader writes and syncs, sends to two followers meanwhile, who write, sync and
// acknowledge; what two of three have is done. There is no term, no index, no election and no recovery: it is the limit, not a system.
//
// Whatever comes in while a sync runs goes into the next one, on both sides. The logs are zero-filled before, and written around and around. All groups are one.
func startBare(o Options) (_ Cluster, err error) {
	c := &bareCluster{applied: o.Applied}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	for i := range Replicas {
		if err := os.MkdirAll(o.dir(i), 0o755); err != nil {
			return nil, err
		}
		log, err := newBareLog(filepath.Join(o.dir(i), "log"))
		if err != nil {
			return nil, err
		}
		c.logs = append(c.logs, log)
	}
	for i := range c.followers {
		if err := c.connect(i); err != nil {
			return nil, err
		}
	}
	c.wait.Go(func() { c.logs[0].run(func(count uint64, _ []byte) error { c.note(0, count); return nil }) })
	return c, nil
}

type bareCluster struct {
	applied   func(replica int, command []byte)
	logs      []*bareLog
	followers [Replicas - 1]net.Conn
	outs      [Replicas - 1]*bareLog // what is to be sent, gathered like what is to be written
	conns     []net.Conn
	wait      sync.WaitGroup

	mu      sync.Mutex
	waiting []*proposal
	synced  [Replicas]uint64 // how many commands each replica has on disk
	done    uint64
	err     error
}

// connect makes the connection to a follower, and starts both ends.
func (c *bareCluster) connect(i int) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	far, err := l.Accept()
	if err != nil {
		near.Close()
		return err
	}
	c.followers[i], c.outs[i] = near, newBareQueue()
	c.conns = append(c.conns, near, far)
	replica, log := i+1, c.logs[i+1]
	// The leader's end: it sends what has gathered, and learns what is on the follower's disk.
	c.wait.Go(func() {
		c.outs[i].run(func(_ uint64, frames []byte) error { _, err := near.Write(frames); return err })
	})
	c.wait.Go(func() {
		var count [8]byte
		for {
			if _, err := io.ReadFull(near, count[:]); err != nil {
				c.fail(err)
				return
			}
			c.note(replica, binary.LittleEndian.Uint64(count[:]))
		}
	})
	// The follower's end: it gathers what comes, and acknowledges what is on its disk.
	c.wait.Go(func() {
		r := bufio.NewReaderSize(far, 256<<10)
		for {
			frame, err := readFrame(r)
			if err != nil {
				return
			}
			log.add(frame)
		}
	})
	c.wait.Go(func() {
		log.run(func(count uint64, frames []byte) error {
			eachCommand(frames, func(command []byte) { c.applied(replica, command) })
			_, err := far.Write(binary.LittleEndian.AppendUint64(nil, count))
			return err
		})
	})
	return nil
}

// Propose implements Cluster.
func (c *bareCluster) Propose(_ context.Context, _ int, command []byte) error {
	p := &proposal{data: append(binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(command)), uint32(len(command))), command...), done: make(chan error, 1)}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return c.err
	}
	c.waiting = append(c.waiting, p)
	c.logs[0].add(p.data)
	for _, out := range c.outs {
		out.add(p.data)
	}
	c.mu.Unlock()
	return <-p.done
}

// note takes down how many commands a replica has on disk, and answers those that two of three have.
func (c *bareCluster) note(replica int, count uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.synced[replica] = count
	s := c.synced
	majority := max(min(s[0], s[1]), min(s[0], s[2]), min(s[1], s[2]))
	for ; c.done < majority; c.done++ {
		p := c.waiting[0]
		c.waiting = c.waiting[1:]
		c.applied(0, p.data[4:])
		p.done <- nil
	}
}

func (c *bareCluster) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	for _, p := range c.waiting {
		p.done <- err
	}
	c.waiting = nil
}

// Term implements Cluster: there is none.
func (c *bareCluster) Term(int) uint64 { return 0 }

// Close implements Cluster.
func (c *bareCluster) Close() error {
	for _, log := range c.logs {
		log.end()
	}
	for _, out := range c.outs {
		if out != nil {
			out.end()
		}
	}
	for _, conn := range c.conns {
		conn.Close()
	}
	c.wait.Wait()
	var errs []error
	for _, log := range c.logs {
		errs = append(errs, log.file.Close())
	}
	return errors.Join(errs...)
}

// bareLog gathers frames and handles all that have gathered at once: it writes and syncs them if it has a file.
type bareLog struct {
	file   *os.File
	offset int64

	mu    sync.Mutex
	some  sync.Cond
	bytes []byte
	count uint64
	ended bool
}

const bareLogSize = 64 << 20

func newBareQueue() *bareLog {
	l := &bareLog{}
	l.some.L = &l.mu
	return l
}

func newBareLog(path string) (*bareLog, error) {
	file, err := limit.ZeroFilled(path, bareLogSize)
	if err != nil {
		return nil, err
	}
	l := newBareQueue()
	l.file = file
	return l, nil
}

func (l *bareLog) add(frame []byte) {
	l.mu.Lock()
	l.bytes = append(l.bytes, frame...)
	l.count++
	l.mu.Unlock()
	l.some.Signal()
}

func (l *bareLog) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.some.Signal()
}

// run handles what gathers until it is ended. then is called with how many frames there have been, and the last of them.
func (l *bareLog) run(then func(count uint64, frames []byte) error) {
	var batch []byte
	for {
		l.mu.Lock()
		for len(l.bytes) == 0 && !l.ended {
			l.some.Wait()
		}
		if l.ended {
			l.mu.Unlock()
			return
		}
		batch, l.bytes = l.bytes, batch[:0]
		count := l.count
		l.mu.Unlock()
		if l.file != nil && l.write(batch) != nil {
			return
		}
		if then(count, batch) != nil {
			return
		}
	}
}

func (l *bareLog) write(batch []byte) error {
	if l.offset+int64(len(batch)) > bareLogSize {
		l.offset = 0
	}
	if _, err := l.file.WriteAt(batch, l.offset); err != nil {
		return err
	}
	l.offset += int64(len(batch))
	return limit.SyncData(l.file)
}

func readFrame(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(4)
	if err != nil {
		return nil, err
	}
	frame := make([]byte, 4+binary.LittleEndian.Uint32(head))
	_, err = io.ReadFull(r, frame)
	return frame, err
}

func eachCommand(frames []byte, do func(command []byte)) {
	for len(frames) > 0 {
		size := 4 + binary.LittleEndian.Uint32(frames)
		do(frames[4:size])
		frames = frames[size:]
	}
}
