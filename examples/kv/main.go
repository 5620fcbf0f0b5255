// Kv is a replicated map over HTTP: GET, PUT and DELETE /key on any of its members.
//
//	go run ./examples/kv -id 1 & go run ./examples/kv -id 2 & go run ./examples/kv -id 3 &
//	curl -X PUT -d hello localhost:8001/greeting
//	curl localhost:8003/greeting
//
// Member n serves HTTP at the n-th of -http, and its peers at the n-th of -peers.
package main

import (
	"encoding/gob"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/balsa-raft/balsa"
)

// store is the state machine: a map that the HTTP handlers read and only Apply changes.
type store struct {
	mu   sync.RWMutex
	data map[string]string
}

// command is what is replicated.
type command struct {
	Key    string
	Value  string
	Delete bool
}

func (s *store) Apply(entries []balsa.Entry) []balsa.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		var c command
		if json.Unmarshal(e.Data, &c) != nil {
			continue // the same on every member, so it is safe to pass over
		}
		if c.Delete {
			delete(s.data, c.Key)
		} else {
			s.data[c.Key] = c.Value
		}
	}
	return make([]balsa.Result, len(entries))
}

func (s *store) Snapshot() (balsa.SnapshotWriter, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return snapshot(maps.Clone(s.data)), nil
}

func (s *store) Restore(r io.Reader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = map[string]string{}
	return gob.NewDecoder(r).Decode(&s.data)
}

// snapshot is a copy of the map, written while the original changes on.
type snapshot map[string]string

func (s snapshot) WriteTo(w io.Writer) (int64, error) {
	return 0, gob.NewEncoder(w).Encode(map[string]string(s))
}

func (s snapshot) Close() error { return nil }

// server answers HTTP from the local copy, after making sure that it is current.
type server struct {
	group *balsa.Group
	store *store
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	switch r.Method {
	case http.MethodGet:
		if err := s.group.ReadBarrier(r.Context()); err != nil {
			fail(w, err)
			return
		}
		s.store.mu.RLock()
		value, ok := s.store.data[key]
		s.store.mu.RUnlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, value)
	case http.MethodPut, http.MethodDelete:
		value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		data, err := json.Marshal(command{Key: key, Value: string(value), Delete: r.Method == http.MethodDelete})
		if err == nil {
			_, err = s.group.Propose(r.Context(), data)
		}
		if err != nil {
			fail(w, err)
		}
	default:
		http.Error(w, "use GET, PUT or DELETE", http.StatusMethodNotAllowed)
	}
}

// fail tells the client whether trying again is safe.
func fail(w http.ResponseWriter, err error) {
	if errors.Is(err, balsa.ErrIndeterminate) {
		http.Error(w, err.Error(), http.StatusGatewayTimeout) // it may have happened
		return
	}
	http.Error(w, err.Error(), http.StatusServiceUnavailable)
}

func main() {
	id := flag.Int("id", 1, "which member this is, counted from 1")
	peers := flag.String("peers", "127.0.0.1:8101,127.0.0.1:8102,127.0.0.1:8103", "where the members talk to each other")
	https := flag.String("http", "127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003", "where they serve HTTP")
	flag.Parse()
	var members []balsa.Member
	for i, address := range strings.Split(*peers, ",") {
		members = append(members, balsa.Member{ID: balsa.MemberID(i + 1), Address: address})
	}
	host, err := balsa.Open(balsa.Options{Dir: fmt.Sprintf("kv-%d", *id), Listen: members[*id-1].Address})
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()
	s := &store{data: map[string]string{}}
	group, err := host.Start(1, members, s)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(strings.Split(*https, ",")[*id-1], &server{group: group, store: s}))
}
