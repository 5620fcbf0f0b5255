package bench

import (
	"os"
	"time"
)

// diskDuration is how long the disk is measured.
const diskDuration = 3 * time.Second

// measureDisk writes 4 KiB and syncs, again and again, in a file that was zero-filled before: the way the log writes.
func measureDisk(name string, during time.Duration) (*record, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	defer os.Remove(name)
	defer f.Close()
	const size = 32 << 20
	zero := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(zero)) {
		if _, err := f.WriteAt(zero, off); err != nil {
			return nil, err
		}
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	r := &record{}
	block := make([]byte, 4096)
	start := time.Now()
	for off := int64(0); time.Since(start) < during; off = (off + 4096) % size {
		block[0]++ // a block that did not change might not be written
		began := time.Now()
		if _, err := f.WriteAt(block, off); err != nil {
			return nil, err
		}
		if err := syncData(f); err != nil {
			return nil, err
		}
		r.latencies = append(r.latencies, time.Since(began))
	}
	r.finish(time.Since(start))
	return r, nil
}
