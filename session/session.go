package balsa

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// ErrSessionExpired says that the group has forgotten the session: it was idle while maxSessions others were opened. Whether the last
// command of it happened is unknown.
var ErrSessionExpired = errors.New("balsa: session expired")

// maxSessions is how many sessions a machine remembers; the one that was used longest ago goes first, on every member alike.
const maxSessions = 10_000

// WithSessions wraps a machine so that commands proposed through a Session are applied exactly once, however often they are retried (thesis §6.3).
// All members have to wrap. Commands proposed directly on the group are not understood any more: use a Session for all. It is not for a
// DurableStateMachine, whose state the sessions could not be saved together with; such a machine keeps its own.
func WithSessions(machine StateMachine) StateMachine {
	return &sessionMachine{inner: machine, sessions: map[uint64]*sessionState{}}
}

// Session is one client's line of commands. It may be used by one goroutine at a time.
type Session struct {
	group *Group
	id    uint64
	next  uint64
}

const (
	sessionOpen    = 1
	sessionCommand = 2
	sessionHead    = 1 + 8 + 8
	replyOK        = 0
	replyExpired   = 1
)

// OpenSession registers a session with the group. It retries by itself until ctx ends: opening twice does no harm.
func OpenSession(ctx context.Context, group *Group) (*Session, error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	s := &Session{group: group, id: binary.LittleEndian.Uint64(random[:])}
	_, err := s.propose(ctx, sessionOpen, 0, nil)
	return s, err
}

// Propose applies the command exactly once, and retries by itself for as long as ctx lets it, also where a plain Propose would have
// to say ErrIndeterminate. When ctx ends first the error wraps ErrIndeterminate, and the session goes on: the next command is not affected.
func (s *Session) Propose(ctx context.Context, command []byte) (Result, error) {
	s.next++
	return s.propose(ctx, sessionCommand, s.next, command)
}

func (s *Session) propose(ctx context.Context, kind byte, sequence uint64, command []byte) (Result, error) {
	data := make([]byte, 0, sessionHead+len(command))
	data = append(data, kind)
	data = binary.LittleEndian.AppendUint64(data, s.id)
	data = binary.LittleEndian.AppendUint64(data, sequence)
	data = append(data, command...)
	for {
		result, err := s.group.Propose(ctx, data)
		if errors.Is(err, ErrIndeterminate) && ctx.Err() == nil {
			continue // it was applied, or it was not: asking again tells, and applies it at most once
		}
		if err != nil {
			return Result{}, err
		}
		if len(result.Data) == 0 || result.Data[0] == replyExpired {
			return Result{}, ErrSessionExpired
		}
		return Result{Data: result.Data[1:]}, nil
	}
}

// sessionState is what the machine remembers of one session: the last command and its answer.
type sessionState struct {
	used     Index // when it was last used, in log positions
	sequence uint64
	reply    []byte
}

// sessionMachine keeps the sessions beside the machine it wraps, and in its snapshots.
type sessionMachine struct {
	inner    StateMachine
	sessions map[uint64]*sessionState
}

// Apply filters out what was applied before, and hands the rest to the machine in one batch where it can.
func (m *sessionMachine) Apply(entries []Entry) []Result {
	results := make([]Result, len(entries))
	var run []Entry
	var at []int
	flush := func() {
		if len(run) == 0 {
			return
		}
		for i, r := range m.inner.Apply(run) {
			reply := append([]byte{replyOK}, r.Data...)
			results[at[i]] = Result{Data: reply}
			m.session(entries[at[i]].Data).reply = reply
		}
		run, at = run[:0], at[:0]
	}
	for i := range entries {
		e := &entries[i]
		if len(e.Data) < sessionHead {
			results[i] = Result{Data: []byte{replyExpired}}
			continue
		}
		s := m.session(e.Data)
		sequence := binary.LittleEndian.Uint64(e.Data[9:])
		switch {
		case e.Data[0] == sessionOpen:
			flush()
			m.open(binary.LittleEndian.Uint64(e.Data[1:]), e.Index)
			results[i] = Result{Data: []byte{replyOK}}
		case s == nil || sequence < s.sequence:
			results[i] = Result{Data: []byte{replyExpired}}
		case sequence == s.sequence:
			flush() // the first copy may be in this very batch
			s.used = e.Index
			results[i] = Result{Data: s.reply}
		default:
			s.sequence, s.used = sequence, e.Index
			run = append(run, Entry{Index: e.Index, Term: e.Term, Data: e.Data[sessionHead:], Local: true}) // the reply is part of the state
			at = append(at, i)
		}
	}
	flush()
	return results
}

