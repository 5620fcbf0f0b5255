package compat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestEtcdctl runs etcdctl's commands, of every version, against members of Balsa. The scripts are named after what they claim.
func TestEtcdctl(t *testing.T) {
	for _, version := range etcdctlVersions {
		t.Run(version, func(t *testing.T) {
			dir := buildEtcdctl(t, version)
			testscript.Run(t, testscript.Params{
				Dir: "testdata/etcdctl",
				Setup: func(env *testscript.Env) error {
					env.Setenv("PATH", dir+string(os.PathListSeparator)+env.Getenv("PATH"))
					env.Values[clusterKey{}] = new(cluster)
					env.Defer(func() { env.Values[clusterKey{}].(*cluster).stop() })
					return nil
				},
				// [3.6] is true for this version and those after it.
				Condition: func(name string) (bool, error) {
					if !slices.Contains(etcdctlVersions, name) {
						return false, fmt.Errorf("there is no version %q", name)
					}
					return name <= version, nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"etcdctl": etcdctlCommand, "cluster": foundCommand, "members": membersCommand, "leader": leaderCommand, "prepare": prepareCommand,
					"join": joinCommand, "crash": crashCommand, "exits": exitsCommand, "eventually": eventuallyCommand, "size": sizeCommand, "agree": agreeCommand,
				},
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
			})
		})
	}
}

type clusterKey struct{}

func clusterOf(ts *testscript.TestScript) *cluster { return ts.Value(clusterKey{}).(*cluster) }

// etcdctlCommand is `etcdctl ARG...`: it asks all members that the script began with, and as long as any wait lasts here, unless endpoints or a time are given.
func etcdctlCommand(ts *testscript.TestScript, neg bool, args []string) {
	switch err := etcdctl(ts, args); {
	case err != nil && !neg:
		ts.Fatalf("etcdctl failed: %v", err)
	case err == nil && neg:
		ts.Fatalf("etcdctl succeeded")
	}
}

func etcdctl(ts *testscript.TestScript, args []string) error {
	for _, byDefault := range []string{"--endpoints=" + ts.Getenv("ALL"), "--command-timeout=" + limit.String()} {
		flag, _, _ := strings.Cut(byDefault, "=")
		if !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, flag+"=") }) {
			args = append([]string{byDefault}, args...)
		}
	}
	return ts.Exec("etcdctl", args...)
}

// foundCommand is `cluster [N]`: it founds a cluster of N members, three by default, and has etcdctl ask all of them.
func foundCommand(ts *testscript.TestScript, neg bool, args []string) {
	n := 3
	if len(args) == 1 {
		var err error
		n, err = strconv.Atoi(args[0])
		ts.Check(err)
	}
	c, err := startCluster(ts.MkAbs("members"), n, steady...)
	if c != nil {
		*clusterOf(ts) = *c
	}
	ts.Check(err)
	ts.Setenv("ALL", strings.Join(c.endpoints(), ","))
	for _, m := range c.members {
		setAddresses(ts, m)
	}
	membersCommand(ts, false, nil)
}

// setAddresses sets $CLIENT_m1 and $PEER_m1.
func setAddresses(ts *testscript.TestScript, m *member) {
	ts.Setenv("CLIENT_"+m.name, "http://"+m.client)
	ts.Setenv("PEER_"+m.name, "http://"+m.peer)
}

// membersCommand is `members`: it sets $ID_m1 and so on to the members' IDs.
func membersCommand(ts *testscript.TestScript, neg bool, args []string) {
	c := clusterOf(ts)
	listed, err := c.list(context.Background())
	ts.Check(err)
	for _, each := range listed {
		for _, m := range c.members {
			if each.PeerURLs[0] == "http://"+m.peer {
				ts.Setenv("ID_"+m.name, fmt.Sprintf("%x", each.ID))
			}
		}
	}
}

// leaderCommand is `leader`: it sets $LEADER to the client URL of the leader and $FOLLOWER to that of another member, and $LEADER_ID and $FOLLOWER_ID.
func leaderCommand(ts *testscript.TestScript, neg bool, args []string) {
	c := clusterOf(ts)
	leader, err := c.leader(context.Background())
	ts.Check(err)
	for _, m := range c.members {
		if m == leader {
			ts.Setenv("LEADER", "http://"+m.client)
			ts.Setenv("LEADER_ID", ts.Getenv("ID_"+m.name))
		} else {
			ts.Setenv("FOLLOWER", "http://"+m.client)
			ts.Setenv("FOLLOWER_ID", ts.Getenv("ID_"+m.name))
		}
	}
}

// prepareCommand is `prepare NAME`: it finds addresses for the next member, which the script then adds.
func prepareCommand(ts *testscript.TestScript, neg bool, args []string) {
	m, err := clusterOf(ts).prepare()
	ts.Check(err)
	if len(args) != 1 || args[0] != m.name {
		ts.Fatalf("the next member is %s", m.name)
	}
	setAddresses(ts, m)
}

// joinCommand is `join NAME`: it starts a member that was added.
func joinCommand(ts *testscript.TestScript, neg bool, args []string) {
	c := clusterOf(ts)
	m := c.find(args[0])
	ts.Check(c.startAll([]*member{m}, "existing"))
}

// crashCommand is `crash NAME`: the process is killed.
func crashCommand(ts *testscript.TestScript, neg bool, args []string) {
	clusterOf(ts).find(args[0]).kill()
}

// exitsCommand is `exits CODE etcdctl ARG...`: it fails unless etcdctl ends with the exit code.
func exitsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || args[1] != "etcdctl" {
		ts.Fatalf("usage: exits CODE etcdctl ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = etcdctl(ts, args[2:])
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// eventuallyCommand is `eventually etcdctl ARG...`: it runs etcdctl until it succeeds.
func eventuallyCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || args[0] != "etcdctl" {
		ts.Fatalf("usage: eventually etcdctl ARG...")
	}
	for deadline := time.Now().Add(limit); ; {
		err := etcdctl(ts, args[1:])
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("it never succeeds: %v", err)
		}
	}
}

// sizeCommand is `size FILE DIVISOR REST`: it fails unless the size of the file leaves that rest.
func sizeCommand(ts *testscript.TestScript, neg bool, args []string) {
	divisor, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	rest, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	info, err := os.Stat(filepath.Clean(ts.MkAbs(args[0])))
	ts.Check(err)
	if info.Size() < divisor || info.Size()%divisor != rest {
		ts.Fatalf("%s has %d bytes", args[0], info.Size())
	}
}

// agreeCommand is `agree N PATTERN`: the pattern has to match N times in the last output, and its group has to be the same each time.
func agreeCommand(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	matches := regexp.MustCompile(args[1]).FindAllStringSubmatch(ts.ReadFile("stdout"), -1)
	if len(matches) != n {
		ts.Fatalf("%d matches, want %d", len(matches), n)
	}
	for _, match := range matches {
		if match[1] != matches[0][1] {
			ts.Fatalf("%s is not %s", match[1], matches[0][1])
		}
	}
}
