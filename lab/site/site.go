// Package site builds the lab as a static site: the page, and the engine as WebAssembly. It needs no server but one for files, and works from any folder of it.
package site

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/balsa-raft/balsa/lab/page"
)

const module = "github.com/balsa-raft/balsa"

// Build writes the site into dir, which is made if missing; what is there of the same name is replaced. It calls the go command, within the module's sources. It returns what
// a visitor downloads, in bytes, if the server compresses nothing but sends the engine as it is.
func Build(ctx context.Context, dir string) (size int64, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	if err := os.CopyFS(dir, overwriting{page.Files(), dir}); err != nil {
		return 0, fmt.Errorf("copy the page: %w", err)
	}
	source, err := output(ctx, nil, "go", "list", "-f", "{{.Dir}}", module+"/lab")
	if err != nil {
		return 0, err
	}
	root, err := output(ctx, nil, "go", "env", "GOROOT")
	if err != nil {
		return 0, err
	}
	for _, name := range []string{filepath.Join(source, "wasm", "engine.js"), filepath.Join(source, "wasm", "worker.js"), filepath.Join(root, "lib", "wasm", "wasm_exec.js")} {
		if err := copyFile(filepath.Join(dir, filepath.Base(name)), name); err != nil {
			return 0, err
		}
	}
	if err := buildEngine(ctx, filepath.Join(dir, "engine.bin")); err != nil {
		return 0, err
	}
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		size += info.Size()
		return err
	})
	return size, err
}

// overwriting makes way for the files that are about to be copied.
type overwriting struct {
	fs.FS
	dir string
}

// Open implements fs.FS.
func (o overwriting) Open(name string) (fs.File, error) {
	f, err := o.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && !info.IsDir() {
		if err := os.Remove(filepath.Join(o.dir, filepath.FromSlash(name))); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	}
	return f, nil
}

// buildEngine compiles the engine, and compresses it.
func buildEngine(ctx context.Context, to string) error {
	temporary, err := os.MkdirTemp("", "balsa-site-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	engine := filepath.Join(temporary, "engine.wasm")
	if err := Engine(ctx, engine); err != nil {
		return err
	}
	in, err := os.Open(engine)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	z, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, in); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return out.Close()
}

// Engine compiles the engine to WebAssembly.
func Engine(ctx context.Context, to string) error {
	_, err := output(ctx, []string{"GOOS=js", "GOARCH=wasm"}, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, module+"/lab/wasm")
	return err
}

func output(ctx context.Context, environment []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), environment...)
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			said = "\n" + string(exit.Stderr)
		}
		return "", fmt.Errorf("%s %s: %w%s", name, strings.Join(args, " "), err, said)
	}
	return strings.TrimSpace(string(out)), nil
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}
