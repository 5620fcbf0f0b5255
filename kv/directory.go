package kv

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A store's directory has one file that names the database in use, and that database in a directory of its own:
//
//	STORE       balsa kv 1
//	            db-000001
//	            crc32c 5e0c6f50
//	db-000001/  a Pebble database
//
// The last line is the sum of those before it; files of earlier versions have none. A restore builds the next database beside the one in use, and then replaces the file in one step.
const (
	pointerName     = "STORE"
	pointerTempName = "STORE.tmp"
	formatLine      = "balsa kv 1"
	firstDatabase   = "db-000001"
	databasePattern = "db-%06d"
)

// openDirectory returns the name of the database in use. A new directory has none: the one to make is named, and named in the file by the caller once it
// exists. What an interrupted restore has left is for the caller to remove, once the database in use is open: before that the file may be wrong.
func openDirectory(files vfs.FS, dir string) (name string, exists bool, err error) {
	if err := files.MkdirAll(dir, 0o755); err != nil {
		return "", false, storageError("create "+dir, err)
	}
	name, err = readPointer(files, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return firstDatabase, false, refuseForeign(files, dir)
	}
	if err != nil {
		return "", false, err
	}
	return name, true, nil
}

// readPointer returns the name of the database in use.
func readPointer(files vfs.FS, dir string) (string, error) {
	path := files.PathJoin(dir, pointerName)
	f, err := files.Open(path)
	if err != nil {
		return "", storageError("open "+path, err)
	}
	content, err := io.ReadAll(io.LimitReader(f, 4096))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", storageError("read "+path, err)
	}
	format, rest, _ := strings.Cut(string(content), "\n")
	if format != formatLine {
		return "", fmt.Errorf("kv: %s is of the format %q, but this program knows %q only: use the version of Balsa that wrote it, or a newer one", path, format, formatLine)
	}
	name, sum, ok := strings.Cut(rest, "\n")
	if _, err := databaseNumber(name); err != nil || !ok {
		return "", fmt.Errorf("%w: %s does not name a database: %q", ErrCorrupt, path, rest)
	}
	if sum != "" && sum != sumLine(name) {
		return "", fmt.Errorf("%w: %s names the database %s, but that does not match its checksum: restore this member from the others or from a backup", ErrCorrupt, path, name)
	}
	return name, nil
}

// pointer is the content of the file up to its sum, and sumLine the line that ends it: a digit that a bad disk changed would name another database.
func pointer(name string) string { return formatLine + "\n" + name + "\n" }

func sumLine(name string) string {
	return fmt.Sprintf("crc32c %08x\n", crc32.Checksum([]byte(pointer(name)), castagnoli))
}

// writePointer makes name the database in use, durably.
func writePointer(files vfs.FS, dir, name string) error {
	temp, path := files.PathJoin(dir, pointerTempName), files.PathJoin(dir, pointerName)
	f, err := files.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return storageError("create "+temp, err)
	}
	_, err = f.Write([]byte(pointer(name) + sumLine(name)))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return storageError("write "+temp, err)
	}
	if err := files.Rename(temp, path); err != nil {
		return storageError("rename "+temp, err)
	}
	return syncDirectory(files, dir)
}

func syncDirectory(files vfs.FS, dir string) error {
	d, err := files.OpenDir(dir)
	if err != nil {
		return storageError("open "+dir, err)
	}
	return storageError("sync "+dir, errors.Join(d.Sync(), d.Close()))
}

// refuseForeign refuses a directory without a pointer that has something else: it is not a store, or its pointer was lost.
func refuseForeign(files vfs.FS, dir string) error {
	names, err := files.List(dir)
	if err != nil {
		return storageError("list "+dir, err)
	}
	for _, name := range names {
		// The first database is there if the store was being made when its host crashed.
		if name != pointerTempName && name != firstDatabase {
			return fmt.Errorf("%w: %s has files (%s) but no file %s: it is no store, or one that is damaged", ErrCorrupt, dir, name, pointerName)
		}
	}
	return nil
}

// removeOthers removes all databases but the one in use.
func removeOthers(files vfs.FS, dir, inUse string) error {
	names, err := files.List(dir)
	if err != nil {
		return storageError("list "+dir, err)
	}
	for _, name := range names {
		if _, err := databaseNumber(name); err != nil || name == inUse {
			continue
		}
		if err := files.RemoveAll(files.PathJoin(dir, name)); err != nil {
			return storageError("remove "+files.PathJoin(dir, name), err)
		}
	}
	return nil
}

func databaseNumber(name string) (int, error) {
	var n int
	if _, err := fmt.Sscanf(name, databasePattern, &n); err != nil {
		return 0, err
	}
	if name != fmt.Sprintf(databasePattern, n) {
		return 0, fmt.Errorf("kv: %q names no database", name)
	}
	return n, nil
}
