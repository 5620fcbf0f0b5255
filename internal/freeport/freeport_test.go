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
