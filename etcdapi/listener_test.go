package etcdapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// startSplitter runs a splitter on a loopback port and returns it, with a gRPC health service behind its HTTP/2 side.
func startSplitter(t *testing.T) *splitter {
	t.Helper()
	s := newSplitter(listen(t), slog.New(slog.DiscardHandler))
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	page := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
	})}
	var running sync.WaitGroup
	running.Go(func() { server.Serve(s.http2) })
	running.Go(func() { page.Serve(s.http1) })
	running.Go(func() {
		if err := s.run(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(func() {
		s.close()
		server.Stop()
		page.Close()
		running.Wait()
	})
	return s
}

func TestOnePortSpeaksBothProtocols(t *testing.T) {
	address := startSplitter(t).base.Addr().String()

	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer, err := healthpb.NewHealthClient(conn).Check(context.Background(), &healthpb.HealthCheckRequest{})
	if err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("gRPC: %v, %v", answer, err)
	}

	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		request, err := http.NewRequest(method, "http://"+address+"/x", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if want := method + " /x body"; err != nil || string(body) != want {
			t.Errorf("got %q, %v; want %q", body, err, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestGarbageOnThePortIsHungUpOn(t *testing.T) {
	address := startSplitter(t).base.Addr().String()
	for _, garbage := range []string{
		"\x00\x00\x00\x00", "\x16\x03\x01\x02\x00\x01", "GET/", "PRIX * HTTP/2.0", "get / HTTP/1.1\r\n\r\n", strings.Repeat("\xff", 1<<16),
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		// The server may hang up in the middle of it, which is an error of the write, or of the read after it.
		_, writeErr := conn.Write([]byte(garbage))
		data, readErr := io.ReadAll(conn)
		if len(data) > 0 {
			t.Errorf("%.10q was answered with %q (%v, %v)", garbage, data, writeErr, readErr)
		}
		conn.Close()
	}
}

func TestSilentConnectionsEndWithTheListener(t *testing.T) {
	s := startSplitter(t)
	var conns []net.Conn
	for _, beginning := range []string{"", "P", "PRI", "GE"} {
		conn, err := net.Dial("tcp", s.base.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(beginning)); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	s.close()
	for i, conn := range conns {
		if data, _ := io.ReadAll(conn); len(data) > 0 {
			t.Errorf("connection %d was sent %q", i, data)
		}
	}
}
