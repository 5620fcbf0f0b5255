package balsa_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/balsa-raft/balsa"
	"github.com/balsa-raft/balsa/internal/freeport"
)

// journal is a machine that remembers every command it was given, so that a command applied twice shows.
type journal struct {
	mu    sync.Mutex
	lines []string
}

// Apply implements balsa.StateMachine.
func (j *journal) Apply(entries []balsa.Entry) []balsa.Result {
	j.mu.Lock()
	defer j.mu.Unlock()
	results := make([]balsa.Result, len(entries))
	for i, e := range entries {
		j.lines = append(j.lines, string(e.Data))
		results[i].Data = fmt.Appendf(nil, "%d:%s", len(j.lines), e.Data)
	}
	return results
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n")
}

func (j *journal) Snapshot() (balsa.SnapshotWriter, error) {
	return balsa.SnapshotBytes([]byte(j.text())), nil
}

func (j *journal) Restore(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = nil
	if len(data) > 0 {
		j.lines = strings.Split(string(data), "\n")
	}
	return nil
}

// trio is three hosts in this process, connected by real sockets.
type trio struct {
	t        testing.TB
	dirs     [3]string
	members  []balsa.Member
	hosts    [3]*balsa.Host
	groups   [3]*balsa.Group
	journals [3]*journal
	wrap     func(balsa.StateMachine) balsa.StateMachine
}

func newTrio(t testing.TB, wrap func(balsa.StateMachine) balsa.StateMachine) *trio {
	t.Helper()
	c := &trio{t: t, wrap: wrap}
	addresses, err := freeport.Addresses(len(c.hosts))
	if err != nil {
		t.Fatal(err)
	}
	var listeners [3]net.Listener
	for i := range c.hosts {
		l, err := net.Listen("tcp", addresses[i]) // it has to be free again when the host is started anew
		if err != nil {
			t.Fatal(err)
		}
		listeners[i] = l
		c.dirs[i] = filepath.Join(t.TempDir(), "data")
		c.members = append(c.members, balsa.Member{ID: balsa.MemberID(i + 1), Address: l.Addr().String()})
	}
	for i := range c.hosts {
		c.start(i, listeners[i])
	}
	t.Cleanup(func() {
		for _, h := range c.hosts {
			if h != nil {
				h.Close()
			}
		}
	})
	return c
}

