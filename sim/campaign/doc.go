// Package campaign runs many worlds of package sim, on several goroutines at once, and adds up what came of them: how much was simulated, what every fault
// did, and which properties failed. A failure is shrunk to the smallest run that still fails.
//
// A world knows of no other, so the order in which they run does not matter: a campaign over the same seeds finds the same failures, however many
// goroutines it has. This is the place of the goroutines and the clock; sim itself has neither. It writes no files and knows no terminal.
package campaign
