package gauge

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
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
	if m, err := ReadMemory(os.Getpid()); err != nil || m.Own < 1<<20 || m.Peak < m.Own {
		t.Errorf("%+v, %v", m, err)
	}
}

// The peak is of what came after it was reset.
func TestThePeakIsReset(t *testing.T) {
	const much = 64 << 20
	held := make([]byte, much)
	for i := range held {
		held[i] = 1
	}
	before, err := ReadMemory(os.Getpid())
	if err != nil || before.Own < much {
		t.Fatalf("%+v, %v", before, err)
	}
	runtime.KeepAlive(held)
	held = nil
	debug.FreeOSMemory()
	if err := ResetPeak(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if after, err := ReadMemory(os.Getpid()); err != nil || after.Peak > before.Peak-much/2 || after.Own > before.Own-much/2 {
		t.Errorf("%+v after %+v, %v", after, before, err)
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
