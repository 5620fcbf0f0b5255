package transport

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// complaintInterval is the least time between two log lines about the same subject.
	complaintInterval = 10 * time.Second
	// maxComplaints bounds the subjects that are remembered.
	maxComplaints = 256
)

// complaints remembers what was logged lately, so that whoever keeps knocking does not fill the log.
type complaints struct {
	mu       sync.Mutex
	subjects map[string]*complaint
}

type complaint struct {
	logged time.Time
	// unsaid counts what was not logged since.
	unsaid int
}

// admit tells whether the subject may be logged now, and how often it was not since the last time.
func (c *complaints) admit(subject string, now time.Time) (ok bool, unsaid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.subjects[subject]; e != nil {
		if now.Sub(e.logged) < complaintInterval {
			e.unsaid++
			return false, 0
		}
		unsaid = e.unsaid
		e.logged, e.unsaid = now, 0
		return true, unsaid
	}
	if len(c.subjects) >= maxComplaints && !c.makeRoom(now) {
		return false, 0
	}
	if c.subjects == nil {
		c.subjects = make(map[string]*complaint)
	}
	c.subjects[subject] = &complaint{logged: now}
	return true, 0
}

// makeRoom lets go of subjects that are old enough to be logged again anyway.
func (c *complaints) makeRoom(now time.Time) bool {
	for subject, e := range c.subjects {
		if now.Sub(e.logged) >= complaintInterval {
			delete(c.subjects, subject)
		}
	}
	return len(c.subjects) < maxComplaints
}

// complain logs a warning, unless there was one about the same subject just before.
func (t *Transport) complain(subject, message string, attributes ...any) {
	t.log(slog.LevelWarn, subject, message, attributes...)
}

func (t *Transport) log(level slog.Level, subject, message string, attributes ...any) {
	ok, unsaid := t.complaints.admit(subject, time.Now())
	if !ok {
		return
	}
	if unsaid > 0 {
		attributes = append(attributes, "repeated", unsaid)
	}
	t.opt.Logger.Log(t.ctx, level, message, attributes...)
}
