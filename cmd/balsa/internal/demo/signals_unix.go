//go:build unix

package demo

import "syscall"

// stopSignal has a process stand still, continueSignal go on.
const (
	stopSignal     = syscall.SIGSTOP
	continueSignal = syscall.SIGCONT
)
