package client

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/term"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

// An operation is built from flags and arguments in two places, as a command of its own and as a line of a transaction. These types
// are what both share.

type putFlags struct {
	lease                            string
	prevKV, ignoreValue, ignoreLease bool
}

func (f *putFlags) register(flags *pflag.FlagSet) {
	flags.BoolVar(&f.prevKV, "prev-kv", false, "print the pair that was there before")
	flags.BoolVar(&f.ignoreValue, "ignore-value", false, "keep the value, renew the rest")
	flags.StringVar(&f.lease, "lease", "", "attach the key to this lease (hexadecimal)")
	flags.BoolVar(&f.ignoreLease, "ignore-lease", false, "keep the key's lease")
}

func (f *putFlags) op(args []string) (clientv3.Op, error) {
	if f.ignoreValue && len(args) != 1 || !f.ignoreValue && len(args) != 2 {
		return clientv3.Op{}, cli.Usagef("put needs a key and a value (with --ignore-value a key alone); quote what contains spaces")
	}
	var options []clientv3.OpOption
	if f.lease != "" {
		id, err := parseID(f.lease)
		if err != nil {
			return clientv3.Op{}, cli.Usagef("--lease=%s is not a lease: it has to be a hexadecimal number", f.lease)
		}
		options = append(options, clientv3.WithLease(clientv3.LeaseID(id)))
	}
	if f.prevKV {
		options = append(options, clientv3.WithPrevKV())
	}
	if f.ignoreLease {
		options = append(options, clientv3.WithIgnoreLease())
	}
	if f.ignoreValue {
		return clientv3.OpPut(args[0], "", append(options, clientv3.WithIgnoreValue())...), nil
	}
	return clientv3.OpPut(args[0], args[1], options...), nil
}

type getFlags struct {
	prefix, fromKey, serializable, keysOnly, countOnly bool
	revision, limit                                    int64
	minMod, maxMod, minCreate, maxCreate               int64
	sortBy, order                                      string
}

func (f *getFlags) register(flags *pflag.FlagSet) {
	flags.BoolVar(&f.prefix, "prefix", false, "all keys that begin with KEY")
	flags.BoolVar(&f.fromKey, "from-key", false, "all keys at or after KEY")
	flags.Int64Var(&f.revision, "rev", 0, "as it was at this revision (0: now)")
	flags.Int64Var(&f.limit, "limit", 0, "at most so many keys (0: all)")
	flags.BoolVar(&f.keysOnly, "keys-only", false, "print keys without values")
	flags.BoolVar(&f.countOnly, "count-only", false, "print only how many keys there are")
	flags.BoolVar(&f.serializable, "serializable", false, "answer from the asked member's own state: fast, maybe stale, works without a leader")
	flags.StringVar(&f.sortBy, "sort-by", "", "sort by key, value, version, create or modify")
	flags.StringVar(&f.order, "order", "", "ascend or descend")
	flags.Int64Var(&f.minMod, "min-mod-rev", 0, "only keys modified at or after this revision")
	flags.Int64Var(&f.maxMod, "max-mod-rev", 0, "only keys modified at or before this revision")
	flags.Int64Var(&f.minCreate, "min-create-rev", 0, "only keys created at or after this revision")
	flags.Int64Var(&f.maxCreate, "max-create-rev", 0, "only keys created at or before this revision")
}

var sortTargets = map[string]clientv3.SortTarget{
	"key": clientv3.SortByKey, "value": clientv3.SortByValue, "version": clientv3.SortByVersion,
	"create": clientv3.SortByCreateRevision, "modify": clientv3.SortByModRevision,
}

var sortOrders = map[string]clientv3.SortOrder{
	"": clientv3.SortNone, "ascend": clientv3.SortAscend, "descend": clientv3.SortDescend,
}

func (f *getFlags) op(args []string) (clientv3.Op, error) {
	options, err := span("get", args, f.prefix, f.fromKey)
	if err != nil {
		return clientv3.Op{}, err
	}
	order, known := sortOrders[strings.ToLower(f.order)]
	if !known {
		return clientv3.Op{}, cli.Usagef("--order=%s: choose ascend or descend", f.order)
	}
	if f.sortBy != "" || f.order != "" {
		target, known := sortTargets[strings.ToLower(f.sortBy)]
		if !known && f.sortBy != "" {
			return clientv3.Op{}, cli.Usagef("--sort-by=%s: choose one of key, value, version, create or modify", f.sortBy)
		}
		options = append(options, clientv3.WithSort(target, order))
	}
	if f.serializable {
		options = append(options, clientv3.WithSerializable())
	}
	if f.keysOnly {
		options = append(options, clientv3.WithKeysOnly())
	}
	if f.countOnly {
		options = append(options, clientv3.WithCountOnly())
	}
	if f.limit < 0 {
		return clientv3.Op{}, cli.Usagef("--limit=%d: must not be negative", f.limit)
	}
	options = append(options, clientv3.WithRev(f.revision), clientv3.WithLimit(f.limit),
		clientv3.WithMinModRev(f.minMod), clientv3.WithMaxModRev(f.maxMod),
		clientv3.WithMinCreateRev(f.minCreate), clientv3.WithMaxCreateRev(f.maxCreate))
	return clientv3.OpGet(args[0], options...), nil
}

