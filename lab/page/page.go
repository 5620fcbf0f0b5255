// Package page holds the files of the lab's page, in web, as browsers get them: nothing is built. They are the same for every host, which adds one file
// of its own, engine.js, through which the page reaches the engine.
package page

import (
	"embed"
	"io/fs"
)

//go:embed all:web
var web embed.FS

// Files are the files of the page, index.html among them.
func Files() fs.FS {
	files, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // web is embedded.
	}
	return files
}
