package etcdapi

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A request has its time, whenever it begins, and at most a little more.
func TestPatienceEndsAfterTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests sync.WaitGroup
		p := &patience{timeout: 5 * time.Second}
		for _, pause := range []time.Duration{0, whileLasts - 1, 1, time.Second, whileLasts / 2} {
			<-time.After(pause) // virtual time
			began, until := time.Now(), p.until()
			requests.Go(func() {
				<-until
				if had := time.Since(began); had < p.timeout || had > p.timeout+whileLasts {
					t.Errorf("a request had %v instead of %v", had, p.timeout)
				}
			})
		}
		requests.Wait()
	})
}
