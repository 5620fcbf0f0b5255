// Package client is balsa's command line for those who use a cluster: keys, transactions, members, status, snapshots.
//
// It is written on etcd's own client library, so each command also is a check that a foreign client is served well. It keeps
// no state and has no way into the server but the public API. Answers go to standard output, in one of three forms; errors to standard
// error, with what to do next.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

// AddCommands adds every client command to the root.
func AddCommands(root *cobra.Command) {
	for _, command := range []func() *cobra.Command{putCommand, getCommand, delCommand, txnCommand, compactCommand} {
		cmd := command()
		cmd.GroupID = cli.GroupKeys
		root.AddCommand(cmd)
	}
	for _, command := range []func() *cobra.Command{statusCommand, memberCommand, moveLeaderCommand, snapshotCommand} {
		cmd := command()
		cmd.GroupID = cli.GroupCluster
		root.AddCommand(cmd)
	}
}

// defaultEndpoint is where a server listens that was told nothing else.
const defaultEndpoint = "127.0.0.1:2379"

// options are the flags that all client commands share.
type options struct {
	endpoints []string
	output    string
	timeout   time.Duration
	// usual is the form of output that the command takes when none was asked for.
	usual string
}

// addOptions gives the command, and those below it, the shared flags.
func addOptions(cmd *cobra.Command, usual string) *options {
	o := &options{usual: usual}
	flags := cmd.PersistentFlags()
	flags.SortFlags = false
	flags.StringSliceVar(&o.endpoints, "endpoints", []string{defaultEndpoint}, "members to ask, comma separated: host:port or http://host:port")
	flags.StringVarP(&o.output, "output", "o", "", fmt.Sprintf("how to print: table, json or simple (default %s)", usual))
	flags.DurationVar(&o.timeout, "timeout", 5*time.Second, "how long to wait for an answer")
	cli.Environment(flags, "endpoints", "output", "timeout")
	return o
}

// check completes the options and reports what cannot be right.
func (o *options) check() error {
	switch o.output {
	case "":
		o.output = o.usual
	case formTable, formJSON, formSimple:
	default:
		return cli.Usagef("--output=%s: choose one of table, json or simple", o.output)
	}
	if o.timeout <= 0 {
		return cli.Usagef("--timeout=%v: has to be more than nothing, such as 5s", o.timeout)
	}
	if len(o.endpoints) == 0 {
		return cli.Usagef("--endpoints is empty: name at least one member, such as %s", defaultEndpoint)
	}
	for i, endpoint := range o.endpoints {
		address, err := parseEndpoint(endpoint)
		if err != nil {
			return err
		}
		o.endpoints[i] = address
	}
	return nil
}

// parseEndpoint turns host:port or http://host:port into host:port.
func parseEndpoint(endpoint string) (string, error) {
	address := strings.TrimSpace(endpoint)
	if scheme, rest, found := strings.Cut(address, "://"); found {
		if scheme == "https" {
			return "", cli.Usagef("endpoint %q: TLS is not supported yet, use http:// or a plain host:port", endpoint)
		}
		if scheme != "http" {
			return "", cli.Usagef("endpoint %q: the scheme %q is not known, use http:// or a plain host:port", endpoint, scheme)
		}
		u, err := url.Parse(address)
		if err != nil {
			return "", cli.Usagef("endpoint %q is malformed: %v", endpoint, err)
		}
		if u.Path != "" && u.Path != "/" || u.RawQuery != "" {
			return "", cli.Usagef("endpoint %q: %q has no place in it, use http://host:port", endpoint, rest)
		}
		address = u.Host
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return "", cli.Usagef("endpoint %q is malformed: it has to be host:port, such as %s", endpoint, defaultEndpoint)
	}
	return address, nil
}

// session is one command's connection to the cluster.
type session struct {
	*clientv3.Client
	*options
	printer *printer
	ctx     context.Context
}

