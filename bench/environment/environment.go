// Package environment tells where a benchmark is run, as far as this machine says so.
//
// Invariant: nothing here fails; what cannot be told is left empty, and a report shows that it is.
package environment

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"userinfo/bench/result"
)

// settings of a Go program that change what it costs, where they are set in the environment.
var settings = []string{"GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG", "GOAMD64"}

// Read is this machine and this program. What only a run knows, such as Cassandra's settings, is the caller's to add.
func Read(ctx context.Context) result.Environment {
	e := result.Environment{
		Commit: commit(ctx), Go: runtime.Version(), Kernel: kernel(), CPU: cpu(), Cores: runtime.NumCPU(),
		MemoryKB: memory(), Redis: redis(ctx), Settings: make(map[string]string),
	}
	for _, name := range settings {
		if value, set := os.LookupEnv(name); set {
			e.Settings[name] = value
		}
	}
	if _, set := e.Settings["GOMAXPROCS"]; !set {
		e.Settings["GOMAXPROCS"] = strconv.Itoa(runtime.GOMAXPROCS(0))
	}
	return e
}

// commit asks git about the working directory, for `go run` leaves no revision in the program, and then the program.
func commit(ctx context.Context) string {
	if revision := said(ctx, "git", "rev-parse", "HEAD"); revision != "" {
		if said(ctx, "git", "status", "--porcelain", "--untracked-files=no") != "" {
			revision += "+"
		}
		return revision
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var revision, changed string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + changed
}

// said is what a command prints, in one line; empty where it fails.
func said(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func kernel() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
}

// cpu is the model of the first.
func cpu() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // empty where there is none
	return line(string(text), "model name")
}

// memory is the machine's, in kB.
func memory() int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	kB, _ := strconv.ParseInt(strings.TrimSuffix(line(string(text), "MemTotal"), " kB"), 10, 64) // 0 where it is not there
	return kB
}

// line is the value of the first line "name : value".
func line(text, name string) string {
	for l := range strings.Lines(text) {
		if key, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// redis is the version that `redis-server --version` tells, such as 7.0.15.
func redis(ctx context.Context) string {
	for _, word := range strings.Fields(said(ctx, "redis-server", "--version")) {
		if version, ok := strings.CutPrefix(word, "v="); ok {
			return version
		}
	}
	return ""
}
