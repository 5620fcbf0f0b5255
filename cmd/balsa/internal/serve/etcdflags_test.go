package serve

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

// flagsOfEtcd are those of etcd 3.5 to 3.7 that a member does not take.
const flagsOfEtcd = `
	auth-token auth-token-ttl auto-compaction-mode auto-compaction-retention auto-tls backend-batch-interval backend-batch-limit
	backend-bbolt-freelist-type bcrypt-cost bootstrap-defrag-threshold-megabytes cert-file cipher-suites client-cert-allowed-hostname client-cert-auth
	client-cert-file client-crl-file client-key-file compact-hash-check-time compaction-batch-limit compaction-sleep-interval config-file
	corrupt-check-time cors discovery discovery-endpoints distributed-tracing-address distributed-tracing-instance-id distributed-tracing-sampling-rate
	distributed-tracing-service-name downgrade-check-time enable-distributed-tracing enable-grpc-gateway enable-log-rotation enable-v2
	experimental-initial-corrupt-check feature-gates force-new-cluster grpc-keepalive-interval grpc-keepalive-min-time grpc-keepalive-timeout
	host-whitelist initial-election-tick-advance key-file listen-client-http-urls log-outputs log-rotation-config-json logger max-concurrent-streams
	max-learners max-snapshots max-wals memory-mlock metrics peer-auto-tls peer-cert-allowed-cn peer-cert-allowed-hostname peer-cert-file
	peer-client-cert-auth peer-client-cert-file peer-client-key-file peer-crl-file peer-key-file peer-skip-client-san-verification peer-trusted-ca-file
	pre-vote proxy proxy-dial-timeout proxy-failure-wait proxy-read-timeout proxy-refresh-interval proxy-write-timeout quota-backend-bytes
	raft-read-timeout raft-write-timeout self-signed-cert-validity snapshot-catchup-entries socket-reuse-address socket-reuse-port strict-reconfig-check
	tls-max-version tls-min-version trusted-ca-file unsafe-no-fsync v2-deprecation version wal-dir warning-apply-duration
	warning-unary-request-duration watch-progress-notify-interval`

func TestAFlagOfEtcdsIsAnsweredByWhatThereIsInstead(t *testing.T) {
	root := &cobra.Command{Use: "balsa"}
	AddCommand(root)
	serve, _, err := root.Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	answer := func(flag string) error {
		err := serve.ParseFlags([]string{"--" + flag + "=1"})
		if err == nil {
			t.Fatalf("it takes --%s", flag)
		}
		return serve.FlagErrorFunc()(serve, err)
	}
	for _, flag := range strings.Fields(flagsOfEtcd) {
		if err := answer(flag); !cli.IsUsage(err) || !strings.HasPrefix(err.Error(), "balsa does not have etcd's --"+flag) {
			t.Errorf("--%s: %v", flag, err)
		}
	}
	for flag, want := range map[string]string{
		"quota-backend-bytes":       "--quota-backend-bytes yet: the database has no quota",
		"auto-compaction-retention": "balsa compact",
		"client-cert-auth":          "no TLS",
		"config-file":               "BALSA_DATA_DIR",
		"nonsense":                  "unknown flag: --nonsense",
		"heartbeat-interval=x":      "invalid argument",
	} {
		if err := answer(flag); !strings.Contains(err.Error(), want) {
			t.Errorf("--%s: %v, want %q", flag, err, want)
		}
	}
}
