package page

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestEveryRuleIsSaidInChinese looks for the rules of the core, which come to the page in English, among the words of the page.
func TestEveryRuleIsSaidInChinese(t *testing.T) {
	words, err := fs.ReadFile(Files(), "lang/zh.js")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../raft/*.go")
	if err != nil {
		t.Fatal(err)
	}
	// A rule begins with where it is written, or speaks of the disk that made it necessary.
	rule := regexp.MustCompile(`"((§|thesis §|figure \d+)[^"]*: [^"]+|(the|this member's) disk [^"]+)"`)
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "invariants.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, quoted := range rule.FindAllString(string(text), -1) {
			english, err := strconv.Unquote(quoted)
			if err != nil {
				t.Fatal(err)
			}
			found++
			if !strings.Contains(string(words), strconv.Quote(english)+": ") {
				t.Errorf("%s: %q is not in lang/zh.js", filepath.Base(name), english)
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d rules were found", found)
	}
}
