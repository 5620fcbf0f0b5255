// Package limit measures what the machine can do, without any system: the disk, the loopback network.
package limit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// ZeroFilled makes a file of the given size whose blocks have all been written and synced once, so that writing over them changes no metadata.
func ZeroFilled(path string, size int64) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	if err := file.Sync(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Disk is how a file comes to the blocks that are written and synced.
type Disk struct {
	Name string
	open func(path string, size int64) (*os.File, error)
}

// Disks are the ways.
var Disks = []Disk{
	{"fresh", func(path string, _ int64) (*os.File, error) { return os.Create(path) }},
	{"preallocated", preallocated},
	{"zero-filled", ZeroFilled},
}

func preallocated(path string, size int64) (*os.File, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := allocate(file, size); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := file.Sync(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Rate is how often something could be done, and how long it took in microseconds.
type Rate struct {
	PerSecond float64
	Latency   *hdrhistogram.Histogram
}

const (
	diskFile = 64 << 20
	longest  = 60_000_000
)

// Syncs appends blocks of the given size to a file for a while and syncs each, as one thread.
func (d Disk) Syncs(dir string, block int, during time.Duration) (Rate, error) {
	path := filepath.Join(dir, "disk-"+d.Name)
	file, err := d.open(path, diskFile)
	if err != nil {
		return Rate{}, fmt.Errorf("measure the disk: %w", err)
	}
	defer os.Remove(path)
	defer file.Close()
	data := make([]byte, block)
	for i := range data {
		data[i] = byte(i)*31 + 7
	}
	rate := Rate{Latency: hdrhistogram.New(1, longest, 2)}
	start, at := time.Now(), int64(0)
	for time.Since(start) < during {
		began := time.Now()
		if at+int64(block) > diskFile {
			if d.Name == "fresh" {
				break // it would not be fresh any more
			}
			at = 0
		}
		if _, err := file.WriteAt(data, at); err != nil {
			return Rate{}, err
		}
		at += int64(block)
		if err := SyncData(file); err != nil {
			return Rate{}, err
		}
		_ = rate.Latency.RecordValue(min(max(time.Since(began).Microseconds(), 1), longest))
	}
	rate.PerSecond = float64(rate.Latency.TotalCount()) / time.Since(start).Seconds()
	return rate, nil
}

// Sequential writes so many bytes from a file's beginning to its end, a block at a time, each synced, and returns MB/s.
func (d Disk) Sequential(dir string, bytes int64, block int) (float64, error) {
	path := filepath.Join(dir, "disk-"+d.Name)
	file, err := d.open(path, bytes)
	if err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	defer os.Remove(path)
	defer file.Close()
	data := make([]byte, block)
	for i := range data {
		data[i] = byte(i)*31 + 7
	}
	start := time.Now()
	for at := int64(0); at < bytes; at += int64(block) {
		if _, err := file.WriteAt(data, at); err != nil {
			return 0, err
		}
		if err := SyncData(file); err != nil {
			return 0, err
		}
	}
	return float64(bytes) / 1e6 / time.Since(start).Seconds(), nil
}
