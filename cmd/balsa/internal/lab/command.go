// Package lab is `balsa lab`: it serves the page in which one sees and breaks Raft, and runs the engine behind it.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/lab"
	"github.com/balsa-raft/balsa/lab/serve"
)

const long = `Serve the lab on this machine: a page in which one sees Raft at work, steers it and breaks it.
What runs behind the page is this very program's core, engine, write-ahead log and wire format,
in virtual time.

With a FILE it begins with what is in it: a run that was exported from the page, or a failure
that ` + "`balsa sim`" + ` has found, at the moment it went wrong.`

const example = `  balsa lab
  balsa lab failure.json
  balsa lab --listen 127.0.0.1:8080 --no-open`

type options struct {
	listen string
	noOpen bool
}

// AddCommand adds lab to the root.
func AddCommand(root *cobra.Command) {
	var o options
	cmd := &cobra.Command{
		Use: "lab [FILE]", Short: "See Raft in a page, steer it and break it", Long: long, Example: example,
		GroupID: cli.GroupRun, Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var open *lab.Run
			if len(args) == 1 {
				var err error
				if open, err = readRun(args[0]); err != nil {
					return err
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return run(ctx, o, open, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:0", "where to serve the page; port 0 is any that is free")
	cmd.Flags().BoolVar(&o.noOpen, "no-open", false, "do not open the page in a browser")
	root.AddCommand(cmd)
}

// readRun reads a run: the page's own, or the replay file of a failure.
func readRun(name string) (*lab.Run, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	r, err := lab.ReadRun(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

func run(ctx context.Context, o options, open *lab.Run, out io.Writer) error {
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return cli.Advise(fmt.Errorf("serve the lab: %w", err), "Choose another address with --listen, or leave it out.")
	}
	server := &http.Server{Handler: serve.New(serve.Options{Open: open}), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	url := "http://" + listener.Addr().String() + "/"
	fmt.Fprintf(out, "The lab is at %s\nctrl-C ends it.\n", url)
	if !o.noOpen {
		show(url)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve the lab: %w", err)
	case <-ctx.Done():
	}
	if err := server.Close(); err != nil {
		return err
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// show opens the page in a browser, if there is one; if not, the address on the screen has to do.
func show(url string) {
	name, args := "xdg-open", []string{url}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	if cmd := exec.Command(name, args...); cmd.Start() == nil {
		go func() { _ = cmd.Wait() }()
	}
}