// run connects, hands the session to do, and explains what went wrong. mutates says that do changes the cluster, so that a lost
// answer leaves open whether it happened.
func (o *options) run(cmd *cobra.Command, mutates bool, do func(s *session) error) error {
	if err := o.check(); err != nil {
		return err
	}
	if err := o.probe(cmd.Context()); err != nil {
		return err
	}
	c, err := o.dial(o.endpoints)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", strings.Join(o.endpoints, ", "), err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
	defer cancel()
	err = do(&session{Client: c, options: o, printer: newPrinter(cmd.OutOrStdout(), o.output), ctx: ctx})
	return o.explain(err, mutates)
}

// dial makes a client; it does not wait for a connection.
func (o *options) dial(endpoints []string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints:          endpoints,
		DialTimeout:        o.timeout,
		MaxCallSendMsgSize: 64 << 20, // the server's limit is the one that counts, and its error says which it is
		Logger:             zap.NewNop(),
	})
}

// probe fails at once, with the reasons, when nobody listens at any endpoint: the client library would keep trying in silence.
func (o *options) probe(ctx context.Context) error {
	reasons := make([]error, len(o.endpoints))
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	answered := make(chan bool, len(o.endpoints))
	for i, endpoint := range o.endpoints {
		go func() {
			conn, err := dialOnce(ctx, endpoint)
			if err == nil {
				conn.Close()
			}
			reasons[i] = err
			answered <- err == nil
		}()
	}
	for range o.endpoints {
		if <-answered {
			return nil
		}
	}
	return cli.Advise(fmt.Errorf("nobody answers%s", list(o.endpoints, reasons)),
		"Is the cluster running? `balsa demo` starts one here; --endpoints or BALSA_ENDPOINTS says where another one is.")
}

func dialOnce(ctx context.Context, endpoint string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", endpoint)
}

// list writes one line per endpoint and reason.
func list(endpoints []string, reasons []error) string {
	var b strings.Builder
	for i, endpoint := range endpoints {
		fmt.Fprintf(&b, "\n  %s: %s", endpoint, plainDialError(reasons[i]))
	}
	return b.String()
}

// plainDialError takes the address out of a dialling error: it stands in front of it already.
func plainDialError(err error) string {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Err != nil && !op.Timeout():
		return strings.TrimPrefix(op.Err.Error(), "connect: ")
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &op):
		return "no answer in time"
	default:
		return err.Error()
	}
}

// explain turns an error of the API into one that says what to do next.
func (o *options) explain(err error, mutates bool) error {
	if err == nil || cli.IsUsage(err) {
		return err
	}
	plain := rpctypes.Error(err)
	var etcd rpctypes.EtcdError
	text := err.Error()
	if errors.As(plain, &etcd) {
		text = etcd.Error()
	} else if s, ok := status.FromError(err); ok {
		text = s.Message()
	}
	code := errorCode(err)
	lost := code == codes.Unavailable || code == codes.DeadlineExceeded
	switch {
	case errors.Is(plain, rpctypes.ErrNoLeader):
		return cli.Advise(errors.New(text), "A majority of the members has to be up: `balsa status` shows who is.")
	case errors.Is(err, context.DeadlineExceeded) || code == codes.DeadlineExceeded && !errors.As(plain, &etcd):
		text = fmt.Sprintf("no answer within %v", o.timeout)
	case code == codes.Unimplemented:
		return fmt.Errorf("the server does not have this (yet): %s", text)
	case !lost:
		return errors.New(text)
	}
	if mutates {
		return cli.Advise(errors.New(text), "The change may or may not have been made: read before you try again. `balsa status` shows who is up.")
	}
	return cli.Advise(errors.New(text), "`balsa status` shows who is up.")
}

// errorCode is the gRPC code of an error, whichever way the client library dressed it.
func errorCode(err error) codes.Code {
	var etcd rpctypes.EtcdError
	if errors.As(err, &etcd) {
		return etcd.Code()
	}
	var grpc interface{ GRPCStatus() *status.Status }
	if errors.As(err, &grpc) {
		return grpc.GRPCStatus().Code()
	}
	return codes.Unknown
}

// each calls do for 0..n-1 at once and returns when all are done.
func each(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}
