package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// These are set by the linker for a release, which is built without Go's own stamp, since that would differ between a checkout and an
// archive of the same commit: -ldflags "-X main.version=v1.2.3 -X main.revision=COMMIT -X main.revisionTime=2026-11-30T18:00:00Z".
//
//nolint:gochecknoglobals // the linker sets nothing else
var version, revision, revisionTime string

type versionInfo struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"` // "" when not built from a checkout
	Time      string `json:"revision_time"`
	Modified  bool   `json:"modified"` // the checkout had changes that weren't committed
	GoVersion string `json:"go_version"`
	Platform  string `json:"platform"`
}

func buildVersion() versionInfo {
	v := versionInfo{
		Version: version, Revision: revision, Time: revisionTime,
		GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		v.Version = cmp.Or(v.Version, build.Main.Version)
		for _, s := range build.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.time":
				v.Time = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	v.Version = cmp.Or(v.Version, "(devel)")
	return v
}

func (v versionInfo) String() string {
	revision := ""
	if v.Revision != "" {
		revision = fmt.Sprintf(" (%.12s, %s)", v.Revision, v.Time)
	}
	if v.Modified {
		revision += " with local changes"
	}
	return fmt.Sprintf("invoicer %s%s, %s, %s", v.Version, revision, v.GoVersion, v.Platform)
}

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		GroupID: groupSetup,
		Args:    noArgs,
		Example: `  invoicer version
  invoicer version --json | jq -r .version`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wantsJSON(cmd) {
				return printJSON(cmd, buildVersion())
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), buildVersion())
			return err
		},
	}
	addJSONFlag(cmd)
	return cmd
}
