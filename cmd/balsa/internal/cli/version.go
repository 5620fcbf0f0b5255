package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	etcdversion "go.etcd.io/etcd/api/v3/version"
)

// Version is this build's own: a release's tag, or the commit it was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	tag := info.Main.Version
	if tag != "" && tag != "(devel)" && !strings.HasPrefix(tag, "v0.0.0-") {
		return tag
	}
	revision, modified := "", false
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			revision = setting.Value
		case "vcs.modified":
			modified = setting.Value == "true"
		}
	}
	if len(revision) < 12 { // not built in a repository: what Go made up of a commit without a tag, if it knew one
		return cmp.Or(strings.TrimPrefix(tag, "(devel)"), "devel")
	}
	if modified {
		return "devel-" + revision[:12] + "-modified"
	}
	return "devel-" + revision[:12]
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "balsa %s\netcd API %s\n%s %s/%s\n",
				Version(), etcdversion.APIVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
