// Package browser tests the lab's page in a real browser, Chromium, against both hosts: the engine in Go behind a WebSocket, and the static site with the engine
// as WebAssembly. There is nothing here but tests. They need Chromium, which "make test" installs on Debian; where it is elsewhere, BALSA_CHROMIUM names it.
//
// testdata/axe.min.js is axe-core 4.14.1 by Deque Systems (MPL-2.0, https://github.com/dequelabs/axe-core), unchanged.
package browser
