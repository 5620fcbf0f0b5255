// Package engine drives many Raft groups of one host.
package engine
