// Package page holds the files of the lab's page, as they are built: the same for every host. A host adds one file of its own, engine.js, through which
// the page reaches the engine.
package page

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files are the files of the page, index.html among them.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // dist is embedded.
	}
	return files
}
