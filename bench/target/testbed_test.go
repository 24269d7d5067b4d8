package target

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"userinfo/bench/load"
	"userinfo/bench/result"
)

// TestMain makes the test executable a baseline if it is called as one, as the benchmark's executable is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "baseline" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		err := RunBaseline(ctx, os.Args[2:], os.Stdout)
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func newTestbed(t *testing.T) *Testbed {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	b, err := New(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func start(t *testing.T, b *Testbed, name string) *Target {
	t.Helper()
	target, err := b.Start(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func dial(t *testing.T, target *Target) load.Conn {
	t.Helper()
	d, err := target.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

var get = &load.Request{Method: load.Get, Key: "enwiki:session:1"}

// costs returns what 300 gets cost, by kind of process.
func costs(t *testing.T, target *Target, c load.Conn) map[string]result.Cost {
	t.Helper()
	m, err := StartMeter(target.Processes)
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if err := c.Do(t.Context(), get); err != nil {
			t.Fatal(err)
		}
	}
	used, err := m.Stop()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]result.Cost)
	for _, c := range used {
		if c.CPU <= 0 || c.RSS <= 0 {
			t.Errorf("300 gets cost %+v", c)
		}
		all[c.Kind] = c
	}
	return all
}

func TestTestbed_CloseLeavesNothing(t *testing.T) {
	b := newTestbed(t)
	target := start(t, b, result.Handler)
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may read %s: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", b.dir, err)
	}
	if _, err := CPU(target.Processes[0].PID); err == nil {
		t.Error("the baseline still runs")
	}
}

func TestTestbed_ChildThatFailsIsErrorWithItsOutput(t *testing.T) {
	b := newTestbed(t)
	script := b.file("script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho no such luck >&2; exit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.self = script
	_, err := b.Start(t.Context(), result.Handler)
	if err == nil || !strings.Contains(err.Error(), "no such luck") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("the error is %v", err)
	}
}

func TestTestbed_NeedsClusterForService(t *testing.T) {
	b := newTestbed(t)
	for _, name := range []string{result.UserInfo, result.Driver, result.Sidecar, "unknown"} {
		if _, err := b.Start(t.Context(), name); err == nil {
			t.Errorf("%s was started", name)
		}
	}
}
