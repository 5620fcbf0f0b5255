//go:build unix && !aix && !solaris && !linux

package wal

// directFile is for systems with direct writes.
type directFile struct{}

func (*directFile) Write([]byte, int64) (bool, error) { return false, nil }
func (*directFile) Cached(int64)                      {}
func (*directFile) close() error                      { return nil }