func (m *sessionMachine) session(data []byte) *sessionState {
	return m.sessions[binary.LittleEndian.Uint64(data[1:])]
}

// open adds a session, and forgets the one that was used longest ago when there are too many. Indexes are unique, so every member forgets the same.
func (m *sessionMachine) open(id uint64, at Index) {
	if s := m.sessions[id]; s != nil {
		s.used = at
		return
	}
	if len(m.sessions) >= maxSessions {
		var oldest uint64
		var used Index
		for other, s := range m.sessions { // the smallest index is the same in any order
			if used == 0 || s.used < used {
				oldest, used = other, s.used
			}
		}
		delete(m.sessions, oldest)
	}
	m.sessions[id] = &sessionState{used: at}
}

// Snapshot captures the sessions and the machine.
func (m *sessionMachine) Snapshot() (SnapshotWriter, error) {
	inner, err := m.inner.Snapshot()
	if err != nil {
		return nil, err
	}
	ids := make([]uint64, 0, len(m.sessions))
	for id := range m.sessions {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, cmp.Compare[uint64])
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(ids)))
	for _, id := range ids {
		s := m.sessions[id]
		for _, v := range []uint64{id, uint64(s.used), s.sequence, uint64(len(s.reply))} {
			head = binary.LittleEndian.AppendUint64(head, v)
		}
		head = append(head, s.reply...)
	}
	return &sessionSnapshot{head: head, inner: inner}, nil
}

// Restore is the reverse of what a sessionSnapshot writes.
func (m *sessionMachine) Restore(r io.Reader) error {
	var count [4]byte
	if _, err := io.ReadFull(r, count[:]); err != nil {
		return fmt.Errorf("balsa: read sessions: %w", err)
	}
	sessions := map[uint64]*sessionState{}
	for range binary.LittleEndian.Uint32(count[:]) {
		var fixed [32]byte
		if _, err := io.ReadFull(r, fixed[:]); err != nil {
			return fmt.Errorf("balsa: read sessions: %w", err)
		}
		s := &sessionState{used: Index(binary.LittleEndian.Uint64(fixed[8:])), sequence: binary.LittleEndian.Uint64(fixed[16:])}
		var reply bytes.Buffer
		n := binary.LittleEndian.Uint64(fixed[24:])
		if got, err := io.CopyN(&reply, r, int64(min(n, 1<<40))); err != nil || uint64(got) != n {
			return fmt.Errorf("balsa: read sessions: %w", io.ErrUnexpectedEOF)
		}
		s.reply = reply.Bytes()
		sessions[binary.LittleEndian.Uint64(fixed[:])] = s
	}
	if err := m.inner.Restore(r); err != nil {
		return err
	}
	m.sessions = sessions
	return nil
}

// sessionSnapshot writes the sessions, then the machine.
type sessionSnapshot struct {
	head  []byte
	inner SnapshotWriter
	once  sync.Once
}

// WriteTo implements io.WriterTo.
func (s *sessionSnapshot) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(s.head)
	if err != nil {
		return int64(n), err
	}
	m, err := s.inner.WriteTo(w)
	return int64(n) + m, err
}

// Close implements io.Closer.
func (s *sessionSnapshot) Close() (err error) {
	s.once.Do(func() { err = s.inner.Close() })
	return err
}
