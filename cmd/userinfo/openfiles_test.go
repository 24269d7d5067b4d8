package main

import (
	"strings"
	"syscall"
	"testing"
)

func TestCheckFileLimit_SaysWhatToSet(t *testing.T) {
	for name, c := range map[string]struct {
		limit       uint64
		connections int
		want        []string // nil: no error
	}{
		"enough":      {21024, 20000, nil},
		"one too few": {21023, 20000, []string{"limits.max_connections is 20000", "needs 21024", "may open only 21023", "limits.max_connections to at most 19999", "LimitNOFILE=21024", "ulimit -n 21024"}},
		"a low limit": {1024, 20000, []string{"may open only 1024", "LimitNOFILE=21024"}},
		"zero":        {0, 0, []string{"LimitNOFILE=1024"}},
	} {
		err := checkFileLimit(c.limit, c.connections)
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q has no %q", name, err, want)
			}
		}
	}
	if err := checkFileLimit(1024, 1000); strings.Contains(err.Error(), "at most 0") {
		t.Errorf("advice that does not help: %v", err)
	}
}

func TestRaiseFileLimit_ReturnsHardLimit(t *testing.T) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if got, err := raiseFileLimit(); err != nil || got != before.Max {
		t.Errorf("%d, %v; want %d", got, err, before.Max)
	}
}
