package main

import (
	"errors"
	"os"
	"runtime/pprof"
)

// profile writes a CPU profile of what counts.
type profile struct {
	file *os.File // nil for none
	err  error
}

func startProfile(path string) (*profile, error) {
	if path == "" {
		return &profile{}, nil
	}
	file, err := os.Create(path)
	return &profile{file: file}, err
}

func (p *profile) begin() {
	if p.file != nil {
		p.err = pprof.StartCPUProfile(p.file)
	}
}

func (p *profile) end() {
	if p.file != nil {
		pprof.StopCPUProfile()
		p.err = errors.Join(p.err, p.file.Close())
	}
}
