package sim

import (
	"bytes"
	"fmt"

	"github.com/balsa-raft/balsa/raft"
)

// byHandRot is the name of the damage that somebody asked for.
const byHandRot = "rot by hand"

// Lie has a member's disk say of every fsync that it is done, though it is not: what is written from now on is lost when the power goes. Or it ends that, and
// the next fsync is done for all that was not.
func (w *World) Lie(id raft.MemberID, lies bool) error {
	h := w.hostOf(id)
	if h == nil {
		return fmt.Errorf("there is no member %d", id)
	}
	if h.disk.liar == lies {
		return fmt.Errorf("the disk of member %d does so already", id)
	}
	h.disk.liar = lies
	if lies {
		h.note(noteFault, "the disk lies from now on: it says that it has synced, and has not")
	} else {
		h.note(noteFault, "the disk is honest again")
	}
	return nil
}

// Rot flips a bit of an entry on a member's disk, wherever the disk has it. The process notices when it reads the entry, at its next start at the latest.
func (w *World) Rot(id raft.MemberID, index raft.Index) error {
	h := w.hostOf(id)
	if h == nil {
		return fmt.Errorf("there is no member %d", id)
	}
	v := h.members[0].view()
	i := int(index) - int(v.Base) - 1
	if i < 0 || i >= len(v.Entries) || index > v.Status.Durable {
		return fmt.Errorf("the disk of member %d has no entry %d", id, index)
	}
	data := v.Entries[i].Data
	if len(data) == 0 {
		return fmt.Errorf("entry %d is empty: nothing of it can rot but its frame; choose one with a command", index)
	}
	hit := false
	for _, name := range h.disk.segments() {
		f := h.disk.files[name]
		for at := 0; ; {
			next := bytes.Index(f.now[at:], data)
			if next < 0 {
				break
			}
			at += next
			if n := int64(at) / sectorSize; f.dirty[n] == nil && f.beneath[n] == nil {
				f.now[at] ^= 1
				h.disk.hurt(byHandRot, f, int64(at), int64(at)+1)
				hit = true
			}
			at += len(data)
		}
	}
	if !hit {
		return fmt.Errorf("entry %d is not on the disk of member %d yet", index, id)
	}
	h.members[0].face.disk = nil
	h.note(noteFault, "a bit of entry %d rots on the disk", index)
	return nil
}
