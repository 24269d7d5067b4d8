package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestRun_UnknownCommandIsUsageError(t *testing.T) {
	var stdout, stderr strings.Builder
	if code := run(t.Context(), []string{"serv"}, &stdout, &stderr); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	if !strings.HasPrefix(stderr.String(), `userinfo: there is no command "serv"; commands: `) || stdout.String() != "" {
		t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
	}
}

func TestFailed_IsNilWithoutError(t *testing.T) {
	if err := failed(nil); err != nil {
		t.Errorf("failed(nil) is %v", err)
	}
	if err := failed(os.ErrNotExist); !errors.Is(err, os.ErrNotExist) && !strings.Contains(err.Error(), "not exist") {
		t.Errorf("failed returns %v", err)
	}
}

func TestLongFlags_AcceptsOneDash(t *testing.T) {
	for arg, want := range map[string]string{
		"-config": "--config", "-config=x": "--config=x", "--config": "--config", "-h": "-h", "-": "-", "config": "config", "-10": "-10", "--": "--",
	} {
		if got := longFlags([]string{arg})[0]; got != want {
			t.Errorf("longFlags(%q) is %q, want %q", arg, got, want)
		}
	}
}

// forEachCommand calls do for each command of the program except those that cobra adds.
func forEachCommand(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, sub := range c.Commands() {
		forEachCommand(sub, do)
	}
}

func TestNewRoot_EveryCommandHasHelp(t *testing.T) {
	forEachCommand(newRoot(), func(c *cobra.Command) {
		if c.Short == "" || c.Long == "" || strings.HasSuffix(c.Short, ".") || !strings.HasSuffix(strings.TrimSpace(c.Long), ".") && !strings.Contains(c.Long, "\n") {
			t.Errorf("%s: short help %q, long help %q", c.CommandPath(), c.Short, c.Long)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: flag --%s has no help", c.CommandPath(), f.Name)
			}
		})
		var stdout, stderr strings.Builder
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		if code := run(context.Background(), args, &stdout, &stderr); code != exitOK || stderr.String() != "" || !strings.Contains(stdout.String(), "Usage:") {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, &stdout, &stderr)
		}
	})
}

func TestManCommand_WritesOnePageForEachCommand(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "-tags", "man", ".", "man", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	forEachCommand(newRoot(), func(c *cobra.Command) {
		text, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"))
		if err != nil || !strings.Contains(string(text), strings.Fields(c.Short)[0]) {
			t.Errorf("the page of %q: %v", c.CommandPath(), err)
		}
	})
}
