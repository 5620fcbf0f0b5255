package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	// Under the race detector every process would linger for a second at its end.
	os.Setenv("GORACE", raceOptions)
	if os.Getenv("BALSA_TIMEOUT") == "" { // The binary comes through here too. Its 5 s are not much on a busy machine.
		os.Setenv("BALSA_TIMEOUT", limit.String())
	}
	testscript.Main(m, map[string]func(){"balsa": main})
}

const raceOptions = "atexit_sleep_ms=0"

// TestScripts runs the binary as a user does. The scripts are named after what they claim.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               func(env *testscript.Env) error { env.Setenv("GORACE", raceOptions); return nil },
	})
}

// exits is the script command `exits CODE COMMAND [ARG...]`: it runs the command and fails unless that ends with the exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
