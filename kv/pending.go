package kv

import (
	"cmp"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// pending is what commands have changed and the database does not have yet. It is the applier's.
//
// It is written in one batch, in the order of the database's keys, however the commands came: neighbours are found sooner in Pebble's memtable, where finding the
// place is most of the work. Of a key that was changed several times the latest record is written once.
//
// Memory that it is given stays referenced until clear.
type pending struct {
	// index says where in changes a key is.
	index   map[string]int32
	changes []change
	history []superseded
	notes   []note
	// settings are in the order of their commands.
	settings []setting
	// recent is what the database is known to have.
	recent recent
	// running counts the changes of the command that is being carried out.
	running uint32
	// bytes is about what all this takes in the database.
	bytes int

	memory     []byte // of values that were someone else's
	order      []keyPlace
	key, value []byte // memory to encode in
}

// change is the latest record of a key; one that does not exist is a deletion. history is the place of the newest version that it superseded, -1 if there is none.
type change struct {
	key     string
	record  record
	history int32
}

// superseded is a version that is not the latest any more, a tombstone if the record does not exist, and the place of the one before it.
type superseded struct {
	record record
	older  int32
}

// note says which key a revision changed.
type note struct {
	at   revision
	kind changeKind
	key  string
}

// setting is a changed one; without a value it is removed.
type setting struct{ name, value []byte }

type keyPlace struct {
	key   string
	place int32
}

// pairOverhead is about what a pair takes beside the user's key and value.
const pairOverhead = 40

// get returns what is known of a key without the database. The record is valid until clear.
func (p *pending) get(key []byte) (record, bool) {
	if p == nil {
		return record{}, false
	}
	if place, changed := p.index[string(key)]; changed {
		return p.changes[place].record, true
	}
	return p.recent.get(key)
}

// keep copies a value that would not last.
func (p *pending) keep(value []byte) []byte {
	start := len(p.memory)
	p.memory = append(p.memory, value...) // where it moves, what was kept before stays in the old place
	return p.memory[start:len(p.memory):len(p.memory)]
}

// replace makes next the latest record of a key. The previous one becomes history if it exists.
func (p *pending) replace(key string, previous, next record) {
	place, changed := p.index[key]
	if !changed {
		place = int32(len(p.changes))
		p.changes = append(p.changes, change{key: key, history: -1})
		p.index[key] = place
		p.bytes += len(key) + pairOverhead
	}
	c := &p.changes[place]
	p.bytes += len(next.value) - len(c.record.value)
	c.record = next
	if previous.exists() {
		p.supersede(c, previous)
	}
}

// bury adds the tombstone of a key that replace has just deleted.
func (p *pending) bury(key string, at revision) {
	p.supersede(&p.changes[p.index[key]], record{changed: at})
}

func (p *pending) supersede(c *change, r record) {
	p.history = append(p.history, superseded{record: r, older: c.history})
	c.history = int32(len(p.history) - 1)
	p.bytes += len(c.key) + len(r.value) + pairOverhead
}

// note keeps which key a revision changed.
func (p *pending) note(at revision, kind changeKind, key string) {
	p.notes = append(p.notes, note{at, kind, key})
	p.bytes += len(key) + pairOverhead
}

func (p *pending) set(name, value []byte) {
	p.settings = append(p.settings, setting{name, value})
	p.bytes += len(name) + len(value) + pairOverhead
}

// records is how many keys all this has in the database, with that of the state.
func (p *pending) records() int {
	return len(p.changes) + len(p.history) + len(p.notes) + len(p.settings) + 1
}

// write adds all of it to a batch, and the state that it leads to.
func (p *pending) write(b *pebble.Batch, st state) error {
	p.sort()
	// Within a key versions ascend from the newest to the oldest, as the list of what was superseded goes.
	for _, k := range p.order {
		at := p.changes[k.place].history
		if at < 0 {
			continue
		}
		p.value = append(p.value[:0], k.key...)
		p.key = appendHistoryPrefix(p.key[:0], p.value)
		for prefix := len(p.key); at >= 0; at = p.history[at].older {
			r := &p.history[at].record
			p.key = appendHistoryRevision(p.key[:prefix], r.changed)
			if err := p.setRecord(b, r); err != nil {
				return err
			}
		}
	}
	for _, k := range p.order {
		p.key = append(append(p.key[:0], prefixLatest), k.key...)
		r := &p.changes[k.place].record
		var err error
		if r.exists() {
			err = p.setRecord(b, r)
		} else {
			err = b.Delete(p.key, nil)
		}
		if err != nil {
			return err
		}
	}
	for _, s := range p.settings {
		p.key = append(append(p.key[:0], prefixSetting), s.name...)
		var err error
		if len(s.value) == 0 {
			err = b.Delete(p.key, nil)
		} else {
			err = b.Set(p.key, s.value, nil)
		}
		if err != nil {
			return err
		}
	}
	for i := range p.notes {
		n := &p.notes[i]
		p.key = appendRevisionKey(p.key[:0], n.at)
		op := b.SetDeferred(len(p.key), 1+len(n.key))
		copy(op.Key, p.key)
		op.Value[0] = byte(n.kind)
		copy(op.Value[1:], n.key)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	p.value = st.append(p.value[:0])
	return b.Set(stateKey, p.value, nil)
}

// sort puts the places of the changed keys into the keys' order.
func (p *pending) sort() {
	for i := range p.changes {
		p.order = append(p.order, keyPlace{p.changes[i].key, int32(i)})
	}
	slices.SortFunc(p.order, func(a, b keyPlace) int { return cmp.Compare(a.key, b.key) })
}

// setRecord writes a record at p.key, and nothing for a tombstone.
func (p *pending) setRecord(b *pebble.Batch, r *record) error {
	p.value = p.value[:0]
	if r.exists() {
		p.value = r.appendHead(p.value)
	}
	op := b.SetDeferred(len(p.key), len(p.value)+len(r.value))
	copy(op.Key, p.key)
	copy(op.Value[copy(op.Value, p.value):], r.value)
	return op.Finish()
}

// The most memory that is kept for what is changed next.
const (
	maxKeptChanges = 16 << 10
	maxKeptMemory  = maxBatchBytes
)

// clear forgets what has been written, and remembers the latest records as what the database has.
func (p *pending) clear() {
	for i := range p.changes {
		p.recent.put(p.changes[i].key, p.changes[i].record)
	}
	recent := p.recent
	if len(p.changes) > maxKeptChanges || len(p.history) > maxKeptChanges || cap(p.memory) > maxKeptMemory {
		*p = pending{}
	}
	clear(p.index)
	clear(p.changes)
	clear(p.history)
	clear(p.notes)
	clear(p.settings)
	clear(p.order)
	*p = pending{
		index: p.index, changes: p.changes[:0], history: p.history[:0], notes: p.notes[:0], settings: p.settings[:0], order: p.order[:0],
		memory: p.memory[:0], key: p.key, value: p.value, recent: recent,
	}
	if p.index == nil {
		p.index = make(map[string]int32)
	}
}
