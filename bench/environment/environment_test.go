package environment

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestTheMachineIsTold(t *testing.T) {
	e := Read(t.Context())
	if !strings.HasPrefix(e.Go, "go") || !strings.HasPrefix(e.Kernel, "Linux ") || e.Cores != runtime.NumCPU() ||
		e.MemoryKB < 1<<16 || e.Settings["GOMAXPROCS"] == "" {
		t.Errorf("the environment is %+v", e)
	}
}

func TestASettingIsTakenFromTheEnvironment(t *testing.T) {
	t.Setenv("GOGC", "400")
	if got := Read(t.Context()).Settings["GOGC"]; got != "400" {
		t.Errorf("GOGC is %q", got)
	}
}

// command puts a program of one line in the way of another.
func command(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestWhatCannotBeToldIsEmpty(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if e := Read(t.Context()); e.Redis != "" {
		t.Errorf("without redis-server its version is %q", e.Redis)
	}
}

func TestRedisTellsItsVersion(t *testing.T) {
	dir := t.TempDir()
	command(t, dir, "redis-server", `echo "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=abc"`)
	t.Setenv("PATH", dir)
	if e := Read(t.Context()); e.Redis != "7.0.15" {
		t.Errorf("redis is %q", e.Redis)
	}
}

func TestACommitWithChangesHasAPlus(t *testing.T) {
	t.Chdir(t.TempDir())
	git := func(args ...string) string {
		t.Helper()
		c := exec.Command("git", append([]string{"-c", "user.name=n", "-c", "user.email=e@example.org"}, args...)...)
		out, err := c.Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile("file", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "-q")
	write("1")
	git("add", "file")
	git("commit", "-q", "-m", "first")
	head := git("rev-parse", "HEAD")
	if got := Read(t.Context()).Commit; got != head {
		t.Errorf("the commit is %q, want %q", got, head)
	}
	write("2")
	if got := Read(t.Context()).Commit; got != head+"+" {
		t.Errorf("with a change the commit is %q, want %q", got, head+"+")
	}
}
