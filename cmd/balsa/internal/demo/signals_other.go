//go:build !unix

package demo

import "syscall"

// stopSignal and continueSignal are none: this operating system has no such thing.
const (
	stopSignal     = syscall.Signal(0)
	continueSignal = syscall.Signal(0)
)
