package limit

import (
	"os"
	"syscall"
)

// SyncData is fdatasync.
func SyncData(file *os.File) error { return syscall.Fdatasync(int(file.Fd())) }

func allocate(file *os.File, size int64) error { return syscall.Fallocate(int(file.Fd()), 0, 0, size) }
