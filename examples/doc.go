// Package examples tests the programs in the folders below it, which show how a Go type is replicated.
package examples
