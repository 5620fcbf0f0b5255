// Package e2e tests Balsa as its users run it: real processes of the real program, real sockets and disks, clientv3 as the client, SIGKILL as the fault.
// It has no code of its own beyond the tests; what can be tested within one process is tested where it lives.
package e2e
