package raft

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/internal/hostile"
)

var someConfigurations = []Configuration{
	{},
	voters(1),
	voters(1, 2, 3),
	{Members: []Member{
		{ID: 1, Incarnation: 1 << 63, Priority: 255, Address: "https://a:2380", Meta: []byte("name=a")},
		{ID: 1 << 40, Learner: true, AutoPromote: true},
	}},
	{Members: voters(1, 2).Members, Outgoing: []Member{{ID: 2}, {ID: 7, Learner: true, Meta: []byte{0}}}},
}

func TestConfigurationsSurviveEncoding(t *testing.T) {
	for _, c := range someConfigurations {
		got, err := DecodeConfiguration(c.Encode([]byte("before"))[6:])
		if err != nil || !got.Equal(c) || !got.Equal(c.Clone()) {
			t.Errorf("%v became %v, %v", c, got, err)
		}
	}
}

func TestEveryCutOfAConfigurationIsRefused(t *testing.T) {
	for _, c := range someConfigurations {
		b := c.Encode(nil)
		for n := range b {
			if _, err := DecodeConfiguration(b[:n]); err == nil {
				t.Fatalf("%v is read from %d of %d bytes", c, n, len(b))
			}
		}
		if _, err := DecodeConfiguration(append(b, 0)); err == nil || !strings.Contains(err.Error(), "left over") {
			t.Fatalf("a byte too many: %v", err)
		}
	}
	if _, err := DecodeConfiguration([]byte{9, 0, 0}); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Fatalf("another version: %v", err)
	}
}

func TestChangesSurviveEncoding(t *testing.T) {
	for _, ch := range []Change{{}, {Set: someConfigurations[3].Members, Remove: []MemberID{5, 1 << 50}}, {Remove: []MemberID{3}}} {
		b := ch.Encode(nil)
		got, err := DecodeChange(b)
		if err != nil || !bytes.Equal(got.Encode(nil), b) || len(got.Set) != len(ch.Set) || len(got.Remove) != len(ch.Remove) {
			t.Errorf("%v became %v, %v", ch, got, err)
		}
	}
}

func FuzzDecodeConfiguration(f *testing.F) {
	for _, c := range someConfigurations {
		f.Add(c.Encode(nil))
	}
	f.Add([]byte{1, 0x80, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Configuration
		var err error
		if hostile.Within(t, 16*len(data), func() { c, err = DecodeConfiguration(data) }); err != nil {
			return
		}
		if again := c.Encode(nil); !bytes.Equal(again, data) {
			t.Fatalf("%x is read as %v, which is written as %x", data, c, again)
		}
		_ = c.Validate()
		_ = c.String()
	})
}

func FuzzDecodeChange(f *testing.F) {
	f.Add(Change{Set: someConfigurations[3].Members, Remove: []MemberID{5}}.Encode(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		var ch Change
		var err error
		if hostile.Within(t, 16*len(data), func() { ch, err = DecodeChange(data) }); err == nil && !bytes.Equal(ch.Encode(nil), data) {
			t.Fatalf("%x is read as %v, which is written as %x", data, ch, ch.Encode(nil))
		}
	})
}

// TestNumbersThatLieCostNoMemory puts far too large numbers into every place of a configuration and of a change.
func TestNumbersThatLieCostNoMemory(t *testing.T) {
	for _, c := range someConfigurations {
		hostile.Numbers(c.Encode(nil), func(b []byte) {
			hostile.Within(t, 16*len(b), func() { _, _ = DecodeConfiguration(b) })
		})
	}
	hostile.Numbers(Change{Set: someConfigurations[3].Members, Remove: []MemberID{5}}.Encode(nil), func(b []byte) {
		hostile.Within(t, 16*len(b), func() { _, _ = DecodeChange(b) })
	})
}

func TestConfigurationQuestions(t *testing.T) {
	c := Configuration{Members: []Member{{ID: 2}, {ID: 3, Learner: true}, {ID: 4}}, Outgoing: voters(1, 2, 3).Members}
	for id, want := range map[MemberID]bool{1: true, 2: true, 3: true, 4: true, 5: false} {
		if c.IsVoter(id) != want {
			t.Errorf("member %d votes: %v", id, !want)
		}
	}
	if got := c.String(); got != "2 learner 3 4 <- 1 2 3" {
		t.Error(got)
	}
	if m, ok := c.Find(3); !ok || !m.Learner {
		t.Errorf("member 3 is %+v: the incoming configuration comes first", m)
	}
	if _, ok := c.Find(9); ok {
		t.Error("member 9 is found")
	}
	d := c.Clone()
	d.Members[0].Address = "x"
	if c.Equal(d) || c.Members[0].Address != "" {
		t.Error("the clone shares memory")
	}
}

