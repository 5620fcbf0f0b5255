package examples_test

import (
	"os/exec"
	"syscall"
)

// noOrphan has the system end a process with this one, however that ends.
func noOrphan(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
