package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// Writes that nobody's thread waits for, by Linux' asynchronous I/O. A goroutine that blocks in a system call keeps its processor (the P of Go's scheduler) until a
// monitor takes it away, which is about a fifth of the time that such a write takes; three replicas on two processors stood still for a third of the time.
// Here the goroutine waits for an eventfd, as for a socket.

// asyncWriter makes one such write at a time. It lives on in idleWriters, since making one takes longer than a write.
type asyncWriter struct {
	context uintptr
	event   *os.File
	eventFD uint32
	control controlBlock
	result  completion
	wakeup  [8]byte
}

// controlBlock is struct iocb, and completion struct io_event, of linux/aio_abi.h; little endian.
type controlBlock struct {
	_         uint64 // data
	_         uint32 // key
	rwFlags   uint32
	operation uint16
	_         int16 // priority
	file      uint32
	address   uint64
	length    uint64
	offset    int64
	_         uint64
	flags     uint32
	eventFD   uint32
}

type completion struct {
	_, _   uint64 // data, control block
	result int64
	_      int64
}

const (
	operationWrite = 1 // IOCB_CMD_PWRITE
	flagEventFD    = 1 // IOCB_FLAG_RESFD
	writeDurably   = 2 // RWF_DSYNC
)

var idleWriters struct {
	mu   sync.Mutex
	list []*asyncWriter // as many as writes were ever made at once
	none bool           // this system has none
}

// takeAsyncWriter returns one, or nil where there are none.
func takeAsyncWriter() *asyncWriter {
	idleWriters.mu.Lock()
	defer idleWriters.mu.Unlock()
	if n := len(idleWriters.list); n > 0 {
		w := idleWriters.list[n-1]
		idleWriters.list = idleWriters.list[:n-1]
		return w
	}
	if idleWriters.none {
		return nil
	}
	w, err := newAsyncWriter()
	idleWriters.none = err != nil
	return w
}

func (w *asyncWriter) release() {
	idleWriters.mu.Lock()
	idleWriters.list = append(idleWriters.list, w)
	idleWriters.mu.Unlock()
}

func newAsyncWriter() (*asyncWriter, error) {
	if one := uint16(1); *(*byte)(unsafe.Pointer(&one)) != 1 {
		return nil, errors.ErrUnsupported // big endian: some fields lie elsewhere
	}
	w := &asyncWriter{}
	fd, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return nil, errno
	}
	w.event, w.eventFD = os.NewFile(fd, "eventfd"), uint32(fd)
	if _, _, errno := syscall.Syscall(syscall.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&w.context)), 0); errno != 0 {
		w.event.Close()
		return nil, errno
	}
	return w, nil
}

// write writes b at off of a file that is open for direct writes, durably. False says that the system did not take the write, and nothing has
// happened. The memory of b is the kernel's until it returns.
func (w *asyncWriter) write(f *os.File, b []byte, off int64) (taken bool, err error) {
	w.control = controlBlock{
		operation: operationWrite, rwFlags: writeDurably, file: uint32(f.Fd()), offset: off,
		address: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), length: uint64(len(b)),
		flags: flagEventFD, eventFD: w.eventFD,
	}
	control := &w.control
	// RawSyscall: with direct writes the call only queues, so that the scheduler need not hear of it.
	n, _, errno := syscall.RawSyscall(syscall.SYS_IO_SUBMIT, w.context, 1, uintptr(unsafe.Pointer(&control)))
	if errno != 0 || n != 1 {
		return false, nil
	}
	for { // The kernel has b: nothing may end this wait but the end of the write.
		if _, err := io.ReadFull(w.event, w.wakeup[:]); err != nil {
			panic("wal: waiting for a write that the kernel has taken: " + err.Error())
		}
		n, _, errno = syscall.Syscall6(syscall.SYS_IO_GETEVENTS, w.context, 1, 1, uintptr(unsafe.Pointer(&w.result)), 0, 0)
		if errno != syscall.EINTR {
			break
		}
	}
	switch r := w.result.result; {
	case errno != 0 || n != 1:
		return true, fmt.Errorf("io_getevents: %w", errno)
	case r < 0:
		return true, syscall.Errno(-r)
	case r != int64(len(b)):
		return true, io.ErrShortWrite
	}
	return true, nil
}
