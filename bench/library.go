package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/balsa-raft/balsa/bench/ledger"
	"github.com/balsa-raft/balsa/bench/load"
	"github.com/balsa-raft/balsa/bench/replica"
)

// catchUp is how long replicas may take to apply everything after the load.
const catchUp = time.Minute

// measureLibrary runs three replicas in this process and lets proposers propose, each in one group.
func measureLibrary(s Spec, dir string) (Result, error) {
	system, err := replica.Find(s.System)
	if err != nil {
		return Result{}, err
	}
	options := replica.Options{Dir: dir, Replicas: s.Members, Groups: s.Groups, Quiesce: s.Quiesce}
	if s.Members == 0 {
		options.Replicas = replica.Replicas
	} else if s.System != "balsa" {
		return Result{}, fmt.Errorf("%s is only measured with %d replicas", s.System, replica.Replicas)
	}
	book := ledger.New(options.Replicas, s.Workers)
	options.Applied = book.Applied
	cluster, err := system.Start(options)
	if err != nil {
		return Result{}, err
	}
	if err := settle(cluster, s.Groups); err != nil {
		return Result{}, errors.Join(err, cluster.Close())
	}
	type proposer struct {
		command []byte
		number  uint64
		_       [64]byte
	}
	proposers := make([]proposer, s.Workers)
	for i := range proposers {
		proposers[i].command = ledger.NewCommand(max(s.Size, ledger.MinCommand), uint32(i%s.Groups), uint32(i))
	}
	used := newUsage(os.Getpid())
	defer used.close()
	l := s.load()
	profile, err := startProfile(s.Profile)
	if err != nil {
		return Result{}, err
	}
	var before, after uint64
	l.Begin = func() { before = terms(cluster, s.Groups); profile.begin(); used.begin() }
	l.End = func() { used.end(); profile.end(); after = terms(cluster, s.Groups) }
	out := load.Run(l, func(worker int) error {
		p := &proposers[worker]
		p.number++
		ledger.SetNumber(p.command, p.number)
		err := cluster.Propose(context.Background(), worker%s.Groups, p.command)
		if err == nil {
			book.Acknowledged(worker, p.number)
		}
		return err
	})
	result := Result{Spec: s}
	result.fill(out)
	used.fill(&result)
	result.Elections = after - before
	if err := errors.Join(profile.err, awaitComplete(book), cluster.Close()); err != nil {
		return result, err
	}
	return result, book.Check()
}

// settle waits until every group takes proposals. What it proposes is too short to be anybody's.
func settle(cluster replica.Cluster, groups int) error {
	const atOnce = 64
	var wait sync.WaitGroup
	errs := make([]error, min(groups, atOnce))
	for i := range errs {
		wait.Go(func() {
			for group := i; group < groups && errs[i] == nil; group += len(errs) {
				errs[i] = settleGroup(cluster, group)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func settleGroup(cluster replica.Cluster, group int) error {
	deadline := time.Now().Add(catchUp)
	for err := cluster.Propose(context.Background(), group, []byte("settle")); err != nil; err = cluster.Propose(context.Background(), group, []byte("settle")) {
		if time.Now().After(deadline) {
			return fmt.Errorf("group %d takes no proposals: %w", group, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// terms is the sum of all groups' terms.
func terms(cluster replica.Cluster, groups int) uint64 {
	var sum uint64
	for group := range groups {
		sum += cluster.Term(group)
	}
	return sum
}

// awaitComplete waits until every replica has applied what was acknowledged: until they have as much as each other, and go on having that for a while, since what
// nobody waited for any more may still be on its way.
func awaitComplete(book *ledger.Ledger) error {
	const calm = 250 * time.Millisecond
	applied, _ := book.Level()
	since := time.Now()
	for deadline := since.Add(catchUp); ; time.Sleep(time.Millisecond) {
		now, level := book.Level()
		if now != applied || !level {
			applied, since = now, time.Now()
		} else if time.Since(since) > calm {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("a replica has not applied everything %v after the load; %w", catchUp, book.Check())
		}
	}
}
