package client

import (
	"os"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/term"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

const txnLong = `Compare keys and, in one step that nothing else can come between, do one list of operations
when all comparisons hold, or another when one does not.

Comparisons:  value(KEY) = VALUE     also version, create, mod (revisions) and lease; = != < >
Operations:   put KEY VALUE          get KEY [END]          del KEY [END]
              with the flags that the commands put, get and del have

Give them as flags, each as often as needed, or on standard input in three parts that an empty
line separates: comparisons, operations when they hold, operations when not. Quote keys and
values that contain spaces or parentheses; "double quotes" know escapes, 'single quotes' none.

The first line of the simple form says SUCCESS when the comparisons held, else FAILURE; both are
exit code 0.`

const txnExample = `  balsa txn --if 'version(lock) = 0' --then 'put lock mine' --else 'get lock'
  balsa txn --then 'put a 1' --then 'put b 2'
  balsa txn <<'.'
  value(balance) > "100"

  put balance 50
  get balance

  get balance
  .`

func txnCommand() *cobra.Command {
	var compares, success, failure []string
	cmd := &cobra.Command{
		Use:     "txn",
		Short:   "Compare and change several keys in one step",
		Long:    txnLong,
		Example: txnExample,
		Args:    cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&compares, "if", nil, "a comparison that has to hold")
	flags.StringArrayVar(&success, "then", nil, "an operation for when all comparisons hold")
	flags.StringArrayVar(&failure, "else", nil, "an operation for when one does not")
	o := addOptions(cmd, formSimple)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var t *script
		var err error
		if len(compares)+len(success)+len(failure) > 0 {
			t, err = parseScript(compares, success, failure)
		} else {
			in := cmd.InOrStdin()
			if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
				cmd.PrintErrln("Comparisons, operations when they hold, operations when not; an empty line after each part, ctrl-D at the end:")
			}
			t, err = readScript(in)
		}
		if err != nil {
			return err
		}
		if len(t.compares)+len(t.success)+len(t.failure) == 0 {
			return cli.Usagef("the transaction is empty: give --if, --then and --else, or write it on standard input")
		}
		return o.run(cmd, t.writes(), func(s *session) error {
			response, err := s.Txn(s.ctx).If(t.compares...).Then(t.success...).Else(t.failure...).Commit()
			if err != nil {
				return err
			}
			return s.printer.txn((*pb.TxnResponse)(response))
		})
	}
	return cmd
}

// writes says whether the transaction may change anything.
func (s *script) writes() bool {
	for _, op := range append(s.success, s.failure...) {
		if !op.IsGet() {
			return true
		}
	}
	return false
}

func (p *printer) txn(r *pb.TxnResponse) error {
	if p.form == formJSON {
		return p.json(txnJSON(r))
	}
	outcome := "FAILURE"
	if r.Succeeded {
		outcome = "SUCCESS"
	}
	if err := p.line("%s", outcome); err != nil {
		return err
	}
	for _, op := range r.Responses {
		if err := p.line(""); err != nil {
			return err
		}
		if err := p.operation(op); err != nil {
			return err
		}
	}
	return nil
}

func (p *printer) operation(op *pb.ResponseOp) error {
	switch r := op.Response.(type) {
	case *pb.ResponseOp_ResponsePut:
		return p.put(r.ResponsePut)
	case *pb.ResponseOp_ResponseRange:
		if p.form == formTable {
			return p.get(r.ResponseRange, false, false)
		}
		return p.get(r.ResponseRange, false, len(r.ResponseRange.Kvs) == 0 && r.ResponseRange.Count > 0)
	case *pb.ResponseOp_ResponseDeleteRange:
		return p.del(r.ResponseDeleteRange)
	case *pb.ResponseOp_ResponseTxn:
		return p.txn(r.ResponseTxn)
	}
	return nil
}

// txnJSON and opJSON give a transaction's answer the shape in which etcdctl prints it.
func txnJSON(r *pb.TxnResponse) any {
	type opJSON struct {
		Range  *pb.RangeResponse       `json:"response_range,omitempty"`
		Put    *pb.PutResponse         `json:"response_put,omitempty"`
		Delete *pb.DeleteRangeResponse `json:"response_delete_range,omitempty"`
		Txn    any                     `json:"response_txn,omitempty"`
	}
	type response struct {
		Response opJSON `json:"Response"`
	}
	out := struct {
		Header    *pb.ResponseHeader `json:"header,omitempty"`
		Succeeded bool               `json:"succeeded"`
		Responses []response         `json:"responses,omitempty"`
	}{Header: r.Header, Succeeded: r.Succeeded}
	for _, op := range r.Responses {
		one := opJSON{Range: op.GetResponseRange(), Put: op.GetResponsePut(), Delete: op.GetResponseDeleteRange()}
		if inner := op.GetResponseTxn(); inner != nil {
			one.Txn = txnJSON(inner)
		}
		out.Responses = append(out.Responses, response{one})
	}
	return out
}
