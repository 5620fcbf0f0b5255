//go:build !unix

package worlds

import "time"

// cpu is, where the time of processors is not known, that of the clock.
func cpu(began time.Time) time.Duration { return time.Since(began) }
