package main

import (
	"runtime/debug"
	"testing"
)

func TestDescribeBuildInfo_SaysWhatIsKnown(t *testing.T) {
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123abc"}, {Key: "vcs.time", Value: "2026-11-29T08:00:00Z"}}
	for name, c := range map[string]struct {
		settings []debug.BuildSetting
		want     string
	}{
		"a commit":          {commit, "v0.0.0 (commit 0123abc, 2026-11-29T08:00:00Z)"},
		"a modified source": {append(commit, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "v0.0.0 (commit 0123abc, 2026-11-29T08:00:00Z, modified)"},
		"no history":        {nil, "v0.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			info := &debug.BuildInfo{Main: debug.Module{Version: "v0.0.0"}, Settings: c.settings}
			if got := describeBuildInfo(info); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
