package main

import (
	"runtime/debug"
	"testing"
)

func TestBuildFrom(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for name, tt := range map[string]struct {
		info debug.BuildInfo
		want build
	}{
		"nothing known":  {debug.BuildInfo{}, build{"(devel)", "unknown"}},
		"installed":      {debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, build{"v1.2.3", "unknown"}},
		"of a checkout":  {debug.BuildInfo{Settings: []debug.BuildSetting{setting("vcs.revision", "abc"), setting("vcs.modified", "false")}}, build{"(devel)", "abc"}},
		"with changes":   {debug.BuildInfo{Settings: []debug.BuildSetting{setting("vcs.modified", "true"), setting("vcs.revision", "abc")}}, build{"(devel)", "abc+changes"}},
		"other settings": {debug.BuildInfo{Settings: []debug.BuildSetting{setting("GOOS", "linux")}}, build{"(devel)", "unknown"}},
	} {
		if got := buildFrom(&tt.info); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