type delFlags struct{ prefix, fromKey, prevKV bool }

func (f *delFlags) register(flags *pflag.FlagSet) {
	flags.BoolVar(&f.prefix, "prefix", false, "all keys that begin with KEY")
	flags.BoolVar(&f.fromKey, "from-key", false, "all keys at or after KEY")
	flags.BoolVar(&f.prevKV, "prev-kv", false, "print the pairs that were deleted")
}

func (f *delFlags) op(args []string) (clientv3.Op, error) {
	options, err := span("del", args, f.prefix, f.fromKey)
	if err != nil {
		return clientv3.Op{}, err
	}
	if f.prevKV {
		options = append(options, clientv3.WithPrevKV())
	}
	return clientv3.OpDelete(args[0], options...), nil
}

// span turns KEY [END] with --prefix or --from-key into the options for a range.
func span(name string, args []string, prefix, fromKey bool) ([]clientv3.OpOption, error) {
	switch {
	case len(args) == 0 || len(args) > 2:
		return nil, cli.Usagef("%s needs a key, or the first key and the one after the last", name)
	case prefix && fromKey:
		return nil, cli.Usagef("--prefix and --from-key exclude each other")
	case len(args) == 2 && (prefix || fromKey):
		return nil, cli.Usagef("%s KEY END is a range already: leave out --prefix and --from-key", name)
	case len(args) == 2:
		return []clientv3.OpOption{clientv3.WithRange(args[1])}, nil
	case prefix:
		return []clientv3.OpOption{clientv3.WithPrefix()}, nil
	case fromKey:
		return []clientv3.OpOption{clientv3.WithFromKey()}, nil
	case args[0] == "":
		return nil, cli.Usagef("the key is empty: with --prefix the empty key means all keys")
	}
	return nil, nil
}

func putCommand() *cobra.Command {
	var f putFlags
	cmd := &cobra.Command{
		Use:   "put KEY [VALUE]",
		Short: "Write a key",
		Long: "Write a key. Without VALUE the value is read from standard input. A value that begins with a dash follows two dashes.\n\n" +
			"It returns once a majority of the members has the write on disk.",
		Example: `  balsa put greeting hello
  balsa put config < config.yaml
  balsa put temperature -- -5
  balsa put greeting hi --prev-kv          print what was there before`,
		Args: cobra.RangeArgs(1, 2),
	}
	f.register(cmd.Flags())
	o := addOptions(cmd, formSimple)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && !f.ignoreValue {
			value, err := readValue(cmd.InOrStdin())
			if err != nil {
				return err
			}
			args = append(args, value)
		}
		op, err := f.op(args)
		if err != nil {
			return err
		}
		return o.run(cmd, true, func(s *session) error {
			response, err := s.Do(s.ctx, op)
			if err != nil {
				return err
			}
			return s.printer.put((*pb.PutResponse)(response.Put()))
		})
	}
	return cmd
}

// readValue reads a value from standard input, unless a person sits there who expects the command to be complete.
func readValue(in io.Reader) (string, error) {
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return "", cli.Usagef("put needs a value: give it after the key, or on standard input")
	}
	value, err := io.ReadAll(in)
	if err != nil {
		return "", fmt.Errorf("reading the value from standard input: %w", err)
	}
	return string(value), nil
}

func getCommand() *cobra.Command {
	var f getFlags
	var valueOnly bool
	cmd := &cobra.Command{
		Use:   "get KEY [END]",
		Short: "Read keys",
		Long: `Read a key, or all keys from KEY up to but without END.

The simple form prints a line with the key and a line with the value. A key that does not
exist prints nothing and is no error. Reads are linearizable: they see every write that was
acknowledged before, whichever member is asked.`,
		Example: `  balsa get greeting
  balsa get --prefix user/ -o table
  balsa get --prefix '' --count-only
  balsa get a c                            keys from a up to but without c
  balsa get greeting --rev 5               as it was at revision 5
  balsa get greeting --print-value-only`,
		Args: cobra.RangeArgs(1, 2),
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&valueOnly, "print-value-only", false, "print values without keys")
	o := addOptions(cmd, formSimple)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		op, err := f.op(args)
		if err != nil {
			return err
		}
		if valueOnly && (f.keysOnly || f.countOnly) {
			return cli.Usagef("--print-value-only excludes --keys-only and --count-only")
		}
		return o.run(cmd, false, func(s *session) error {
			response, err := s.Do(s.ctx, op)
			if err != nil {
				return err
			}
			got := (*pb.RangeResponse)(response.Get())
			if valueOnly && s.output == formSimple {
				return s.printer.values(got.Kvs)
			}
			return s.printer.get(got, f.keysOnly, f.countOnly)
		})
	}
	return cmd
}

