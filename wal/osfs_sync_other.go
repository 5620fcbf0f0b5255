//go:build unix && !aix && !solaris && !linux

package wal

// Sync is fsync, or what the system has for it; os.File knows (on Darwin: F_FULLFSYNC).
func (f *osFile) Sync() error { return f.File.Sync() }
