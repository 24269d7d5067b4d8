package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// environment describes this machine and this source tree. What cannot be found out is missing.
func environment(ctx context.Context) map[string]string {
	e := map[string]string{"commit": commit(ctx), "Go": runtime.Version(), "kernel": output(ctx, "uname", "-sr"),
		"CPU": field("/proc/cpuinfo", "model name"), "cores": strconv.Itoa(runtime.NumCPU()), "memory": field("/proc/meminfo", "MemTotal"),
		"Redis": output(ctx, "redis-server", "--version")}
	for _, name := range []string{"GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG", "GOAMD64"} {
		e[name] = os.Getenv(name)
	}
	for name, value := range e {
		if value == "" {
			delete(e, name)
		}
	}
	return e
}

// commit returns the commit of the working directory, and + if files have changed. (`go run` does not stamp it.)
func commit(ctx context.Context) string {
	revision := output(ctx, "git", "rev-parse", "--short=12", "HEAD")
	if revision != "" && output(ctx, "git", "status", "--porcelain", "--untracked-files=no") != "" {
		revision += "+"
	}
	return revision
}

// output returns what a command prints, or "" if it fails.
func output(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// field returns the value of the first line "name : value" of a file.
func field(file, name string) string {
	text, _ := os.ReadFile(file) // a missing file has no fields
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
