package cli

import (
	"strings"
	"testing"
)

func TestTheEnvironmentOfAnotherBalsaHasNoneOfOurFlags(t *testing.T) {
	got := strings.Join(WithoutFlags([]string{"PATH=/bin", "BALSA_NAME=x", "HOME=/root", "BALSA_DATA_DIR=y"}), " ")
	if got != "PATH=/bin HOME=/root" {
		t.Errorf("got %s", got)
	}
}
