package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

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
	}, nil
}
