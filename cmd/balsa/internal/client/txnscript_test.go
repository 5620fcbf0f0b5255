package client

import (
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/internal/hostile"
)

func TestParseCompare(t *testing.T) {
	for line, want := range map[string]clientv3.Cmp{
		`version(a) = 0`:               clientv3.Compare(clientv3.Version("a"), "=", 0),
		`ver("a")!="3"`:                clientv3.Compare(clientv3.Version("a"), "!=", 3),
		`create( a ) > 7`:              clientv3.Compare(clientv3.CreateRevision("a"), ">", 7),
		`mod("k (1)") < 9`:             clientv3.Compare(clientv3.ModRevision("k (1)"), "<", 9),
		`value('it "is"') = "a\n\x00"`: clientv3.Compare(clientv3.Value(`it "is"`), "=", "a\n\x00"),
		`VALUE(a) = ''`:                clientv3.Compare(clientv3.Value("a"), "=", ""),
		`lease(a) = ff`:                clientv3.Compare(clientv3.LeaseValue("a"), "=", 255),
	} {
		got, err := parseCompare(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		} else if !proto.Equal(got.GetCompare(), want.GetCompare()) {
			t.Errorf("%s: got %v, want %v", line, got.GetCompare(), want.GetCompare())
		}
	}
}

func TestMalformedComparesSayWhatIsWrong(t *testing.T) {
	for line, want := range map[string]string{
		``:                    "no '('",
		`version a = 0`:       "no '('",
		`version(`:            "missing",
		`version(a`:           "no ')'",
		`version(a) 0`:        "no '='",
		`version(a) =`:        "missing",
		`version(a) = soon`:   "not a number",
		`version(a) = 1 2`:    `"2" is too much`,
		`version("a) = 1`:     "not closed",
		`version('a) = 1`:     "not closed",
		`value("\q") = 1`:     "escape",
		`colour(a) = 1`:       "none of",
		`lease(a) = zz`:       "base 16",
		`version(a)) = 1`:     "no '='",
		`create(a) = 1.5`:     "not a number",
		`mod(a) = 9e99999999`: "not a number",
	} {
		_, err := parseCompare(line)
		if err == nil || !cli.IsUsage(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want a usage error with %q", line, err, want)
		}
	}
}

func TestReadScript(t *testing.T) {
	s, err := readScript(strings.NewReader(`
# The first part is empty: no comparison.
put "a key" 'its value' --prev-kv
del gone --prefix

get a c --limit 3
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.compares) != 0 || len(s.success) != 2 || len(s.failure) != 1 {
		t.Fatalf("got %d comparisons, %d and %d operations", len(s.compares), len(s.success), len(s.failure))
	}
	if put := s.success[0]; !put.IsPut() || string(put.KeyBytes()) != "a key" || string(put.ValueBytes()) != "its value" {
		t.Errorf("put %q %q", put.KeyBytes(), put.ValueBytes())
	}
	if del := s.success[1]; !del.IsDelete() || string(del.KeyBytes()) != "gone" || string(del.RangeBytes()) != "gonf" {
		t.Errorf("del %q %q", del.KeyBytes(), del.RangeBytes())
	}
	if get := s.failure[0]; !get.IsGet() || string(get.KeyBytes()) != "a" || string(get.RangeBytes()) != "c" {
		t.Errorf("get %q %q", get.KeyBytes(), get.RangeBytes())
	}
	if !s.writes() {
		t.Error("a script with a put is said not to write")
	}
}

func TestMalformedScriptsSayWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"\nput a\n":             "a key and a value",
		"\nput a b c\n":         "a key and a value",
		"\nshout a\n":           "none of put, get, del",
		"\nget\n":               "needs a key",
		"\nget a --colour\n":    "unknown flag",
		"\nget 'a\n":            "not closed",
		"\n\n\nget a\n":         "after its third part",
		"version(a)\n\nget a\n": "no '='",
	} {
		_, err := readScript(strings.NewReader(text))
		if err == nil || !cli.IsUsage(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want a usage error with %q", text, err, want)
		}
	}
}

// FuzzReadScript: whatever is written, the parser answers with a transaction or a usage error.
func FuzzReadScript(f *testing.F) {
	f.Add("version(a) = 0\n\nput a \"b\\n\" --prev-kv\n\nget 'a b' c --limit=3\n")
	f.Add("value(\"\\x00\") != 'x'\n\ndel a --prefix --from-key")
	f.Fuzz(func(t *testing.T, text string) {
		hostile.Within(t, 1<<10+512*len(text), func() {
			if _, err := readScript(strings.NewReader(text)); err != nil && !cli.IsUsage(err) {
				t.Errorf("%q: %v", text, err)
			}
		})
	})
}
