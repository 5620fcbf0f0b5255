package wal

import "io"

// FS is all that the log asks of a file system. Names are paths with forward slashes. OSFS is the operating system's, MemFS a simulated
// one. An implementation is safe for concurrent use.
type FS interface {
	// MkdirAll makes the directory and its parents; that it exists already is no error.
	MkdirAll(dir string) error
	// List returns the names of the files in dir, sorted, without dir; fs.ErrNotExist if there is no such directory.
	List(dir string) ([]string, error)
	// Create makes a file for reading and writing; fs.ErrExist if there is one of that name.
	Create(name string) (File, error)
	// Open opens a file for reading and writing; fs.ErrNotExist if there is none of that name.
	Open(name string) (File, error)
	Remove(name string) error
	// Rename is atomic; a file of the new name is replaced.
	Rename(from, to string) error
	// SyncDir makes the names in dir durable: created, renamed, removed.
	SyncDir(dir string) error
	// Lock takes an exclusive lock that ends with the process or with Close. ErrLocked says who holds it, if that is known.
	Lock(name string) (io.Closer, error)
	// Free returns how many bytes we may still allocate in the file system of dir.
	Free(dir string) (uint64, error)
}

// File is an open file of an FS. Reads and writes at different places may run concurrently. A write for which there is no room wraps
// ErrNoSpace.
type File interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Truncate(size int64) error
	// Sync makes the content and the size durable (fdatasync).
	Sync() error
	Close() error
}

// Streamer is a File that can be written faster if it is written from front to back.
type Streamer interface {
	// Stream says that the file is written so from now on, and that its content from from on does not matter: a write may make zeroes of some of
	// what comes after its end. A write before the end of the last one leaves everything else as it is.
	Stream(from int64)
	// StreamDone says that the file is not written to until Stream is called again: what streaming took is given up.
	StreamDone() error
	// SyncSoon says that Sync follows the next write: they may be done in one.
	SyncSoon()
	// Reserve makes the file at least so long if that costs little, with room on the disk, so that writes up to there need not. What is there then does
	// not matter; who does not fill it cuts it off with Truncate.
	Reserve(size int64)
}

// stream tells the file that what it has from from on does not matter.
func stream(f File, from int64) {
	if s, ok := f.(Streamer); ok {
		s.Stream(from)
	}
}

// streamDone tells the file that it has been written.
func streamDone(f File) error {
	if s, ok := f.(Streamer); ok {
		return s.StreamDone()
	}
	return nil
}
