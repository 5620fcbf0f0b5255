package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Reads and writes that nobody's thread waits for, by Linux' asynchronous I/O. A goroutine that blocks in a system call keeps its processor (the P of Go's scheduler)
// until a monitor takes it away, which is about a fifth of the time that such a write takes; three replicas on two processors stood still for a third of the time.
// Here the goroutine waits for an eventfd, as for a socket.

// asyncFile reads or writes one piece of a file at a time. It lives on in idleAsync, since making one takes longer than a write.
type asyncFile struct {
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
	operationRead  = 0 // IOCB_CMD_PREAD
	operationWrite = 1 // IOCB_CMD_PWRITE
	flagEventFD    = 1 // IOCB_FLAG_RESFD
	writeDurably   = 2 // RWF_DSYNC
)

var idleAsync struct {
	mu   sync.Mutex
	list []*asyncFile // as many as were ever at work at once
	none bool         // this system has none
}

// takeAsync returns one, or nil where there are none.
func takeAsync() *asyncFile {
	idleAsync.mu.Lock()
	defer idleAsync.mu.Unlock()
	if n := len(idleAsync.list); n > 0 {
		w := idleAsync.list[n-1]
		idleAsync.list = idleAsync.list[:n-1]
		return w
	}
	if idleAsync.none {
		return nil
	}
	w, err := newAsync()
	idleAsync.none = err != nil
	return w
}

func (w *asyncFile) release() {
	idleAsync.mu.Lock()
	idleAsync.list = append(idleAsync.list, w)
	idleAsync.mu.Unlock()
}

func newAsync() (*asyncFile, error) {
	if one := uint16(1); *(*byte)(unsafe.Pointer(&one)) != 1 {
		return nil, errors.ErrUnsupported // big endian: some fields lie elsewhere
	}
	w := &asyncFile{}
	fd, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return nil, errno
	}
	w.event, w.eventFD = os.NewFile(fd, "eventfd"), uint32(fd)
	if err := w.event.SetReadDeadline(time.Time{}); err != nil { // Go cannot wait for it, and would tell only after the kernel has taken memory.
		w.event.Close()
		return nil, err
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&w.context)), 0); errno != 0 {
		w.event.Close()
		return nil, errno
	}
	return w, nil
}

// write writes b at off of a file that is open for direct writes, durably if so asked. False says that the system did not take the write, or did not make all of
// it: it has to be made in another way. The memory of b is the kernel's until it returns.
func (w *asyncFile) write(f *os.File, b []byte, off int64, durably bool) (taken bool, err error) {
	flags := uint32(0)
	if durably {
		flags = writeDurably
	}
	n, taken, err := w.run(operationWrite, flags, f, b, off)
	// One that ended early met something that it does not tell: a disk that is full, say. Who makes the write again is told.
	return taken && (err != nil || n == len(b)), err
}

// read reads up to len(b) bytes at off from a file that is open for direct reads, fewer only where the file ends; else as write.
func (w *asyncFile) read(f *os.File, b []byte, off int64) (n int, taken bool, err error) {
	return w.run(operationRead, 0, f, b, off)
}

func (w *asyncFile) run(operation uint16, flags uint32, f *os.File, b []byte, off int64) (done int, taken bool, err error) {
	w.control = controlBlock{
		operation: operation, rwFlags: flags, file: uint32(f.Fd()), offset: off,
		address: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), length: uint64(len(b)),
		flags: flagEventFD, eventFD: w.eventFD,
	}
	control := &w.control
	// With direct I/O the call only queues, mostly. Where the disk's queue or the file system's journal is full it waits, and the scheduler has to hear of that: nothing in
	// this process would run while the garbage collector waited for this goroutine.
	n, _, errno := syscall.Syscall(syscall.SYS_IO_SUBMIT, w.context, 1, uintptr(unsafe.Pointer(&control)))
	if errno != 0 || n != 1 {
		return 0, false, nil
	}
	// The kernel has b: nothing may end this wait but the end of the operation.
	if _, err := io.ReadFull(w.event, w.wakeup[:]); err != nil {
		panic("wal: waiting for the kernel, which has taken our memory: " + err.Error())
	}
	for { // It says so once, and what it has to tell stays until it is taken.
		n, _, errno = syscall.Syscall6(syscall.SYS_IO_GETEVENTS, w.context, 1, 1, uintptr(unsafe.Pointer(&w.result)), 0, 0)
		if errno != syscall.EINTR {
			break
		}
	}
	runtime.KeepAlive(b)
	if errno != 0 || n != 1 {
		return 0, true, fmt.Errorf("io_getevents: %w", errno)
	}
	done, err = outcome(w.result.result)
	return done, true, err
}

// outcome reads the result of an operation that has ended: how much it did, or its error.
func outcome(result int64) (done int, err error) {
	if result < 0 {
		return 0, syscall.Errno(-result)
	}
	return int(result), nil
}
