// Package gauge reads what processes use: CPU time, memory, and calls of fsync.
package gauge

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of the times in /proc: USER_HZ, which is 100 on every architecture that Linux has Go for.
const clockTick = 10 * time.Millisecond

// CPU returns the processor time that a process has used so far, in user and kernel.
func CPU(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The command's name is in parentheses, and may hold anything; what follows is numbers, of which the 12th and 13th are meant.
	_, rest, found := strings.Cut(string(data[strings.LastIndexByte(string(data), ')'):]), " ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is not understood: %q", pid, data)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	kernel, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+kernel) * clockTick, err
}

// Memory is what a process has resident, in bytes.
type Memory struct {
	// Peak is the most since it was last reset, or since the process began. It counts pages of files that are mapped, which the system can take back.
	Peak int64
	// Own is what is not of files now.
	Own int64
}

// ReadMemory returns what a process has resident.
func ReadMemory(pid int) (Memory, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	for name, into := range map[string]*int64{"VmHWM:": &m.Peak, "RssAnon:": &m.Own} {
		_, rest, found := strings.Cut(string(data), "\n"+name)
		line, _, _ := strings.Cut(rest, "\n")
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(line), " kB"), 10, 64)
		if !found || err != nil {
			return Memory{}, fmt.Errorf("/proc/%d/status has no %s", pid, name)
		}
		*into = kilobytes << 10
	}
	return m, nil
}

// ResetPeak makes the peak of a process what it has now.
func ResetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}
