package serve

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

// explainFlagError answers who starts a member with the flags of an etcd: "unknown flag" would leave open whether it was misspelt, and what is lost without it.
func explainFlagError(_ *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	name := unknown.GetSpecifiedName()
	for _, missing := range etcdFlags {
		if slices.Contains(missing.names, name) || missing.prefix != "" && strings.HasPrefix(name, missing.prefix) {
			return cli.Usagef("balsa does not have etcd's --%s%s: %s", name, missing.when, missing.instead)
		}
	}
	return err
}

// etcdFlags are the flags of etcd 3.5 to 3.7 that a member here does not take, by what there is instead; the first that fits counts.
var etcdFlags = []struct {
	names   []string
	prefix  string // stands for all flags that begin with it
	when    string
	instead string
}{
	{names: []string{"quota-backend-bytes"}, when: " yet",
		instead: "the database has no quota, so watch the disk's free space, and `balsa compact` from time to time"},
	{prefix: "auto-compaction-", when: " yet",
		instead: "old revisions stay until somebody compacts them, such as `balsa compact REVISION` once an hour"},
	{names: []string{"force-new-cluster"}, when: " yet",
		instead: "there is no way back after a majority is lost for good"},
	{names: []string{"config-file"}, when: " yet",
		instead: "give flags, or environment variables such as " + cli.EnvironmentName("data-dir")},
	{names: []string{"auto-tls", "cert-file", "key-file", "trusted-ca-file", "cipher-suites", "self-signed-cert-validity", "tls-min-version", "tls-max-version",
		"peer-auto-tls", "peer-cert-file", "peer-key-file", "peer-trusted-ca-file", "peer-client-cert-auth", "peer-client-cert-file", "peer-client-key-file", "peer-crl-file",
		"peer-cert-allowed-cn", "peer-cert-allowed-hostname", "peer-skip-client-san-verification", "experimental-peer-skip-client-san-verification"}, prefix: "client-", when: " yet",
		instead: "there is no TLS for clients or peers"},
	{names: []string{"auth-token", "auth-token-ttl", "bcrypt-cost"}, when: " yet", instead: "there are no users and roles"},
	{names: []string{"enable-grpc-gateway", "cors", "host-whitelist", "listen-client-http-urls"}, when: " yet", instead: "there is no JSON gateway"},
	{prefix: "discovery", instead: "--initial-cluster says who is there"},
	{names: []string{"wal-dir"}, instead: "the log and the database are both in --data-dir"},
	{names: []string{"logger", "log-outputs", "enable-log-rotation", "log-rotation-config-json"}, instead: "it logs to standard error; --log-format and --log-level say how"},
	{names: []string{"unsafe-no-fsync"}, instead: "a write is synced before it is acknowledged, always"},
	{names: []string{"version"}, instead: "`balsa version` prints it"},
	{prefix: "backend-", instead: ownStorage},
	{names: []string{"max-snapshots", "max-wals", "snapshot-catchup-entries", "experimental-snapshot-catchup-entries", "bootstrap-defrag-threshold-megabytes", "memory-mlock",
		"compaction-batch-limit", "compaction-sleep-interval"}, instead: ownStorage},
	{names: []string{"pre-vote", "strict-reconfig-check", "initial-election-tick-advance", "max-learners", "raft-read-timeout", "raft-write-timeout", "max-concurrent-streams", "metrics",
		"feature-gates", "compact-hash-check-time", "corrupt-check-time", "downgrade-check-time", "v2-deprecation", "enable-v2", "warning-apply-duration", "warning-unary-request-duration",
		"watch-progress-notify-interval", "socket-reuse-address", "socket-reuse-port", "stop-grpc-service-on-defrag"}, instead: leaveItOut},
	{prefix: "grpc-keepalive-", instead: leaveItOut},
	{prefix: "distributed-tracing-", instead: leaveItOut},
	{names: []string{"enable-distributed-tracing"}, instead: leaveItOut},
	{prefix: "proxy", instead: leaveItOut},
	{prefix: "experimental-", instead: leaveItOut},
}

const (
	ownStorage = "its log and its database are its own, and need no such care"
	leaveItOut = "leave it out"
)
