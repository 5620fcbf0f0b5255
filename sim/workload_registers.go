package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// registers is the application most worlds have: a few registers, which clients write, compare and set, and read. With transactions, one command
// compares several and sets several, and one query reads all. Few registers, so that clients meet.
type registers struct{ transactions bool }

// registerCount is how many registers there are.
const registerCount = 6

// values are the registers' values, 0 at first. Every value that is written is unique, so that it tells who wrote it.
type values [registerCount]uint64

// assignment is a register and a value: to be written, or to be expected.
type assignment struct {
	register int
	value    uint64
}

// registerCommand sets registers, if others have the values that are expected.
type registerCommand struct {
	expect, set []assignment
}

func appendAssignments(b []byte, list []assignment) []byte {
	b = append(b, byte(len(list)))
	for _, a := range list {
		b = append(b, byte(a.register))
		b = binary.LittleEndian.AppendUint64(b, a.value)
	}
	return b
}

var errNoRegisterCommand = errors.New("not a command for registers")

func cutAssignments(b []byte) ([]assignment, []byte, error) {
	if len(b) == 0 || len(b)-1 < 9*int(b[0]) {
		return nil, nil, errNoRegisterCommand
	}
	list := make([]assignment, b[0])
	b = b[1:]
	for i := range list {
		if int(b[0]) >= registerCount {
			return nil, nil, errNoRegisterCommand
		}
		list[i] = assignment{register: int(b[0]), value: binary.LittleEndian.Uint64(b[1:])}
		b = b[9:]
	}
	return list, b, nil
}

func (c *registerCommand) encode() []byte {
	b := make([]byte, 0, 2+9*(len(c.expect)+len(c.set)))
	return appendAssignments(appendAssignments(b, c.expect), c.set)
}

func decodeRegisterCommand(b []byte) (c registerCommand, err error) {
	if c.expect, b, err = cutAssignments(b); err != nil {
		return c, err
	}
	if c.set, b, err = cutAssignments(b); err == nil && len(b) > 0 {
		err = errNoRegisterCommand
	}
	return c, err
}

// String tells a command to people.
func (c registerCommand) String() string {
	var b strings.Builder
	for i, a := range c.expect {
		fmt.Fprintf(&b, "%sr%d is %x", []string{"if ", " and "}[min(i, 1)], a.register, a.value)
	}
	for i, a := range c.set {
		fmt.Fprintf(&b, "%sr%d to %x", []string{" set ", ", "}[min(i, 1)], a.register, a.value)
	}
	return strings.TrimPrefix(b.String(), " ")
}

// registerAnswer is what a command did: whether it took place, and what the registers it names had before, in its order.
type registerAnswer struct {
	done   bool
	before []uint64
}

