package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestClusterScripts runs the client's commands against a member that runs. Each script has a new one to itself, m1, which BALSA_ENDPOINTS names.
func TestClusterScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/cluster/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts (%v)", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			s := newServer(t, "m1")
			s.start(t)
			testscript.Run(t, testscript.Params{
				Files:               []string{script},
				Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
				RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					env.Setenv("GORACE", raceOptions)
					env.Setenv("BALSA_ENDPOINTS", s.client)
					env.Setenv("CLIENT", s.client)
					env.Setenv("PEER", s.peer)
					return nil
				},
			})
		})
	}
}