func (c *trio) start(i int, l net.Listener) {
	c.t.Helper()
	host, err := balsa.Open(balsa.Options{
		Dir: c.dirs[i], Listen: c.members[i].Address, Listener: l, Cluster: 7, SegmentBytes: 1 << 20,
		// On a busy machine the default timeouts have elections begin at any moment, and a proposal that is under way then may end as unknown.
		HeartbeatInterval: 100 * time.Millisecond, ElectionTimeoutMin: time.Second, ElectionTimeoutMax: 2 * time.Second,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.journals[i] = &journal{}
	group, err := host.Start(1, c.members, c.wrap(c.journals[i]))
	if err != nil {
		c.t.Fatal(err)
	}
	c.hosts[i], c.groups[i] = host, group
}

func (c *trio) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	c.t.Cleanup(cancel)
	return ctx
}

// leader waits until the first member knows one.
func (c *trio) leader() balsa.MemberID {
	for {
		leader, _, changed := c.groups[0].LeaderChange()
		if leader != 0 {
			return leader
		}
		<-changed
	}
}

func plain(m balsa.StateMachine) balsa.StateMachine { return m }

func TestThreeHostsReplicateAndSurviveARestart(t *testing.T) {
	c := newTrio(t, plain)
	ctx := c.context()
	for i := range 9 {
		r, err := c.groups[i%3].Propose(ctx, fmt.Appendf(nil, "c%d", i))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%d:c%d", i+1, i); string(r.Data) != want {
			t.Errorf("answered %q, want %q", r.Data, want)
		}
	}
	for i := range c.hosts {
		if err := c.hosts[i].Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.hosts {
		c.start(i, nil)
	}
	for i := range c.groups {
		if err := c.groups[i].ReadBarrier(ctx); err != nil {
			t.Fatal(err)
		}
		if got := c.journals[i].text(); got != "c0\nc1\nc2\nc3\nc4\nc5\nc6\nc7\nc8" {
			t.Errorf("member %d came back with %q", i+1, got)
		}
	}
}

// TestTheLargestCommandIsReplicated: what one host takes, all connections have to carry, forwarded and replicated; else it would be sent, and dropped, for ever.
func TestTheLargestCommandIsReplicated(t *testing.T) {
	c := newTrio(t, plain)
	ctx := c.context()
	command := bytes.Repeat([]byte("x"), 8<<20)
	for i := range c.groups {
		if _, err := c.groups[i].Propose(ctx, command); err != nil {
			t.Fatal(err)
		}
		if _, err := c.groups[i].Propose(ctx, append(command, 'x')); !errors.Is(err, balsa.ErrTooLarge) {
			t.Errorf("one byte more: %v", err)
		}
	}
	for i := range c.groups {
		if err := c.groups[i].ReadBarrier(ctx); err != nil {
			t.Fatal(err)
		}
		if got := len(c.journals[i].text()); got != 3*len(command)+2 {
			t.Errorf("member %d has %d bytes", i+1, got)
		}
	}
}

func TestASessionAppliesEachCommandOnceThoughItsLeaderStops(t *testing.T) {
	c := newTrio(t, balsa.WithSessions)
	ctx := c.context()
	if _, err := balsa.OpenSession(ctx, c.groups[0]); err != nil {
		t.Fatal(err)
	}
	leader := c.leader()
	at := int(leader) % 3 // a follower
	session, err := balsa.OpenSession(ctx, c.groups[at])
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	for i := range 40 {
		if i == 10 {
			go func() { stopped <- c.hosts[leader-1].Close() }() // while commands go through it
		}
		if _, err := session.Propose(ctx, fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 40 {
		want = append(want, fmt.Sprint(i))
	}
	if got := c.journals[at].text(); got != strings.Join(want, "\n") {
		t.Errorf("the commands were applied as %q", got)
	}
}

func TestSessionsAreInTheSnapshot(t *testing.T) {
	j := &journal{}
	m := balsa.WithSessions(j)
	command := func(kind byte, id, sequence uint64, data string) balsa.Entry {
		b := binary.LittleEndian.AppendUint64([]byte{kind}, id)
		return balsa.Entry{Index: 1, Data: append(binary.LittleEndian.AppendUint64(b, sequence), data...)}
	}
	first := m.Apply([]balsa.Entry{command(1, 5, 0, ""), command(2, 5, 1, "a"), command(2, 5, 1, "a")})
	if string(first[1].Data) != string(first[2].Data) || j.text() != "a" {
		t.Fatalf("a duplicate in the same batch: %q, %q, machine %q", first[1].Data, first[2].Data, j.text())
	}
	w, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	j2 := &journal{}
	m2 := balsa.WithSessions(j2)
	if err := m2.Restore(strings.NewReader(b.String())); err != nil {
		t.Fatal(err)
	}
	again := m2.Apply([]balsa.Entry{command(2, 5, 1, "a")})
	if string(again[0].Data) != string(first[1].Data) || j2.text() != "a" {
		t.Errorf("after the snapshot a retry answered %q and the machine holds %q", again[0].Data, j2.text())
	}
	if err := m2.Restore(strings.NewReader(b.String()[:10])); err == nil {
		t.Error("half a snapshot was restored without an error")
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		options balsa.Options
		say     string
	}{
		"no directory":        {balsa.Options{Listen: "127.0.0.1:0"}, "data directory"},
		"no address":          {balsa.Options{Dir: t.TempDir()}, "address"},
		"port taken":          {balsa.Options{Dir: t.TempDir(), Listen: taken.Addr().String()}, "address already in use"},
		"directory is a file": {balsa.Options{Dir: file, Listen: "127.0.0.1:0"}, "not a directory"},
		"negative workers":    {balsa.Options{Dir: file, Listen: "127.0.0.1:0", Workers: -1}, "Options.Workers is -1"},
		"negative commands":   {balsa.Options{Dir: file, Listen: "127.0.0.1:0", MaxCommandBytes: -1}, "Options.MaxCommandBytes is -1"},
		"enormous commands":   {balsa.Options{Dir: file, Listen: "127.0.0.1:0", MaxCommandBytes: 1 << 30}, "Options.MaxCommandBytes"},
		"negative segments":   {balsa.Options{Dir: file, Listen: "127.0.0.1:0", SegmentBytes: -1}, "Options.SegmentBytes"},
		"rare heartbeats":     {balsa.Options{Dir: file, Listen: "127.0.0.1:0", HeartbeatInterval: time.Second}, "less than twice HeartbeatInterval 1s"},
		"timeouts reversed":   {balsa.Options{Dir: file, Listen: "127.0.0.1:0", ElectionTimeoutMin: time.Second, ElectionTimeoutMax: time.Second}, "not be random"},
		"clocks that drift":   {balsa.Options{Dir: file, Listen: "127.0.0.1:0", ClockDriftBound: 500}, "ClockDriftBound 500%"},
	} {
		t.Run(name, func(t *testing.T) {
			host, err := balsa.Open(test.options)
			if err == nil {
				host.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), test.say) {
				t.Errorf("says %q, which lacks %q", err, test.say)
			}
		})
	}
}

// TestAHostGoesByTheNameThatItListensAt, if others can dial that: it is what stands in the list of members.
func TestAHostGoesByTheNameThatItListensAt(t *testing.T) {
	addresses, err := freeport.Addresses(1)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addresses[0])
	for listen, same := range map[string]bool{"localhost:" + port: true, ":" + port: false, "0.0.0.0:" + port: false, "localhost:0": false} {
		host, err := balsa.Open(balsa.Options{Dir: t.TempDir(), Listen: listen})
		if err != nil {
			t.Fatal(err)
		}
		if (host.Address() == listen) != same || strings.HasSuffix(host.Address(), ":0") {
			t.Errorf("who listens at %s goes by %s", listen, host.Address())
		}
		_, err = host.Start(1, []balsa.Member{{ID: 1, Address: listen}}, &journal{})
		if same && err != nil || !same && (err == nil || !strings.Contains(err.Error(), "Options.Advertise")) {
			t.Errorf("%s as a member's address: %v", listen, err)
		}
		host.Close()
	}
}

func TestADirectoryServesOneHostAtATime(t *testing.T) {
	dir := t.TempDir()
	host, err := balsa.Open(balsa.Options{Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	if second, err := balsa.Open(balsa.Options{Dir: dir, Listen: "127.0.0.1:0"}); err == nil {
		second.Close()
		t.Error("two hosts opened one directory")
	}
}

// alone opens a host on a directory and starts its member of a group that it has for itself.
func alone(t *testing.T, dir string, id balsa.MemberID, machine balsa.StateMachine) (*balsa.Host, *balsa.Group, error) {
	t.Helper()
	host, err := balsa.Open(balsa.Options{Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	group, err := host.Start(1, []balsa.Member{{ID: id, Address: host.Address()}}, machine)
	return host, group, err
}

// TestASessionNeedsAMachineThatKnowsSessions: another would apply what opens it as a command.
func TestASessionNeedsAMachineThatKnowsSessions(t *testing.T) {
	lines := &journal{}
	_, group, err := alone(t, t.TempDir(), 1, lines)
	if err != nil {
		t.Fatal(err)
	}
	_, err = balsa.OpenSession(context.Background(), group)
	if !errors.Is(err, balsa.ErrNoSessions) || !strings.Contains(err.Error(), "WithSessions") {
		t.Errorf("without sessions: %v", err)
	}
	if err := group.ReadBarrier(context.Background()); err != nil || lines.text() != "" {
		t.Errorf("the machine was told %q, %v", lines.text(), err)
	}
}

// TestWhatIsCancelledBeforeItBeginsDoesNotHappen, and is known not to have.
func TestWhatIsCancelledBeforeItBeginsDoesNotHappen(t *testing.T) {
	lines := &journal{}
	_, group, err := alone(t, t.TempDir(), 1, lines)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := group.Propose(context.Background(), []byte("wanted")); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = group.Propose(over, []byte("unwanted"))
	for what, err := range map[string]error{"a proposal": err, "a change": group.ChangeMembers(over, balsa.Change{Remove: []balsa.MemberID{1}})} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, balsa.ErrIndeterminate) || errors.Is(err, balsa.ErrNoLeader) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := group.ReadBarrier(context.Background()); err != nil || lines.text() != "wanted" {
		t.Errorf("the machine was told %q, %v", lines.text(), err)
	}
}

// TestADirectoryIsOfOneMember: under another id it would vote for somebody else, and hear nobody.
func TestADirectoryIsOfOneMember(t *testing.T) {
	dir := t.TempDir()
	host, group, err := alone(t, dir, 1, &journal{})
	if err != nil {
		t.Fatal(err)
	}
	for recorded := false; !recorded; {
		status, err := group.Status()
		if err != nil {
			t.Fatal(err)
		}
		recorded = status.Configuration.Members[0].Incarnation != 0 && status.Commit >= status.ConfigurationIndex
	}
	host.Close()
	host, _, err = alone(t, dir, 3, &journal{})
	if err == nil || !strings.Contains(err.Error(), "group 1") || !strings.Contains(err.Error(), "as member 1, not 3") {
		t.Errorf("as another member: %v", err)
	}
	host.Close()
	if _, _, err = alone(t, dir, 1, &journal{}); err != nil {
		t.Error(err)
	}
}

func TestAClosedGroupSaysSo(t *testing.T) {
	host, err := balsa.Open(balsa.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	group, err := host.Start(1, []balsa.Member{{ID: 1, Address: host.Address()}}, &journal{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := group.Propose(context.Background(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := host.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := group.Propose(context.Background(), []byte("x")); !errors.Is(err, balsa.ErrClosed) {
		t.Errorf("a closed group answered %v", err)
	}
	if err := group.ReadBarrier(context.Background()); !errors.Is(err, balsa.ErrClosed) {
		t.Errorf("a closed group answered %v", err)
	}
}
