//go:build !linux

package limit

import "os"

// SyncData is fsync where there is no fdatasync.
func SyncData(file *os.File) error { return file.Sync() }

func allocate(file *os.File, size int64) error { return file.Truncate(size) }
