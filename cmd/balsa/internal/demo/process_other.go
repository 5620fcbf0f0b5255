//go:build !linux

package demo

import "syscall"

// processAttributes: that members end with us is up to their standard input alone here.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
