//go:build unix && !aix && !solaris

package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// OSFS returns the file system of the operating system.
func OSFS() FS { return osFS{} }

type osFS struct{}

func (osFS) MkdirAll(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := (osFS{}).MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return osFS{}.SyncDir(parent)
}

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (osFS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, noSpace(err)
	}
	return &osFile{File: f}, nil
}

func (osFS) Open(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

func (osFS) Remove(name string) error     { return os.Remove(name) }
func (osFS) Rename(from, to string) error { return noSpace(os.Rename(from, to)) }

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Lock holds a flock on the file and writes the process id into it, for the message that the next one gets.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		pid := make([]byte, 20)
		n, _ := f.ReadAt(pid, 0)
		if who := strings.TrimSpace(string(pid[:n])); who != "" {
			return nil, fmt.Errorf("%w: process %s holds %s", ErrLocked, who, name)
		}
		return nil, fmt.Errorf("%w: %s", ErrLocked, name)
	}
	// Who holds the lock is for the message only, so a full disk does not matter here.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

func (osFS) Free(dir string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}

type osFile struct {
	*os.File
	direct atomic.Pointer[directFile] // nil before Stream, and where there are no direct writes
}

func (f *osFile) WriteAt(b []byte, off int64) (int, error) {
	d := f.direct.Load()
	if d != nil {
		switch done, err := d.Write(b, off); {
		case err != nil:
			return 0, noSpace(err)
		case done:
			return len(b), nil
		}
	}
	n, err := f.File.WriteAt(b, off)
	if d != nil && err == nil {
		d.Cached(off + int64(n))
	}
	return n, noSpace(err)
}

// Truncate implements File. What is written next goes through the page cache, until Stream is called again.
func (f *osFile) Truncate(size int64) error {
	if err := f.direct.Swap(nil).close(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// Close implements File.
func (f *osFile) Close() error {
	return errors.Join(f.direct.Swap(nil).close(), f.File.Close())
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// noSpace makes the ways in which a system says that there is no room wrap ErrNoSpace.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
