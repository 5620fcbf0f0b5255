package kv

import (
	"errors"
	"fmt"
	"strings"
)

// dump is all that can be observed of a store, as text.
func dump(t fatal, s *Store) string {
	t.Helper()
	p, err := s.pin()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	hash, err := p.hash()
	fmt.Fprintf(&b, "applied=%d revision=%d compacted=%d hash=%08x\n", p.state.applied, p.state.revision, p.state.compacted, hash)
	err = errors.Join(err, p.eachVersion(p.state.revision, func(key []byte, at revision, encoded []byte) error {
		fmt.Fprintf(&b, "%q %d.%d %x\n", key, at.main, at.sub, encoded)
		return nil
	}))
	if err = errors.Join(err, p.close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
