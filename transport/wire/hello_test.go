package wire

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/balsa-raft/balsa/transport/wire/wiretest"
)

// introduce decodes the introduction that fills the frame.
func introduce(frame []byte) (*Hello, *Refusal, error) {
	h, err := ParseHeader(frame, MaxIntroductionBytes)
	if err != nil {
		return nil, nil, err
	}
	return DecodeIntroduction(h, frame[HeaderSize:])
}

func TestHelloComesBackAsItWas(t *testing.T) {
	r := wiretest.Random(4)
	for range 1000 {
		var hello Hello
		wiretest.Fill(r, reflect.ValueOf(&hello).Elem())
		hello.MaxFrameBytes = max(hello.MaxFrameBytes, MinMaxFrameBytes)
		frame, err := AppendHello(nil, &hello)
		if len(hello.Address) > MaxAddressBytes || len(hello.Dialled) > MaxAddressBytes {
			if !errors.Is(err, ErrTooLarge) {
				t.Fatalf("an address of %d or %d bytes: %v", len(hello.Address), len(hello.Dialled), err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got, refusal, err := introduce(frame)
		if err != nil || refusal != nil || !reflect.DeepEqual(*got, hello) {
			t.Fatalf("sent %+v, came %+v, %v, %v", hello, got, refusal, err)
		}
	}
}

func TestHelloOfALaterVersionIsUnderstood(t *testing.T) {
	hello := Hello{MinVersion: 1, MaxVersion: 9, MaxFrameBytes: MinMaxFrameBytes, Address: "a:1", Dialled: "b:2"}
	frame, err := AppendHello(nil, &hello)
	if err != nil {
		t.Fatal(err)
	}
	later := seal(KindHello, append(frame[HeaderSize:], "a field of version 9"...), nil)
	got, _, err := introduce(later)
	if err != nil || *got != hello {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCommonVersion(t *testing.T) {
	tests := []struct {
		aMin, aMax, bMin, bMax, want uint16
		ok                           bool
	}{
		{1, 1, 1, 1, 1, true},
		{1, 3, 2, 5, 3, true},
		{2, 5, 1, 3, 3, true},
		{1, 1, 2, 2, 1, false},
		{3, 4, 1, 2, 2, false},
		{5, 2, 1, 9, 2, false},
	}
	for _, test := range tests {
		a, b := &Hello{MinVersion: test.aMin, MaxVersion: test.aMax}, &Hello{MinVersion: test.bMin, MaxVersion: test.bMax}
		got, ok := CommonVersion(a, b)
		if ok != test.ok || ok && got != test.want {
			t.Errorf("%d-%d and %d-%d: got %d, %v; want %d, %v", test.aMin, test.aMax, test.bMin, test.bMax, got, ok, test.want, test.ok)
		}
	}
}

func TestRefusalIsFitToPrint(t *testing.T) {
	tests := map[string]string{
		"another cluster":                  "another cluster",
		"Knochen für Größe":                "Knochen für Größe",
		"\x1b[2Jgone\nforged log line":     "?[2Jgone?forged log line",
		strings.Repeat("x", 5000):          strings.Repeat("x", maxReasonBytes),
		"x" + strings.Repeat("ß", 5000):    "x" + strings.Repeat("ß", maxReasonBytes/2-1),
		"\xff" + strings.Repeat("a", 1021): "\uFFFD" + strings.Repeat("a", 1021),
	}
	for reason, want := range tests {
		hello, refusal, err := introduce(AppendRefusal(nil, &Refusal{Code: RefusedHost, Reason: reason}))
		if err != nil || hello != nil {
			t.Fatal(hello, err)
		}
		if refusal.Code != RefusedHost || refusal.Reason != want || !utf8.ValidString(refusal.Reason) {
			t.Errorf("%.30q came as %.30q", reason, refusal.Reason)
		}
	}
	// A peer need not be so kind as to clean the text itself.
	meta := appendText([]byte{byte(RefusedBad)}, "\x1b]0;title\a")
	if _, refusal, err := introduce(seal(KindRefusal, meta, nil)); err != nil || refusal.Reason != "?]0;title?" {
		t.Errorf("got %+v, %v", refusal, err)
	}
}

func TestDamagedIntroductionsAreRefused(t *testing.T) {
	hello, err := AppendHello(nil, &Hello{MinVersion: 1, MaxVersion: 1, MaxFrameBytes: MinMaxFrameBytes, Address: "a:1", Dialled: "b:2"})
	if err != nil {
		t.Fatal(err)
	}
	for _, frame := range [][]byte{hello, AppendRefusal(nil, &Refusal{Code: 1, Reason: "because"}), appendBeat(nil, KindPing, 77)} {
		for i := range frame {
			for bit := range 8 {
				damaged := append([]byte(nil), frame...)
				damaged[i] ^= 1 << bit
				if h, r, err := introduce(damaged); err == nil {
					t.Fatalf("bit %d of byte %d was flipped and nobody noticed: %v %v", bit, i, h, r)
				}
			}
			if _, _, err := introduce(frame[:i]); err == nil {
				t.Fatalf("cut after %d bytes and nobody noticed", i)
			}
		}
	}
	small := Hello{MaxFrameBytes: MinMaxFrameBytes - 1}
	if frame, _ := AppendHello(nil, &small); true {
		if _, _, err := introduce(frame); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a frame limit that fits nothing: %v", err)
		}
	}
	long := seal(KindHello, appendText(make([]byte, 24), strings.Repeat("a", MaxAddressBytes+1)), nil)
	if _, _, err := introduce(long); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an address that is too long: %v", err)
	}
}

func TestBeats(t *testing.T) {
	var b Batch
	b.AddPing(1 << 63)
	b.AddPong(0)
	bytes := b.Pieces()[0]
	for _, want := range []struct {
		kind   Kind
		number uint64
	}{{KindPing, 1 << 63}, {KindPong, 0}} {
		h, err := ParseHeader(bytes, MaxIntroductionBytes)
		if err != nil {
			t.Fatal(err)
		}
		number, err := DecodeBeat(h, bytes[HeaderSize:h.FrameSize()])
		if err != nil || h.Kind != want.kind || number != want.number {
			t.Errorf("got kind %d number %d, %v; want %+v", h.Kind, number, err, want)
		}
		bytes = bytes[h.FrameSize():]
	}
	if len(bytes) > 0 {
		t.Errorf("%d bytes are left over", len(bytes))
	}
}
