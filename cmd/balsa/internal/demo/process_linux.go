package demo

import "syscall"

// processAttributes let a member outlive a ctrl-C in our terminal, which is for us to pass on, but not ourselves.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
