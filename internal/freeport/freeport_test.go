package freeport

import (
	"fmt"
	"net"
	"testing"
)

// TestPortsAreGivenOnce asks for more than anybody needs.
func TestPortsAreGivenOnce(t *testing.T) {
	addresses, err := Addresses(200)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, a := range addresses {
		if seen[a] {
			t.Errorf("%s was given twice", a)
		}
		seen[a] = true
	}
}

// TestWhatIsTakenIsPassedOver listens at the place where the next run would begin.
func TestWhatIsTakenIsPassedOver(t *testing.T) {
	port, err := Run(0, 1, 2, 100)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+100))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mu.Lock()
	next = port
	mu.Unlock()
	again, err := Run(0, 1, 2, 100)
	if err != nil || again == port {
		t.Errorf("Run gave %d, %v, though %d is taken", again, err, port+100)
	}
}

// TestABlockIsOfOneProgram takes the place of another program, which has the block that would be the next one.
func TestABlockIsOfOneProgram(t *testing.T) {
	mu.Lock()
	defer mu.Unlock()
	var others net.Listener
	var port int
	for ; others == nil; start++ {
		port = first + start%blocks*block
		others, _ = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) // Nil if it is one's already, this program's too.
	}
	defer others.Close()
	start--
	if takeBlock(); next == port+1 || guards[next-1] == nil || end != next-1+block {
		t.Errorf("the ports from %d to %d are given out, and another program has those from %d on", next, end-1, port)
	}
}
