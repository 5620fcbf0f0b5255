package serve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

// A data directory has the file identity.json, the file LOCK, and two directories: raft for the log, kv for the database.
const (
	lockFile = "LOCK"
	raftDir  = "raft"
	kvDir    = "kv"
)

// directory is a locked data directory. The lock is the process's: it ends with it, however it ends.
type directory struct {
	path string
	lock *os.File
}

// openDirectory makes the directory if it is missing and locks it.
func openDirectory(path string) (*directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, cli.Advise(fmt.Errorf("making the data directory: %w", err), "Choose another one with --data-dir.")
	}
	name := filepath.Join(path, lockFile)
	lock, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, cli.Advise(fmt.Errorf("the data directory %s cannot be written: %w", path, err),
			"See to its owner and permissions, or choose another one with --data-dir.")
	}
	if err := lockExclusively(lock); err != nil {
		owner, _ := os.ReadFile(name)
		lock.Close()
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("locking the data directory %s: %w", path, err)
		}
		return nil, cli.Advise(fmt.Errorf("the data directory %s is in use by another process%s", path, describeOwner(owner)),
			"Two processes cannot be one member: stop the other one, or choose another --data-dir.")
	}
	d := &directory{path: path, lock: lock}
	if err := d.claim(); err != nil {
		return nil, errors.Join(cli.Advise(fmt.Errorf("the data directory %s cannot be written: %w", path, err),
			"See to the disk's free space, and the directory's owner and permissions."), d.close())
	}
	return d, nil
}

// claim writes our process id into the lock file, for whoever finds it locked.
func (d *directory) claim() error {
	if err := d.lock.Truncate(0); err != nil {
		return err
	}
	_, err := d.lock.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

func describeOwner(content []byte) string {
	if pid := strings.TrimSpace(string(content)); pid != "" && len(pid) < 20 {
		return ", process " + pid
	}
	return ""
}

func (d *directory) close() error { return d.lock.Close() }

func (d *directory) join(name string) string { return filepath.Join(d.path, name) }

// isEmpty says whether nothing but our own lock is in the directory; what is there instead is named in found.
func (d *directory) isEmpty() (empty bool, found string, err error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return false, "", fmt.Errorf("reading the data directory: %w", err)
	}
	for _, entry := range entries {
		switch entry.Name() {
		case lockFile, "lost+found", identityFile + ".new":
		default:
			return false, entry.Name(), nil
		}
	}
	return true, "", nil
}
