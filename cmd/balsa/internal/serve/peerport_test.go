package serve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// peerPort is a split listener on a free port, with a web server that answers "web".
func peerPort(t *testing.T) *splitListener {
	t.Helper()
	base, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := splitPeers([]net.Listener{base})
	web := newPeerWeb(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "web %s", r.URL.Path) }))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		web.Serve(s.web)
	}()
	t.Cleanup(func() {
		s.Close()
		web.Close()
		<-ended
	})
	return s
}

// echo plays the transport: it accepts, reads a line and answers it.
func echo(t *testing.T, s *splitListener) {
	t.Helper()
	go func() {
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				line, err := bufio.NewReader(conn).ReadString('\n')
				if err == nil {
					io.WriteString(conn, "peer "+line)
				}
			}()
		}
	}()
}

func TestOnePortSpeaksBothProtocols(t *testing.T) {
	s := peerPort(t)
	echo(t, s)
	response, err := http.Get("http://" + s.Addr().String() + "/members")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if string(body) != "web /members" {
		t.Errorf("HTTP got %q", body)
	}
	for _, line := range []string{"BALSA and more\n", "G\n", "GE\n", "GET\n", "GETTER\n", "\n", "\x16\x03\x01\n", strings.Repeat("x", 10000) + "\n"} {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for i := range line { // byte by byte, as a slow network may deliver it
			if _, err := io.WriteString(conn, line[i:i+1]); err != nil {
				t.Fatal(err)
			}
			if i > 16 {
				io.WriteString(conn, line[i+1:])
				break
			}
		}
		got, err := io.ReadAll(conn)
		if string(got) != "peer "+line {
			t.Errorf("%.20q got %.20q (%v)", line, got, err)
		}
		conn.Close()
	}
}

func TestAConnectionThatEndsEarlyIsPassedOn(t *testing.T) {
	s := peerPort(t)
	for _, start := range []string{"", "G", "GET"} {
		client, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(client, start)
		client.(*net.TCPConn).CloseWrite()
		conn, err := s.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); string(got) != start || err != nil {
			t.Errorf("%q arrived as %q (%v)", start, got, err)
		}
		conn.Close()
		client.Close()
	}
}

func TestHTTPLooksToTheTransportLikeSilence(t *testing.T) {
	s := peerPort(t)
	client, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(client, "GET /x HTTP/1.0\r\n\r\n")
	if n, err := conn.Read(make([]byte, 10)); n != 0 || err == nil {
		t.Errorf("it read %d bytes (%v)", n, err)
	}
	conn.Close() // must not close what the web server answers on
	if got, _ := io.ReadAll(client); !strings.Contains(string(got), "web /x") {
		t.Errorf("HTTP got %q", got)
	}
}

func TestAPortWithoutATransportAnswersHTTPAndTurnsOthersAway(t *testing.T) {
	s := peerPort(t)
	until, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.turnAway(until)
	}()
	response, err := http.Get("http://" + s.Addr().String() + "/members")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "BALSA")
	if got, _ := io.ReadAll(conn); len(got) != 0 {
		t.Errorf("a peer was told %q", got)
	}
	close(until)
	<-ended
	echo(t, s)
	again, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	io.WriteString(again, "BALSA\n")
	if got, _ := io.ReadAll(again); string(got) != "peer BALSA\n" {
		t.Errorf("later a peer was told %q", got)
	}
}

func TestAPortThatNobodyDialsIsNoticed(t *testing.T) {
	s := peerPort(t)
	_, port, _ := net.SplitHostPort(s.Addr().String())
	for own, want := range map[string]string{"http://db-1:" + port: "", "http://127.0.0.1:1": "http://127.0.0.1:1"} {
		m := &member{settings: &settings{peerURLs: []string{own}}, peerPort: s}
		if dialled, listening := m.unheard(); dialled != want || want != "" && fmt.Sprint(listening) != "["+s.Addr().String()+"]" {
			t.Errorf("%s: dialled in vain at %q, listening at %v", own, dialled, listening)
		}
	}
}

func TestClosingEndsAccept(t *testing.T) {
	s := peerPort(t)
	errs := make(chan error, 1)
	go func() {
		_, err := s.Accept()
		errs <- err
	}()
	s.Close()
	if err := <-errs; err == nil {
		t.Error("Accept gave a connection of a closed listener")
	}
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
}
