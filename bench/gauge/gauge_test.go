package gauge

import (
	"os"
	"path/filepath"
	"testing"
)

func TestThisProcessIsGauged(t *testing.T) {
	n := 0
	for cpu, err := CPU(os.Getpid()); cpu < 2*clockTick; cpu, err = CPU(os.Getpid()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if peak, err := PeakMemory(os.Getpid()); err != nil || peak < 1<<20 {
		t.Errorf("%d bytes, %v", peak, err)
	}
}

// Where the kernel does not let us count, that is said; where it does, the count is right.
func TestSyncsAreCounted(t *testing.T) {
	syncs, err := CountSyncs()
	if err != nil {
		t.Logf("not here: %v", err)
		return
	}
	defer syncs.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before, err := syncs.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for range 7 {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := syncs.Of(os.Getpid()); err != nil || after-before != 7 {
		t.Errorf("counted %d, %v", after-before, err)
	}
}
