package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/balsa-raft/balsa/sim"
)

// ReadRun reads a run from a file: one that the page has exported, or the replay file of a failure that a campaign has found. The latter is shown at the
// moment when it went wrong.
func ReadRun(text []byte) (*Run, error) {
	var kind struct {
		Version int `json:"v"`
		Format  int `json:"format"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return nil, fmt.Errorf("neither a run of the lab nor a replay file: %w", err)
	}
	if kind.Format != 0 {
		return readReplay(text)
	}
	if kind.Version != Version {
		return nil, fmt.Errorf("a run of version %d, and this is written for version %d", kind.Version, Version)
	}
	var r Run
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("not a run of the lab: %w", err)
	}
	return &r, nil
}

func readReplay(text []byte) (*Run, error) {
	replay, err := sim.ReadReplay(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if replay.Machine != "" {
		return nil, errors.New("this failure was found with a state machine of another program, which the lab does not have")
	}
	options, err := json.Marshal(&replay.Options)
	if err != nil {
		return nil, err
	}
	return &Run{
		Version: Version, Seed: replay.Seed, Campaign: options, Moment: &Point{T: int64(replay.At), N: replay.Events},
		Trace: strings.Repeat("0", 16-min(len(replay.Trace), 16)) + replay.Trace,
	}, nil
}

// Replay replays a run until a point, or if that is nil to its moment or its last input, and returns where it is then; tell, if not nil, gets every line of its story. An error also says where the run goes
// another way than when it was written down.
func Replay(run *Run, until *Point, tell func(line string)) (*State, error) {
	e := &Engine{tell: tell}
	if err := e.load(*run, until, 0); err != nil {
		return nil, err
	}
	s := e.state()
	if run.Trace != "" && run.Moment != nil && until == nil && s.Hash != run.Trace {
		return s, fmt.Errorf("the run goes another way than when it was written down: its trace is %s and was %s", s.Hash, run.Trace)
	}
	return s, nil
}
