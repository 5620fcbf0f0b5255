package replica

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// mesh carries etcd's Raft messages between replicas over loopback TCP: a connection for each direction, frames with their length before them, and as many in one
// write as there are. It drops what does not fit into its queues, which Raft copes with.
type mesh struct {
	inbox    chan *raftpb.Message
	out      []chan *raftpb.Message // nil for this replica itself
	listener net.Listener

	wait  sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
	ended bool
}

const meshQueue = 8 << 10

func newMesh(self int, ports []net.Listener) *mesh {
	m := &mesh{inbox: make(chan *raftpb.Message, meshQueue), out: make([]chan *raftpb.Message, len(ports)), listener: ports[self]}
	m.wait.Go(m.accept)
	for i, port := range ports {
		if i != self {
			m.out[i] = make(chan *raftpb.Message, meshQueue)
			m.wait.Go(func() { m.write(port.Addr().String(), m.out[i]) })
		}
	}
	return m
}

func (m *mesh) send(messages []*raftpb.Message) {
	for _, message := range messages {
		select {
		case m.out[message.GetTo()-1] <- message:
		default:
		}
	}
}

// keep remembers a connection, to close it at the end.
func (m *mesh) keep(conn net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		conn.Close()
		return false
	}
	m.conns = append(m.conns, conn)
	return true
}

func (m *mesh) accept() {
	for {
		conn, err := m.listener.Accept()
		if err != nil || !m.keep(conn) {
			return
		}
		m.wait.Go(func() { m.read(conn) })
	}
}

func (m *mesh) read(conn net.Conn) {
	r := bufio.NewReaderSize(conn, 256<<10)
	var head [4]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		// The entries keep the memory.
		frame := make([]byte, binary.LittleEndian.Uint32(head[:]))
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		message := new(raftpb.Message)
		if err := proto.Unmarshal(frame, message); err != nil {
			return
		}
		select {
		case m.inbox <- message:
		default:
		}
	}
}

func (m *mesh) write(address string, queue chan *raftpb.Message) {
	conn, err := net.Dial("tcp", address)
	if err != nil || !m.keep(conn) {
		return
	}
	w := bufio.NewWriterSize(conn, 256<<10)
	var frame []byte
	for message := range queue {
		frame = append(frame[:0], 0, 0, 0, 0)
		if frame, err = (proto.MarshalOptions{}).MarshalAppend(frame, message); err != nil {
			return
		}
		binary.LittleEndian.PutUint32(frame, uint32(len(frame)-4))
		if _, err := w.Write(frame); err != nil {
			return
		}
		if len(queue) == 0 && w.Flush() != nil {
			return
		}
	}
}

// close is called when nobody sends any more.
func (m *mesh) close() {
	m.listener.Close()
	for _, queue := range m.out {
		if queue != nil {
			close(queue)
		}
	}
	m.mu.Lock()
	m.ended = true
	for _, conn := range m.conns {
		conn.Close()
	}
	m.mu.Unlock()
	m.wait.Wait()
}
