// Package compat holds Balsa's server against etcd itself; it has tests alone. The etcdctl of every etcd that is maintained, built as it was
// released, runs its commands against real members. And a real etcd is the oracle: it is asked the same as Balsa, and the answers have to be equal.
//
// It is a module of its own: what etcd's server needs is no business of those who use Balsa.
package compat
