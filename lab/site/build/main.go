// Command build writes the static site of the lab into a directory: see package site.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/balsa-raft/balsa/lab/site"
)

// maxSize is what a visitor may have to download at most.
const maxSize = 3 << 20

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: build DIRECTORY")
		os.Exit(2)
	}
	size, err := site.Build(context.Background(), os.Args[1])
	if err == nil && size > maxSize {
		err = fmt.Errorf("the site has %d bytes, and may have %d", size, maxSize)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
	fmt.Printf("%s: %d bytes to download\n", os.Args[1], size)
}
