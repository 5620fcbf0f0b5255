package client

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

// script is a transaction in words: if all comparisons hold, then one list of operations, else the other.
//
//	compare   = target "(" key ")" ("=" | "!=" | "<" | ">") value
//	target    = "value" | "version" | "create" | "mod" | "lease"
//	operation = "put" key value [flags] | "get" key [end] [flags] | "del" key [end] [flags]
//
// Keys and values with spaces or parentheses are quoted, by single quotes (nothing is special inside) or double quotes
// (with Go's escapes, such as \n, \" and \x00).
type script struct {
	compares         []clientv3.Cmp
	success, failure []clientv3.Op
}

// parseScript builds the transaction from its three lists of lines.
func parseScript(compares, success, failure []string) (*script, error) {
	s := &script{}
	for _, line := range compares {
		c, err := parseCompare(line)
		if err != nil {
			return nil, err
		}
		s.compares = append(s.compares, c)
	}
	for _, branch := range []struct {
		lines []string
		ops   *[]clientv3.Op
	}{{success, &s.success}, {failure, &s.failure}} {
		for _, line := range branch.lines {
			op, err := parseOperation(line)
			if err != nil {
				return nil, err
			}
			*branch.ops = append(*branch.ops, op)
		}
	}
	return s, nil
}

// readScript splits what etcdctl's users write: comparisons, an empty line, the operations for "then", an empty line, those for "else".
func readScript(r io.Reader) (*script, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading the transaction from standard input: %w", err)
	}
	var parts [3][]string
	part := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			part++
		case part >= len(parts):
			return nil, cli.Usagef("the transaction has text after its third part: %q", line)
		default:
			parts[part] = append(parts[part], line)
		}
	}
	return parseScript(parts[0], parts[1], parts[2])
}

// parseCompare reads one comparison, such as: version("a") > 0
func parseCompare(line string) (clientv3.Cmp, error) {
	var none clientv3.Cmp
	wrong := func(format string, args ...any) (clientv3.Cmp, error) {
		return none, cli.Usagef("the comparison %q is malformed: %s; an example: version(key) = 0", line, fmt.Sprintf(format, args...))
	}
	target, rest, found := strings.Cut(line, "(")
	if !found {
		return wrong("no '(' after the target")
	}
	key, rest, err := word(rest, ")")
	if err != nil {
		return wrong("%v", err)
	}
	rest, found = strings.CutPrefix(strings.TrimLeft(rest, " \t"), ")")
	if !found {
		return wrong("no ')' after the key")
	}
	rest = strings.TrimLeft(rest, " \t")
	operator := ""
	for _, known := range []string{"!=", "=", "<", ">"} {
		if after, ok := strings.CutPrefix(rest, known); ok {
			operator, rest = known, after
			break
		}
	}
	if operator == "" {
		return wrong("no '=', '!=', '<' or '>' after the key")
	}
	value, rest, err := word(rest, "")
	if err != nil {
		return wrong("%v", err)
	}
	if strings.TrimSpace(rest) != "" {
		return wrong("%q is too much", strings.TrimSpace(rest))
	}
	return compare(strings.ToLower(strings.TrimSpace(target)), key, operator, value, wrong)
}

// compare makes the comparison of a target with a value.
func compare(target, key, operator, value string, wrong func(string, ...any) (clientv3.Cmp, error)) (clientv3.Cmp, error) {
	if target == "value" || target == "val" {
		return clientv3.Compare(clientv3.Value(key), operator, value), nil
	}
	base := 10
	if target == "lease" {
		base = 16
	}
	n, err := strconv.ParseInt(value, base, 64)
	if err != nil {
		return wrong("%q is not a number in base %d", value, base)
	}
	switch target {
	case "version", "ver":
		return clientv3.Compare(clientv3.Version(key), operator, n), nil
	case "create", "c_rev":
		return clientv3.Compare(clientv3.CreateRevision(key), operator, n), nil
	case "mod", "m_rev":
		return clientv3.Compare(clientv3.ModRevision(key), operator, n), nil
	case "lease":
		return clientv3.Compare(clientv3.LeaseValue(key), operator, n), nil
	}
	return wrong("the target %q is none of value, version, create, mod, lease", target)
}

// parseOperation reads one operation, such as: put "a key" value --prev-kv
func parseOperation(line string) (clientv3.Op, error) {
	words, err := splitWords(line)
	if err != nil {
		return clientv3.Op{}, cli.Usagef("the operation %q is malformed: %v", line, err)
	}
	type builder interface {
		register(*pflag.FlagSet)
		op([]string) (clientv3.Op, error)
	}
	builders := map[string]builder{"put": &putFlags{}, "get": &getFlags{}, "del": &delFlags{}, "delete": &delFlags{}}
	b, known := builders[words[0]]
	if !known {
		return clientv3.Op{}, cli.Usagef("the operation %q is none of put, get, del", line)
	}
	flags := pflag.NewFlagSet(words[0], pflag.ContinueOnError)
	flags.Usage = func() {}
	b.register(flags)
	if err := flags.Parse(words[1:]); err != nil {
		return clientv3.Op{}, cli.Usagef("the operation %q is malformed: %v", line, err)
	}
	op, err := b.op(flags.Args())
	if err != nil {
		return clientv3.Op{}, cli.Usagef("the operation %q is malformed: %v", line, err)
	}
	return op, nil
}

// splitWords splits a line at spaces, outside of quotes. There is at least one word.
func splitWords(line string) ([]string, error) {
	var words []string
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		w, after, err := word(rest, "")
		if err != nil {
			return nil, err
		}
		words, rest = append(words, w), after
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("it is empty")
	}
	return words, nil
}

// word takes one word, quoted or not, off the front of the text. An unquoted word ends at a space or at one of the bytes of end.
func word(text, end string) (w, rest string, err error) {
	text = strings.TrimLeft(text, " \t")
	if text == "" {
		return "", "", fmt.Errorf("something is missing at the end")
	}
	switch text[0] {
	case '\'':
		w, rest, found := strings.Cut(text[1:], "'")
		if !found {
			return "", "", fmt.Errorf("a quote is not closed")
		}
		return w, rest, nil
	case '"':
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", "", fmt.Errorf("a double quote is not closed, or an escape in it is unknown")
		}
		w, err := strconv.Unquote(quoted)
		return w, text[len(quoted):], err
	}
	if i := strings.IndexAny(text, " \t"+end); i >= 0 {
		return text[:i], text[i:], nil
	}
	return text, "", nil
}