func (a *registerAnswer) encode() []byte {
	b := make([]byte, 1, 1+8*len(a.before))
	if a.done {
		b[0] = 1
	}
	for _, v := range a.before {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func decodeRegisterAnswer(b []byte) (a registerAnswer, err error) {
	if len(b)%8 != 1 || b[0] > 1 {
		return a, errors.New("not an answer of registers")
	}
	a.done = b[0] == 1
	for b = b[1:]; len(b) > 0; b = b[8:] {
		a.before = append(a.before, binary.LittleEndian.Uint64(b))
	}
	return a, nil
}

// apply is the one place that says what a command does.
func (v *values) apply(data []byte) []byte {
	c, err := decodeRegisterCommand(data)
	if err != nil {
		return nil
	}
	a := registerAnswer{done: true, before: make([]uint64, 0, len(c.expect)+len(c.set))}
	for _, e := range c.expect {
		a.before = append(a.before, v[e.register])
		a.done = a.done && v[e.register] == e.value
	}
	for _, s := range c.set {
		a.before = append(a.before, v[s.register])
	}
	for _, s := range c.set {
		if a.done {
			v[s.register] = s.value
		}
	}
	return a.encode()
}

// read answers a query: the registers it names, a byte each.
func (v *values) read(query []byte) []byte {
	b := make([]byte, 0, 8*len(query))
	for _, r := range query {
		b = binary.LittleEndian.AppendUint64(b, v[int(r)%registerCount])
	}
	return b
}

func (v *values) encode() []byte {
	b := make([]byte, 0, 8*registerCount+8)
	for _, value := range v {
		b = binary.LittleEndian.AppendUint64(b, value)
	}
	return b
}

// Hash implements Hasher.
func (v *values) Hash() uint64 {
	h := uint64(registerCount)
	for _, value := range v {
		h = scramble(h ^ value)
	}
	return h
}

// registerMachine is the machine.
type registerMachine struct{ values }

var _ engine.StateMachine = (*registerMachine)(nil)

// list shows the registers that were written.
func (m *registerMachine) list() []KeyValue {
	pairs := []KeyValue{}
	for i, v := range m.values {
		if v != 0 {
			pairs = append(pairs, KeyValue{Key: fmt.Sprintf("r%d", i), Value: fmt.Sprintf("%x", v)})
		}
	}
	return pairs
}

// Apply implements engine.StateMachine.
func (m *registerMachine) Apply(entries []engine.Entry) []engine.Result {
	results := make([]engine.Result, len(entries))
	for i := range entries {
		results[i].Data = m.apply(entries[i].Data)
	}
	return results
}

// Snapshot implements engine.StateMachine.
func (m *registerMachine) Snapshot() (engine.SnapshotWriter, error) {
	return snapshotBytes(m.encode()), nil
}

// Restore implements engine.StateMachine.
func (m *registerMachine) Restore(r io.Reader) error {
	var b [8 * registerCount]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return fmt.Errorf("read registers: %w", err)
	}
	for i := range m.values {
		m.values[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return nil
}

// list shows the registers that were written.
func (v *values) list() []KeyValue {
	pairs := []KeyValue{}
	for i, value := range v {
		if value != 0 {
			pairs = append(pairs, KeyValue{Key: fmt.Sprintf("r%d", i), Value: fmt.Sprintf("%x", value)})
		}
	}
	return pairs
}

// snapshotBytes is a snapshot that is captured as bytes.
type snapshotBytes []byte

// WriteTo implements io.WriterTo.
func (s snapshotBytes) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(s)
	return int64(n), err
}

// Close implements io.Closer.
func (s snapshotBytes) Close() error { return nil }

// durableRegisters keeps its state itself, as a database does: image is what it has on stable storage, which survives a crash and lags behind by as
// much as it likes. A snapshot comes in as of the index that stands before its values.
type durableRegisters struct {
	registerMachine
	last  raft.Index
	image struct {
		values
		last raft.Index
	}
	rand *rand.Rand
}

var _ engine.DurableStateMachine = (*durableRegisters)(nil)

// DurableIndex implements engine.DurableStateMachine.
func (m *durableRegisters) DurableIndex() raft.Index { return m.image.last }

// Flush implements engine.DurableStateMachine.
func (m *durableRegisters) Flush() error {
	m.image.values, m.image.last = m.values, m.last
	return nil
}

// Apply implements engine.DurableStateMachine. Now and then the database flushes by itself.
func (m *durableRegisters) Apply(entries []engine.Entry) []engine.Result {
	results := m.registerMachine.Apply(entries)
	m.last = entries[len(entries)-1].Index
	if m.rand.IntN(64) == 0 {
		m.image.values, m.image.last = m.values, m.last
	}
	return results
}

// Snapshot implements engine.DurableStateMachine.
func (m *durableRegisters) Snapshot() (engine.SnapshotWriter, error) {
	return snapshotBytes(binary.LittleEndian.AppendUint64(m.encode(), uint64(m.last))), nil
}

// Restore implements engine.DurableStateMachine. The state may become durable with it, or later.
func (m *durableRegisters) Restore(r io.Reader) error {
	if err := m.registerMachine.Restore(r); err != nil {
		return err
	}
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return fmt.Errorf("read the index of registers: %w", err)
	}
	m.last = raft.Index(binary.LittleEndian.Uint64(b[:]))
	if m.rand.IntN(2) == 0 {
		return m.Flush()
	}
	return nil
}

// registerModel is the oracle.
type registerModel struct{ values }

// Apply implements Model.
func (m *registerModel) Apply(e engine.Entry) []byte { return m.apply(e.Data) }

// Read implements Model.
func (m *registerModel) Read(query []byte) []byte { return m.read(query) }

// Clone implements Model.
func (m *registerModel) Clone() Model {
	c := *m
	return &c
}

// Name implements Application.
func (a registers) Name() string {
	if a.transactions {
		return "transactions"
	}
	return "registers"
}

// Machine implements Application.
func (registers) Machine(at Place) (engine.StateMachine, error) {
	if !at.Durable {
		return &registerMachine{}, nil
	}
	m := &durableRegisters{rand: at.Rand}
	if before, ok := at.Previous.(*durableRegisters); ok {
		m.image = before.image
		m.values, m.last = m.image.values, m.image.last
	}
	return m, nil
}

// Model implements Application.
func (registers) Model() Model { return &registerModel{} }

// Read implements Application.
func (registers) Read(machine engine.StateMachine, query []byte) []byte {
	return machine.(interface{ read(query []byte) []byte }).read(query)
}

// Client implements Application.
func (a registers) Client(number int, rng *rand.Rand) Client {
	return &registerClient{number: number, rng: rng, transactions: a.transactions}
}

// registerClient makes up requests, mostly such that compare what it has seen.
type registerClient struct {
	number       int
	rng          *rand.Rand
	transactions bool
	count        uint64
	seen         values
}

// fresh is a value that nobody has written.
func (c *registerClient) fresh() uint64 {
	c.count++
	return uint64(c.number)<<32 | c.count
}

// Next implements Client.
func (c *registerClient) Next() Action {
	register := c.rng.IntN(registerCount)
	kind := c.rng.IntN(12)
	switch {
	case kind < 4:
		return c.query([]byte{byte(register)}, kind == 0)
	case c.transactions && kind < 5:
		return c.query([]byte{0, 1, 2, 3, 4, 5}, c.rng.IntN(3) == 0)
	case c.transactions && kind < 8:
		return c.command(c.transaction())
	case kind < 9:
		return c.command(registerCommand{set: []assignment{{register, c.fresh()}}})
	}
	return c.command(registerCommand{expect: []assignment{{register, c.seen[register]}}, set: []assignment{{register, c.fresh()}}})
}

// transaction compares some registers and sets some, all of them different ones.
func (c *registerClient) transaction() (cmd registerCommand) {
	order := c.rng.Perm(registerCount)
	compares := c.rng.IntN(3)
	for _, r := range order[:compares] {
		cmd.expect = append(cmd.expect, assignment{r, c.seen[r]})
	}
	order = c.rng.Perm(registerCount)
	for _, r := range order[:1+c.rng.IntN(3)] {
		cmd.set = append(cmd.set, assignment{r, c.fresh()})
	}
	return cmd
}

func (c *registerClient) command(cmd registerCommand) Action {
	return Action{Command: cmd.encode(), Text: cmd.String()}
}

func (c *registerClient) query(registers []byte, stale bool) Action {
	text := "read"
	if stale {
		text = "read, stale,"
	}
	for _, r := range registers {
		text += fmt.Sprintf(" r%d", r)
	}
	return Action{Query: registers, Stale: stale, Text: text}
}

// Ended implements Client: the client remembers what it has seen.
func (c *registerClient) Ended(r *Action, outcome Outcome, answer []byte) {
	if outcome != OutcomeDone {
		return
	}
	if r.Command == nil {
		for i, register := range r.Query {
			c.seen[register] = binary.LittleEndian.Uint64(answer[8*i:])
		}
		return
	}
	cmd, err := decodeRegisterCommand(r.Command)
	if err != nil {
		return
	}
	a, err := decodeRegisterAnswer(answer)
	if err != nil || len(a.before) != len(cmd.expect)+len(cmd.set) {
		return
	}
	for i, x := range slices.Concat(cmd.expect, cmd.set) {
		c.seen[x.register] = a.before[i]
		if a.done && i >= len(cmd.expect) {
			c.seen[x.register] = x.value
		}
	}
}

// Crashed implements Client.
func (c *registerClient) Crashed() { c.seen = values{} }

// RegisterOperation is an operation on one register, for checkers that know nothing of logs: what was asked and, if the outcome is known, what the
// register had then, and whether it was written.
type RegisterOperation struct {
	Register int
	// Write is the value that is written, 0 for a read. Compare says that it is only written if the register has Expect.
	Write   uint64
	Compare bool
	Expect  uint64
	// Before is what the register had, Wrote whether it was written: only if the Outcome is OutcomeDone.
	Before uint64
	Wrote  bool
}

// Register tells what an operation of the workload "registers" was; false for one that no register has to answer for alone: a transaction, a stale read.
func (op *Operation) Register() (RegisterOperation, bool) {
	var r RegisterOperation
	if op.ID == 0 {
		if len(op.Query) != 1 || op.Stale {
			return r, false
		}
		r.Register = int(op.Query[0])
		if op.Outcome == OutcomeDone {
			r.Before = binary.LittleEndian.Uint64(op.Answer)
		}
		return r, true
	}
	cmd, err := decodeRegisterCommand(op.Command)
	if err != nil || len(cmd.set) != 1 || len(cmd.expect) > 1 || len(cmd.expect) == 1 && cmd.expect[0].register != cmd.set[0].register {
		return r, false
	}
	r.Register, r.Write = cmd.set[0].register, cmd.set[0].value
	if len(cmd.expect) == 1 {
		r.Compare, r.Expect = true, cmd.expect[0].value
	}
	if op.Outcome == OutcomeDone {
		a, err := decodeRegisterAnswer(op.Answer)
		if err != nil || len(a.before) == 0 {
			return r, false
		}
		r.Before, r.Wrote = a.before[0], a.done
	}
	return r, true
}
