package main

import (
	"io/fs"
	"log/slog"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// ballastBytes is memory that is asked for and never touched, so that it is none of the machine's. The collector starts
// when the heap, this included, has grown by collectorPercent: where a few MB live here, which would double many times a
// second, when 60 MB have been allocated (a sixth of the CPU of a get, by `go run ./bench`); with 10,000 connections, whose
// memory must not double, when 100 MB have.
const (
	ballastBytes     = 192 << 20
	collectorPercent = 30
)

// memory is what the collector may use.
type memory struct {
	container int64  // the least limit of a cgroup that this process is in; 0 where there is none
	limit     int64  // of what Go has resident; 0 where there is none
	ballast   int64  // beside limit
	percent   int    // that the heap may grow by; 0: as GOGC has it, without a ballast
	because   string // what decided about limit
}

// chooseMemory looks for the container's limit. root is the machine's file system, gogc and gomemlimit those environment
// variables, which count where they are set, and runtime what the runtime has made of the latter. Beyond four fifths of the
// container's limit the collector works harder rather than the kernel end the process: the rest is the kernel's, of
// sockets above all.
func chooseMemory(root fs.FS, gogc, gomemlimit string, runtime int64) memory {
	m := memory{container: containerLimit(root), because: "no container's limit"}
	if gogc == "" {
		m.percent, m.ballast = collectorPercent, ballastBytes
	}
	switch {
	case gomemlimit != "":
		m.because = "GOMEMLIMIT"
		if runtime < math.MaxInt64 {
			m.limit = runtime
		}
	case m.container > 0:
		m.limit, m.because = m.container/5*4, "the container's limit"
	}
	if m.limit > 0 {
		m.ballast = min(m.ballast, m.limit)
	}
	return m
}

// apply sets the runtime's collector and, where there is one, its limit, says so, and returns what is to be kept while it is to count.
func (m memory) apply(log *slog.Logger) (ballast []byte) {
	if m.limit > 0 {
		debug.SetMemoryLimit(m.limit + m.ballast) // which counts what is never touched, too
	}
	if m.percent > 0 {
		debug.SetGCPercent(m.percent)
	}
	log.Info("memory, in bytes; 0 is no limit", "limit", m.limit, "because", m.because, "container", m.container, "ballast", m.ballast)
	return make([]byte, m.ballast)
}

// containerLimit is the least memory limit among the cgroup that this process is in and those around it, in bytes; 0
// where none is to be found.
//
//	/proc/self/cgroup   0::/a/b           version 2: /sys/fs/cgroup/a/b/memory.max, a number or max
//	                    7:memory:/a/b     version 1: /sys/fs/cgroup/memory/a/b/memory.limit_in_bytes, a number
//
// In a container the path may be the host's, which is not there; what is mounted at the top is then its own.
func containerLimit(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	var least int64
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) < 3 {
			continue
		}
		top, file := "sys/fs/cgroup", "memory.max"
		if f[1] != "" {
			if !strings.Contains(","+f[1]+",", ",memory,") {
				continue
			}
			top, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		for at := path.Clean("/" + f[2]); ; at = path.Dir(at) {
			if n := limitIn(root, path.Join(top, at, file)); n > 0 && (least == 0 || n < least) {
				least = n
			}
			if at == "/" {
				break
			}
		}
	}
	return least
}

// noLimit is less than what version 1 says where there is none, and more than any machine has.
const noLimit = 1 << 60

// limitIn reads one file; 0 is no limit.
func limitIn(root fs.FS, file string) int64 {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n < 0 || n >= noLimit {
		return 0
	}
	return n
}
