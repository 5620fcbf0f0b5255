package transport

import (
	"fmt"
	"testing"
	"time"
)

func TestComplaintsAreRationed(t *testing.T) {
	var c complaints
	now := time.Now()
	say := func(subject string, at time.Duration, wantOK bool, wantUnsaid int) {
		t.Helper()
		if ok, unsaid := c.admit(subject, now.Add(at)); ok != wantOK || unsaid != wantUnsaid {
			t.Errorf("%s after %v: %v, %d unsaid", subject, at, ok, unsaid)
		}
	}
	say("a", 0, true, 0)
	say("a", 1, false, 0)
	say("a", 2, false, 0)
	say("b", 2, true, 0)
	say("a", complaintInterval, true, 2)
	say("a", complaintInterval+1, false, 0)
	say("a", 3*complaintInterval, true, 1)
}

func TestComplaintsAreBounded(t *testing.T) {
	var c complaints
	now := time.Now()
	for n := range 10 * maxComplaints {
		if ok, _ := c.admit(fmt.Sprint(n), now); ok != (n < maxComplaints) {
			t.Fatalf("subject %d: %v", n, ok)
		}
	}
	if ok, _ := c.admit("later", now.Add(complaintInterval)); !ok || len(c.subjects) != 1 {
		t.Errorf("%v, %d subjects remembered", ok, len(c.subjects))
	}
}
