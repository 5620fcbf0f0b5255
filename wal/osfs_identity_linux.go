package wal

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Identity implements Identifier: the file's inode, and when that was born, so that an inode that is used again is another one.
func (osFS) Identity(name string) (string, error) {
	var s unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &s); err != nil {
		return "", &os.PathError{Op: "statx", Path: name, Err: err}
	}
	if s.Mask&unix.STATX_BTIME == 0 {
		return "", nil // An inode alone may have been used before.
	}
	return fmt.Sprintf("inode %d of %d.%09d", s.Ino, s.Btime.Sec, s.Btime.Nsec), nil
}
