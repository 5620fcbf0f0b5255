package balsa_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/balsa-raft/balsa"

// rooms are the packages from the top of the house to the bottom. A room imports only rooms below it.
var rooms = []string{"cmd/balsa", "e2e", "examples", "etcdapi", "etcdapi/front", "kv", ".", "transport", "lab", "sim", "session", "transport/wire", "engine", "wal", "raft", "internal"}

// sourceFile is one parsed file of the module, with the room it belongs to.
type sourceFile struct {
	path string // relative to the module's root
	room string
	test bool
	ast  *ast.File
}

func roomOf(dir string) string {
	best := ""
	for _, room := range rooms {
		if (dir == room || strings.HasPrefix(dir, room+"/")) && len(room) > len(best) {
			best = room
		}
	}
	if dir == "." {
		return "."
	}
	return best
}

func sources(t *testing.T) []sourceFile {
	t.Helper()
	var files []sourceFile
	set := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != "." {
				return fs.SkipDir // a module of its own, with rules of its own
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		path = filepath.ToSlash(path)
		files = append(files, sourceFile{path: path, room: roomOf(filepath.ToSlash(filepath.Dir(path))), test: strings.HasSuffix(path, "_test.go"), ast: file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func imports(f *ast.File) []string {
	var paths []string
	for _, spec := range f.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

// TestRoomsImportOnlyRoomsBelow keeps the arrows of the house one way.
func TestRoomsImportOnlyRoomsBelow(t *testing.T) {
	for _, f := range sources(t) {
		if f.room == "" {
			t.Errorf("%s is in no room: add its folder to rooms, at its height", f.path)
			continue
		}
		if f.test {
			continue
		}
		from := slices.Index(rooms, f.room)
		for _, path := range imports(f.ast) {
			if path != module && !strings.HasPrefix(path, module+"/") {
				continue
			}
			room := roomOf(strings.TrimPrefix(strings.TrimPrefix(path, module), "/"))
			if path == module {
				room = "."
			}
			if to := slices.Index(rooms, room); to < from {
				t.Errorf("%s imports %s, which is above it", f.path, path)
			}
		}
	}
}

// TestTheLowerRoomsStayPure keeps out what would make the core impure or keep the lower rooms from compiling for a browser.
func TestTheLowerRoomsStayPure(t *testing.T) {
	banned := map[string][]string{
		"raft":           {"time.Now", "time.Since", "time.Sleep", "time.After", "time.NewTimer", "os.", "net.", "sync.", "log.", "slog.", "rand.Int", "rand.Uint64("},
		"engine":         {"time.Now", "time.Since", "time.Sleep", "time.After", "os.", "net."},
		"sim":            {"time.Now", "time.Since", "time.Sleep", "time.After", "time.NewT", "os.", "net.", "rand.Int", "rand.Uint64(", "maphash."},
		"transport/wire": {"time.Now", "os.", "net."},
	}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		if f.room == "raft" || f.room == "engine" || f.room == "wal" || f.room == "transport/wire" {
			for _, path := range imports(f.ast) {
				first, _, _ := strings.Cut(path, "/")
				if strings.Contains(first, ".") && !strings.HasPrefix(path, module) && !strings.HasPrefix(path, "golang.org/x/sys") {
					t.Errorf("%s imports %s: the lower rooms take the standard library alone", f.path, path)
				}
				if path == "net" || path == "crypto/rand" || strings.HasPrefix(path, "net/") {
					t.Errorf("%s imports %s", f.path, path)
				}
			}
		}
		if f.room == "sim" && filepath.Dir(f.path) != "sim" {
			continue // what drives worlds has the goroutines, the clock and the files that a world has not
		}
		for _, call := range calls(f.ast) {
			for _, bad := range banned[f.room] {
				if call == bad || strings.HasSuffix(bad, ".") && strings.HasPrefix(call, bad) {
					t.Errorf("%s uses %s", f.path, call)
				}
			}
		}
		if f.room == "raft" || f.room == "engine" && filepath.Base(f.path) != "goroutines.go" || filepath.Dir(f.path) == "sim" {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if _, ok := n.(*ast.GoStmt); ok {
					t.Errorf("%s starts a goroutine", f.path)
				}
				return true
			})
		}
	}
}

// calls lists the package-qualified names that a file uses, as "package.Name".
func calls(f *ast.File) []string {
	var names []string
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Obj == nil {
				names = append(names, x.Name+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return names
}

// TestEveryPackageSaysWhatItIsFor wants a doc comment on every package.
func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		dir := filepath.Dir(f.path)
		documented[dir] = documented[dir] || f.ast.Doc != nil && len(f.ast.Doc.Text()) > 40
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("the package in %s has no comment that says what it is for", dir)
		}
	}
}

// TestTestsWaitForConditions bans sleeping and skipping in tests.
func TestTestsWaitForConditions(t *testing.T) {
	for _, f := range sources(t) {
		if !f.test {
			continue
		}
		for _, call := range calls(f.ast) {
			if call == "time.Sleep" || call == "t.Skip" || call == "t.Skipf" || call == "t.SkipNow" {
				t.Errorf("%s uses %s", f.path, call)
			}
		}
	}
}

// TestNothingIsLeftOpen keeps notes of unfinished work out of the tree.
func TestNothingIsLeftOpen(t *testing.T) {
	open := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`)
	for _, f := range sources(t) {
		for _, group := range f.ast.Comments {
			if open.MatchString(group.Text()) {
				t.Errorf("%s has an open end: %q", f.path, open.FindString(group.Text()))
			}
		}
	}
}

var markdownLink = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)

// TestLinksLeadSomewhere looks at every link of every page to a file of ours.
func TestLinksLeadSomewhere(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		page, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range markdownLink.FindAllStringSubmatch(string(page), -1) {
			if strings.Contains(match[1], ":") {
				continue // somebody else's page
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), match[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", path, match[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
