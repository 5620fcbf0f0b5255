//go:build !unix

package serve

import (
	"errors"
	"os"
)

var errLocked = errors.New("locked by another process")

// lockExclusively does nothing here: the log and the database in the directory lock themselves.
func lockExclusively(*os.File) error { return nil }
