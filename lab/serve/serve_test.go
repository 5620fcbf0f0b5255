package serve

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/balsa-raft/balsa/lab"
)

func open(t *testing.T, o Options) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(New(o))
	t.Cleanup(s.Close)
	return s
}

func dial(t *testing.T, s *httptest.Server, head http.Header) (*websocket.Conn, error) {
	t.Helper()
	c, _, err := websocket.Dial(context.Background(), s.URL+"/engine", &websocket.DialOptions{HTTPHeader: head})
	if err == nil {
		c.SetReadLimit(64 << 20)
		t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, err
}

func ask(t *testing.T, c *websocket.Conn, r lab.Request) lab.Answer {
	t.Helper()
	b, err := json.Marshal(&r)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(context.Background(), websocket.MessageText, b); err != nil {
		t.Fatal(err)
	}
	_, b, err = c.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var a lab.Answer
	if err := json.Unmarshal(b, &a); err != nil {
		t.Fatal(err)
	}
	if a.Error != "" || a.ID != r.ID {
		t.Fatalf("%+v", a)
	}
	return a
}

// TestAWebSocketCarriesTheEngine plays the scripts over a WebSocket, and compares with an engine that is asked directly.
func TestAWebSocketCarriesTheEngine(t *testing.T) {
	s := open(t, Options{Open: &lab.Run{Version: lab.Version, Seed: 9}})
	c, err := dial(t, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	hello := ask(t, c, lab.Request{ID: 1, Do: lab.DoHello}).Hello
	if hello == nil || hello.Host != "native" || hello.Version != lab.Version || hello.Open == nil || hello.Open.Seed != 9 {
		t.Fatalf("%+v", hello)
	}
	direct := lab.NewEngine(lab.Hello{})
	for _, script := range lab.Scripts() {
		for i, r := range script.Requests {
			r.ID = uint64(i + 2)
			a, b := ask(t, c, r), direct.Answer(r)
			if a.State.Hash != b.State.Hash || a.State.N != b.State.N {
				t.Fatalf("%s, request %d: %s and %s", script.Name, i, a.State.Hash, b.State.Hash)
			}
		}
	}
}

// TestOnlyOwnPagesMayAsk: neither a page from elsewhere, nor one whose name was made to point here.
func TestOnlyOwnPagesMayAsk(t *testing.T) {
	s := open(t, Options{})
	if _, err := dial(t, s, http.Header{"Origin": {"https://example.com"}}); err == nil {
		t.Error("a page from elsewhere has an engine")
	}
	r, err := http.NewRequest(http.MethodGet, s.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "lab.example.com"
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("asked under another name it answers %s", answer.Status)
	}
}

// TestEnginesAreBounded refuses a page that is one too many, and takes it when another is closed.
func TestEnginesAreBounded(t *testing.T) {
	s := open(t, Options{Engines: 1})
	first, err := dial(t, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, first, lab.Request{ID: 1, Do: lab.DoState})
	if _, err := dial(t, s, nil); err == nil {
		t.Error("there are two engines")
	}
	if err := first.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	for { // The handler's goroutine ends a little later.
		if _, err := dial(t, s, nil); err == nil {
			return
		}
	}
}

// TestThePageIsServed with the engine.js of this host.
func TestThePageIsServed(t *testing.T) {
	s := open(t, Options{})
	for path, has := range map[string]string{"/": "<!doctype html>", "/engine.js": "WebSocket"} {
		answer, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK || !strings.Contains(string(text), has) {
			t.Errorf("%s: %s\n%s", path, answer.Status, text)
		}
	}
}