func TestInvalidConfigurationsAreNamed(t *testing.T) {
	for want, c := range map[string]Configuration{
		"no voter":     {Members: []Member{{ID: 1, Learner: true}}},
		"ascending":    {Members: []Member{{ID: 2}, {ID: 1}}},
		"unique":       {Members: []Member{{ID: 2}, {ID: 2}}},
		"positive":     {Members: []Member{{ID: 0}}},
		"outgoing: no": {Members: []Member{{ID: 1}}, Outgoing: []Member{{ID: 1, Learner: true}}},
		"promoted":     {Members: []Member{{ID: 1, AutoPromote: true}}},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want something about %q", c, err, want)
		}
	}
}

func TestInvalidConfigsAreNamed(t *testing.T) {
	for want, c := range map[string]Config{
		"Config.ID":             {},
		"twice":                 {ID: 1, HeartbeatInterval: 80 * time.Millisecond},
		"not above":             {ID: 1, ElectionTimeoutMax: 100 * time.Millisecond},
		"HeartbeatInterval -1":  {ID: 1, HeartbeatInterval: -1},
		"more than an hour":     {ID: 1, ElectionTimeoutMax: 2 * time.Hour},
		"MaxInflightMessages":   {ID: 1, MaxInflightMessages: -1},
		"MaxInflightBytes":      {ID: 1, MaxInflightBytes: 10},
		"ClockDriftBound":       {ID: 1, ClockDriftBound: 100},
		"LeaseReads":            {ID: 1, LeaseReads: true, DisableCheckQuorum: true},
		"QuiesceAfter -1":       {ID: 1, QuiesceAfter: -1},
		"CommitDelay -1":        {ID: 1, CommitDelay: -1},
		"CommitDelay 51ms is m": {ID: 1, CommitDelay: 51 * time.Millisecond},
		"QuiesceAfter 1ms is l": {ID: 1, QuiesceAfter: time.Millisecond},
	} {
		if _, err := New(c, Restored{}, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want something about %q", c, err, want)
		}
	}
	d := Config{ID: 1}.Default()
	if d.HeartbeatInterval != 50*time.Millisecond || d.ElectionTimeoutMin != 150*time.Millisecond || d.ElectionTimeoutMax != 300*time.Millisecond {
		t.Errorf("the default timing is not the paper's: %+v", d)
	}
}

func TestARestoredLogThatContradictsItselfIsRefused(t *testing.T) {
	conf := voters(1, 2, 3)
	good := func() Restored {
		return Restored{
			HardState: HardState{Term: 5}, Snapshot: SnapshotMeta{Index: 10, Term: 2, Configuration: conf, ConfigurationIndex: 4},
			LastIndex: 15, Terms: []TermRun{{11, 2}, {13, 4}}, Entries: entries(14, 4, 4),
			Configurations: []ConfigurationAt{{12, conf}}, Applied: 12,
		}
	}
	if _, err := New(Config{ID: 1}, good(), 0); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Restored){
		"term":                    func(r *Restored) { r.HardState.Term = 1 << 63 },
		"out of range":            func(r *Restored) { r.LastIndex = 1 << 63 },
		"before its snapshot":     func(r *Restored) { r.LastIndex = 3 },
		"lost entries it had":     func(r *Restored) { r.Applied = 16 },
		"no term":                 func(r *Restored) { r.Snapshot.Term = 0 },
		"later configuration":     func(r *Restored) { r.Snapshot.ConfigurationIndex = 11 },
		"no voter":                func(r *Restored) { r.Snapshot.Configuration = Configuration{Members: []Member{{ID: 1, Learner: true}}} },
		"without its terms":       func(r *Restored) { r.Terms = nil },
		"begin at 12":             func(r *Restored) { r.Terms[0].First = 12 },
		"run of term 1":           func(r *Restored) { r.Terms[1].Term = 1 },
		"run of term 4 at 16":     func(r *Restored) { r.Terms[1].First = 16 },
		"vote record is older":    func(r *Restored) { r.HardState.Term = 3 },
		"do not end":              func(r *Restored) { r.Entries = r.Entries[:1] },
		"does not fit":            func(r *Restored) { r.Entries[0].Term = 3 },
		"out of order":            func(r *Restored) { r.Configurations[0].Index = 16 },
		"at 12":                   func(r *Restored) { r.Configurations[0].Configuration = Configuration{} },
		"outside of the log (10,": func(r *Restored) { r.Faulty = []IndexRange{{15, 16}} },
	} {
		r := good()
		spoil(&r)
		if _, err := New(Config{ID: 1}, r, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want something about %q", err, want)
		}
	}
}
