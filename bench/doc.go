// Command bench measures Balsa beside what a user would take instead: on the same machine, in the same run, with the same load, and beside what the machine can do
// at most.
//
// Every measurement is a process of its own, in an empty directory. Rounds go through all systems in turn, beginning with another one each time, so that a change of the
// machine's mood meets all of them; medians and spreads are over rounds. After each measurement every replica is asked for every write that was acknowledged: a
// system that lost one has failed, and its figures do not count.
//
// Servers are asked by package lean, since what the load takes of the machine the servers do not have.
//
//	bench run       measure, and write tables, CSV and plots
//	bench feats     measure what else is promised: restarts, many groups, steadiness
//	bench growth    measure how cost grows with members, sizes, groups, the database and connections
//	bench list      what there is to measure
package main
