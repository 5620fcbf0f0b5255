//go:build unix

package transport

import (
	"net"
	"syscall"

	"github.com/balsa-raft/balsa/transport/wire"
)

// newDirect returns what writes to the connection without waiting, or nil where nothing can, as inside TLS.
func newDirect(conn net.Conn, limit int) *direct {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	d := &direct{batch: wire.Batch{Limit: limit}}
	once := func(fd uintptr) bool {
		d.taken, _ = syscall.Write(int(fd), d.bytes) // The descriptor does not block. An error is met again by the writer.
		return true
	}
	d.attempt = func() { _ = raw.Write(once) }
	return d
}
