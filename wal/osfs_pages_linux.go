package wal

import "golang.org/x/sys/unix"

// Memory implements Bypass. A disk reads into few large pages up to twice as fast as into many small ones, which it has to be told one by one. They are not asked for
// in the collector's memory, since the system would fill it up with such pages for good.
func (f *osFile) Memory(n int) (b []byte, free func()) {
	const large = 2 << 20
	if n >= large {
		if b, err := unix.Mmap(-1, 0, (n+large-1)&^(large-1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err == nil {
			_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // else it has small ones
			return b[:n], func() { _ = unix.Munmap(b) }
		}
	}
	return make([]byte, n), func() {}
}