func delCommand() *cobra.Command {
	var f delFlags
	cmd := &cobra.Command{
		Use:     "del KEY [END]",
		Aliases: []string{"delete"},
		Short:   "Delete keys",
		Long:    "Delete a key, or all keys from KEY up to but without END. The simple form prints how many there were.",
		Example: `  balsa del greeting
  balsa del --prefix user/
  balsa del --prefix '' --prev-kv          everything, and print it`,
		Args: cobra.RangeArgs(1, 2),
	}
	f.register(cmd.Flags())
	o := addOptions(cmd, formSimple)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		op, err := f.op(args)
		if err != nil {
			return err
		}
		return o.run(cmd, true, func(s *session) error {
			response, err := s.Do(s.ctx, op)
			if err != nil {
				return err
			}
			return s.printer.del((*pb.DeleteRangeResponse)(response.Del()))
		})
	}
	return cmd
}

func compactCommand() *cobra.Command {
	var physical bool
	cmd := &cobra.Command{
		Use:   "compact REVISION",
		Short: "Forget what keys were before a revision",
		Long: `Forget superseded values and deleted keys up to REVISION. Reads at an older revision then fail; what keys
are now is never touched.`,
		Example: `  balsa compact 1000
  balsa compact 1000 --physical            wait until the space is free`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&physical, "physical", false, "return only when the old values are gone from the database")
	o := addOptions(cmd, formSimple)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		revision, err := parseRevision(args[0])
		if err != nil {
			return err
		}
		return o.run(cmd, true, func(s *session) error {
			var options []clientv3.CompactOption
			if physical {
				options = append(options, clientv3.WithCompactPhysical())
			}
			response, err := s.Compact(s.ctx, revision, options...)
			if err != nil {
				return err
			}
			if s.output == formJSON {
				return s.printer.json(response)
			}
			return s.printer.line("compacted revision %d", revision)
		})
	}
	return cmd
}

func (p *printer) put(r *pb.PutResponse) error {
	switch p.form {
	case formJSON:
		return p.json(r)
	case formTable:
		t := newTable("REVISION", "PREVIOUS VALUE")
		previous := ""
		if r.PrevKv != nil {
			previous = cell(r.PrevKv.Value)
		}
		t.add(number(r.Header.GetRevision()), previous)
		return t.write(p.w)
	}
	if err := p.line("OK"); err != nil || r.PrevKv == nil {
		return err
	}
	return p.pairs([]*mvccpb.KeyValue{r.PrevKv}, false)
}

func (p *printer) get(r *pb.RangeResponse, keysOnly, countOnly bool) error {
	switch {
	case p.form == formJSON:
		return p.json(r)
	case countOnly:
		return p.line("%d", r.Count)
	}
	if err := p.pairs(r.Kvs, keysOnly); err != nil {
		return err
	}
	if r.More && p.form == formTable {
		return p.line("%d of %d keys", len(r.Kvs), r.Count)
	}
	return nil
}

func (p *printer) del(r *pb.DeleteRangeResponse) error {
	if p.form == formJSON {
		return p.json(r)
	}
	if p.form == formTable && len(r.PrevKvs) == 0 {
		t := newTable("REVISION", "DELETED")
		t.add(number(r.Header.GetRevision()), number(r.Deleted))
		return t.write(p.w)
	}
	if err := p.line("%d", r.Deleted); err != nil {
		return err
	}
	return p.pairs(r.PrevKvs, false)
}

func (p *printer) pairs(kvs []*mvccpb.KeyValue, keysOnly bool) error {
	if p.form == formTable {
		t := newTable("KEY", "VALUE", "VERSION", "CREATED", "MODIFIED")
		if keysOnly {
			t = newTable("KEY", "VERSION", "CREATED", "MODIFIED")
		}
		for _, kv := range kvs {
			row := []string{cell(kv.Key), cell(kv.Value), number(kv.Version), number(kv.CreateRevision), number(kv.ModRevision)}
			if keysOnly {
				row = append(row[:1], row[2:]...)
			}
			t.add(row...)
		}
		return t.write(p.w)
	}
	for _, kv := range kvs {
		text := string(kv.Key) + "\n"
		if !keysOnly {
			text += string(kv.Value) + "\n"
		}
		if _, err := io.WriteString(p.w, text); err != nil {
			return err
		}
	}
	return nil
}

func (p *printer) values(kvs []*mvccpb.KeyValue) error {
	for _, kv := range kvs {
		if _, err := io.WriteString(p.w, string(kv.Value)+"\n"); err != nil {
			return err
		}
	}
	return nil
}
