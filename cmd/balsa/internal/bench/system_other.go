//go:build !linux

package bench

import "os"

func syncData(f *os.File) error { return f.Sync() }

func filesystemOf(string) string { return "" }
