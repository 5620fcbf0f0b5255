package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheBenchMeasuresAndLeavesNothing runs a short one of everything.
func TestTheBenchMeasuresAndLeavesNothing(t *testing.T) {
	dir, pages := t.TempDir(), t.TempDir()
	out := must(t, "bench", "--dir", dir, "--clients", "1,20", "--duration", "200ms", "--trials", "1", "--markdown", pages)
	for _, want := range []string{"syncs/s", "writes/s", "      20 ", "SIGKILL", "median", "their hashes are equal"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	for _, name := range []string{"figures.md", "figures.zh-CN.md"} {
		if text, err := os.ReadFile(filepath.Join(pages, name)); err != nil || !strings.Contains(string(text), "| 20 ") {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}
