package main

import (
	"bytes"
	"io/fs"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"
)

// machine is a file system of these files.
func machine(files map[string]string) fs.FS {
	m := make(fstest.MapFS)
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func TestTheContainersLimitIsFound(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing is known", nil, 0},
		{"version 2, within the container", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20},
		{"version 2, no limit", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		{"version 2, of a unit of systemd", map[string]string{
			"proc/self/cgroup": "0::/system.slice/userinfo.service\n",
			"sys/fs/cgroup/system.slice/userinfo.service/memory.max": "1073741824\n", "sys/fs/cgroup/system.slice/memory.max": "max\n",
		}, 1 << 30},
		{"version 2, the tighter is around it", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1073741824\n", "sys/fs/cgroup/a/memory.max": "268435456\n",
		}, 256 << 20},
		{"version 1, the host's path", map[string]string{
			"proc/self/cgroup": "11:cpu,cpuacct:/docker/1f\n7:memory:/docker/1f\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
		}, 256 << 20},
		{"version 1, no limit", map[string]string{"proc/self/cgroup": "7:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		{"both, of which version 1 has memory", map[string]string{
			"proc/self/cgroup": "7:memory:/a\n0::/b\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "268435456\n",
		}, 256 << 20},
		{"a name with colons", map[string]string{"proc/self/cgroup": "0::/a:b\n", "sys/fs/cgroup/a:b/memory.max": "1000000\n"}, 1_000_000},
		{"damaged", map[string]string{"proc/self/cgroup": "0::/\n\n::", "sys/fs/cgroup/memory.max": "many\n"}, 0},
		{"negative", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "-1\n"}, 0},
	} {
		if got := containerLimit(machine(test.files)); got != test.want {
			t.Errorf("%s: %d; want %d", test.name, got, test.want)
		}
	}
}

func TestMemoryFollowsTheContainerUnlessTheEnvironmentSaysOtherwise(t *testing.T) {
	limited := func(bytes string) fs.FS {
		return machine(map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": bytes})
	}
	const full = ballastBytes
	for _, test := range []struct {
		name      string
		root      fs.FS
		gogc, env string
		now       int64 // that the runtime has
		want      memory
	}{
		{"no container", machine(nil), "", "", math.MaxInt64, memory{ballast: full, percent: 30, because: "no container's limit"}},
		{"GOGC", machine(nil), "100", "", math.MaxInt64, memory{because: "no container's limit"}},
		{"1 GB", limited("1000000000"), "", "", math.MaxInt64, memory{container: 1_000_000_000, limit: 800_000_000, ballast: full, percent: 30, because: "the container's limit"}},
		{"100 MB", limited("100000000"), "", "", math.MaxInt64, memory{container: 100_000_000, limit: 80_000_000, ballast: 80_000_000, percent: 30, because: "the container's limit"}},
		{"GOMEMLIMIT", limited("1000000000"), "off", "600MiB", 600 << 20, memory{container: 1_000_000_000, limit: 600 << 20, because: "GOMEMLIMIT"}},
		{"GOMEMLIMIT, off", limited("1000000000"), "", "off", math.MaxInt64, memory{container: 1_000_000_000, ballast: full, percent: 30, because: "GOMEMLIMIT"}},
	} {
		if got := chooseMemory(test.root, test.gogc, test.env, test.now); got != test.want {
			t.Errorf("%s: %+v; want %+v", test.name, got, test.want)
		}
	}
}

func TestWhatWasChosenIsInForceAndSaid(t *testing.T) {
	before, percent := debug.SetMemoryLimit(math.MaxInt64), debug.SetGCPercent(100)
	defer func() { debug.SetMemoryLimit(before); debug.SetGCPercent(percent) }()
	for _, test := range []struct {
		memory  memory
		limit   int64
		percent int
		says    string
	}{
		{memory{ballast: 1 << 20, because: "no container's limit"}, math.MaxInt64, 100, `"limit":0`},
		{memory{container: 5 << 30, limit: 4 << 30, ballast: 1 << 20, percent: 30, because: "the container's limit"}, 4<<30 + 1<<20, 30, `"limit":4294967296,"because":"the container's limit"`},
	} {
		var said bytes.Buffer
		if n := len(test.memory.apply(slog.New(slog.NewJSONHandler(&said, nil)))); int64(n) != test.memory.ballast {
			t.Errorf("the ballast has %d bytes", n)
		}
		if got := debug.SetMemoryLimit(-1); got != test.limit {
			t.Errorf("the limit in force is %d; want %d", got, test.limit)
		}
		if got := debug.SetGCPercent(100); got != test.percent {
			t.Errorf("the heap may grow by %d %%; want %d", got, test.percent)
		}
		if !strings.Contains(said.String(), test.says) {
			t.Errorf("said %s; want %s in it", said.String(), test.says)
		}
	}
}

// FuzzContainerLimit: whatever the files hold, there is a limit that is one, or none.
func FuzzContainerLimit(f *testing.F) {
	f.Add("0::/\n", "max\n")
	f.Add("7:memory:/docker/1f\n", "268435456\n")
	f.Add("0::/../..\n", "9223372036854771712")
	f.Fuzz(func(t *testing.T, cgroup, limit string) {
		n := containerLimit(machine(map[string]string{
			"proc/self/cgroup": cgroup, "sys/fs/cgroup/memory.max": limit, "sys/fs/cgroup/memory/memory.limit_in_bytes": limit,
		}))
		if n < 0 || n >= noLimit {
			t.Errorf("a limit of %d", n)
		}
	})
}
