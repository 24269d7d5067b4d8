//go:build integration

package target

import (
	"context"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"userinfo/bench/load"
	"userinfo/bench/result"
	"userinfo/internal/testcluster"
)

func TestCheck_FindsNothingMissing(t *testing.T) {
	if err := Check(t.Context(), result.Targets, true); err != nil {
		t.Error(err)
	}
}

// sessionLife runs requests that every session store answers alike.
func sessionLife(t *testing.T, c load.Conn) {
	t.Helper()
	value := []byte(strings.Repeat("v", 2048))
	for i, step := range []struct {
		request load.Request
		want    error
	}{
		{load.Request{Method: load.Get, Absent: true}, nil},
		{load.Request{Method: load.Get}, load.NotFound},
		{load.Request{Method: load.Set, Value: value, TTL: 3600}, nil},
		{load.Request{Method: load.Get, Length: 2048}, nil},
		{load.Request{Method: load.Get, Absent: true}, load.Found},
		{load.Request{Method: load.Touch, TTL: 7200}, nil},
		{load.Request{Method: load.Set, Value: value}, nil},
		{load.Request{Method: load.Get}, nil},
		{load.Request{Method: load.Delete}, nil},
		{load.Request{Method: load.Get, Absent: true}, nil},
		{load.Request{Method: load.Touch, TTL: 7200}, load.NotFound},
	} {
		step.request.Key = "life:" + strings.ReplaceAll(t.Name(), "/", ":")
		if err := c.Do(t.Context(), &step.request); err != step.want {
			t.Errorf("step %d, method %d: %v, want %v", i, step.request.Method, err, step.want)
		}
	}
}

// check checks that a target stores sessions, and that the cost of gets is counted for some kinds of processes.
func check(t *testing.T, target *Target, kinds ...string) {
	t.Helper()
	t.Run(target.Name, func(t *testing.T) {
		c := dial(t, target)
		sessionLife(t, c)
		set := load.Request{Method: load.Set, Key: get.Key, Value: []byte(strings.Repeat("v", 2048))}
		if err := c.Do(t.Context(), &set); err != nil {
			t.Fatal(err)
		}
		if err := dial(t, target).Do(t.Context(), get); err != nil {
			t.Error("on another connection: ", err)
		}
		used := costs(t, target, c)
		for _, kind := range kinds {
			if used[kind].CPU == 0 {
				t.Errorf("300 gets cost %+v, nothing of %s", used, kind)
			}
		}
	})
}

func must(t *testing.T) func(*Target, error) *Target {
	return func(target *Target, err error) *Target {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
}

func TestRedis_StoresSessionsWithMutualTLS(t *testing.T) {
	b := newTestbed(t)
	target := start(t, b, result.Redis)
	check(t, target, result.KindRedis)
	other := newTestbed(t)
	for _, name := range []string{"client.crt", "client.key"} {
		text, err := os.ReadFile(other.file(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(b.file(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := target.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	if c, err := d.Dial(t.Context()); err == nil {
		_ = c.Close()
		t.Error("a client certificate of another CA is accepted")
	}
}

func TestMemoryAndSidecar_StoreSessions(t *testing.T) {
	b := newTestbed(t)
	memory := start(t, b, result.Memory+":GOMAXPROCS=1")
	check(t, memory, result.KindService)
	check(t, must(t)(memory.WithToken()), result.KindService)
	sidecar := must(t)(b.StartSidecar(t.Context(), memory))
	check(t, sidecar, result.KindService, result.KindSidecar)
	check(t, must(t)(sidecar.With(func(c *load.HTTPConfig) { c.Fresh = true })), result.KindService, result.KindSidecar)

	environment, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(memory.Processes[0].PID), "environ"))
	if err != nil || !strings.Contains(string(environment), "GOMAXPROCS=1\x00") {
		t.Errorf("the instance has no GOMAXPROCS=1 in its environment (%v)", err)
	}
	other := start(t, b, result.Memory+":BINARY="+b.program)
	check(t, other, result.KindService)
}

func TestSidecar_KeepsItsConnections(t *testing.T) {
	b := newTestbed(t)
	memory := start(t, b, result.Memory)
	proxy, accepted := countingProxy(t, memory.http.URL)
	through := must(t)(memory.With(func(c *load.HTTPConfig) { c.URL = proxy }))
	sidecar := must(t)(b.StartSidecar(t.Context(), through))
	c := dial(t, must(t)(sidecar.With(func(c *load.HTTPConfig) { c.Fresh = true })))
	for range 50 {
		if err := c.Do(t.Context(), &load.Request{Method: load.Get, Key: "k", Absent: true}); err != nil {
			t.Fatal(err)
		}
	}
	if n := accepted.Load(); n < 1 || n > 5 {
		t.Errorf("50 new connections to the sidecar made %d to the service", n)
	}
}

// countingProxy forwards connections to the URL's host and counts them.
func countingProxy(t *testing.T, to string) (proxy string, accepted *atomic.Int64) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	host := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	u.Host, accepted = listener.Addr().String(), new(atomic.Int64)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			server, err := net.Dial("tcp", host)
			if err != nil {
				_ = client.Close()
				continue
			}
			forward := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				_ = to.Close()
			}
			go forward(server, client)
			go forward(client, server)
		}
	}()
	return u.String(), accepted
}

func TestTestbed_StartsTargetsOnCluster(t *testing.T) {
	b := newTestbed(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	options := testcluster.OneNode()
	options.HeapMB = 1024
	if err := b.StartCluster(ctx, options); err != nil {
		t.Fatal(err)
	}
	if got, want := b.Describe(ctx), ", nodes: 1, datacentres: 1, heap 1024 MB, Cassandra's default settings"; !strings.HasPrefix(got, "5.0.") || !strings.HasSuffix(got, want) {
		t.Errorf("the cluster is described as %q", got)
	}
	userinfo := start(t, b, result.UserInfo)
	check(t, userinfo, result.KindService, result.KindCassandra)
	check(t, must(t)(userinfo.WithToken()), result.KindService, result.KindCassandra)
	check(t, must(t)(b.StartSidecar(ctx, userinfo)), result.KindService, result.KindCassandra, result.KindSidecar)
	check(t, start(t, b, result.Driver), result.KindCassandra)

	t.Run("Cassandra's process is a JVM", func(t *testing.T) {
		name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(userinfo.Processes[1].PID), "comm"))
		if err != nil || strings.TrimSpace(string(name)) != "java" {
			t.Errorf("it is %q, %v", name, err)
		}
	})
	t.Run("instances of two executables share their data", func(t *testing.T) {
		other := start(t, b, result.UserInfo+":GOMAXPROCS=1+BINARY="+b.program)
		if err := dial(t, other).Do(ctx, get); err != nil {
			t.Error(err)
		}
	})
}
