//go:build unix

package worlds

import (
	"syscall"
	"time"
)

// cpu is how long the processors have worked for this process: on a machine that does other things, too, it says more than the clock.
func cpu(time.Time) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
