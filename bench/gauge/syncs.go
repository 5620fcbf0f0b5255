package gauge

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// Syncs counts the calls of fsync and fdatasync of every process, in the kernel: no system has to be asked, and none is slowed down. It needs the right to
// load such a program, which root has.
type Syncs struct {
	counts  *ebpf.Map
	program *ebpf.Program
	link    link.Link
}

// CountSyncs begins to count.
func CountSyncs() (*Syncs, error) {
	calls, err := syncCalls()
	if err != nil {
		return nil, err
	}
	_ = rlimit.RemoveMemlock() // only old kernels need it, and there the next step says so
	s := &Syncs{}
	s.counts, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 4096})
	if err != nil {
		return nil, fmt.Errorf("fsyncs cannot be counted: %w", err)
	}
	s.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.RawTracepoint, License: "Apache-2.0", Instructions: countCalls(s.counts, calls)})
	if err == nil {
		s.link, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: s.program})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fsyncs cannot be counted: %w", err), s.Close())
	}
	return s, nil
}

// countCalls is the program: if (call is one of calls) counts[process]++. A raw tracepoint's arguments for sys_enter are the registers and the call's number.
func countCalls(counts *ebpf.Map, calls []int32) asm.Instructions {
	program := asm.Instructions{asm.LoadMem(asm.R6, asm.R1, 8, asm.DWord)}
	for _, call := range calls {
		program = append(program, asm.JEq.Imm(asm.R6, call, "count"))
	}
	return append(program,
		asm.Ja.Label("end"),
		asm.FnGetCurrentPidTgid.Call().WithSymbol("count"),
		asm.RSh.Imm(asm.R0, 32),
		asm.StoreMem(asm.RFP, -4, asm.R0, asm.Word),
		asm.LoadMapPtr(asm.R1, counts.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "first"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Ja.Label("end"),
		asm.Mov.Imm(asm.R1, 1).WithSymbol("first"),
		asm.StoreMem(asm.RFP, -16, asm.R1, asm.DWord),
		asm.LoadMapPtr(asm.R1, counts.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, -16),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnMapUpdateElem.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("end"),
		asm.Return(),
	)
}

// Of returns how often the processes have synced since counting began.
func (s *Syncs) Of(pids ...int) (uint64, error) {
	var sum uint64
	for _, pid := range pids {
		var count uint64
		if err := s.counts.Lookup(uint32(pid), &count); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return 0, err
		}
		sum += count
	}
	return sum, nil
}

// Close ends counting.
func (s *Syncs) Close() error {
	var errs []error
	if s.link != nil {
		errs = append(errs, s.link.Close())
	}
	if s.program != nil {
		errs = append(errs, s.program.Close())
	}
	return errors.Join(append(errs, s.counts.Close())...)
}
