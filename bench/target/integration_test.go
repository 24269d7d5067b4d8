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

func TestNothingIsMissingHere(t *testing.T) {
	if err := Check(t.Context(), result.Targets...); err != nil {
		t.Error(err)
	}
}

// life is what every store of sessions does alike.
func life(t *testing.T, c load.Conn) {
	t.Helper()
	value := []byte(strings.Repeat("v", 2048))
	for i, step := range []struct {
		op   load.Op
		want error
	}{
		{load.Op{Method: load.Get, Absent: true}, nil},
		{load.Op{Method: load.Get}, load.NotFound},
		{load.Op{Method: load.Set, Value: value, TTL: 3600}, nil},
		{load.Op{Method: load.Get}, nil},
		{load.Op{Method: load.Get, Absent: true}, load.Found},
		{load.Op{Method: load.Touch, TTL: 7200}, nil},
		{load.Op{Method: load.Set, Value: value}, nil},
		{load.Op{Method: load.Get}, nil},
		{load.Op{Method: load.Delete}, nil},
		{load.Op{Method: load.Get, Absent: true}, nil},
		{load.Op{Method: load.Touch, TTL: 7200}, load.NotFound},
	} {
		step.op.Key = "a life:" + strings.ReplaceAll(t.Name(), "/", ":")
		if err := c.Do(t.Context(), &step.op); err != step.want {
			t.Errorf("step %d, %+v: %v, want %v", i, step.op.Method, err, step.want)
		}
	}
}

// tryOut holds that a target stores sessions, serves several connections, and is charged for gets, at least to kinds.
func tryOut(t *testing.T, target *Target, kinds ...string) {
	t.Helper()
	t.Run(target.Name, func(t *testing.T) {
		d := dialer(t, target)
		c := dial(t, d)
		life(t, c)
		set := load.Op{Method: load.Set, Key: get.Key, Value: []byte(strings.Repeat("v", 2048))}
		if err := c.Do(t.Context(), &set); err != nil {
			t.Fatal(err)
		}
		if err := dial(t, d).Do(t.Context(), get); err != nil {
			t.Error("on another connection: ", err)
		}
		costs := charged(t, target, c)
		for _, kind := range kinds {
			if costs[kind].Process == "" {
				t.Errorf("300 gets cost %+v, nothing of %s", costs, kind)
			}
		}
		if costs[result.KindService].Process != "" && costs[result.KindService].Mallocs < 300 {
			t.Errorf("300 gets cost %+v, hardly any allocations", costs)
		}
		if sent, received := c.Wire(); target.Kind != KindDriver && (sent < 300*30 || received < 300*2048) {
			t.Errorf("300 gets of 2 KB are %d bytes sent and %d received", sent, received)
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

func TestRedisOverTLS(t *testing.T) {
	l := newLab(t)
	target := must(t)(l.Redis(t.Context(), result.Redis))
	tryOut(t, target, result.KindRedis)

	t.Run("takes no client without certificate", func(t *testing.T) {
		var s RedisSettings
		s.Address = strings.Split(string(target.Settings), `"`)[3]
		other := newLab(t)
		s.CA, s.Certificate, s.Key = l.file("ca.crt"), other.file("client.crt"), other.file("client.key")
		d, err := Dial(KindRedis, encode(s))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := d.Dial(t.Context()); err == nil {
			_ = c.Close()
			t.Error("a certificate of another CA is taken")
		}
	})
}

func TestTheServiceInMemoryAndASidecar(t *testing.T) {
	l := newLab(t)
	memory := must(t)(l.Memory(t.Context(), Service{Name: result.Memory, Env: []string{"GOMAXPROCS=1"}}))
	tryOut(t, memory, result.KindService)
	tryOut(t, must(t)(memory.ByToken()), result.KindService)
	sidecar := must(t)(l.Sidecar(t.Context(), result.Sidecar, memory))
	tryOut(t, sidecar, result.KindService, result.KindSidecar)
	tryOut(t, must(t)(sidecar.With(func(f *load.HTTPSFiles) { f.Fresh = true })), result.KindService, result.KindSidecar)

	environment, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(memory.Processes[0].PID), "environ"))
	if err != nil || !strings.Contains(string(environment), "GOMAXPROCS=1\x00") {
		t.Errorf("the instance's environment is without GOMAXPROCS=1 (%v)", err)
	}
}

func TestASidecarKeepsItsConnections(t *testing.T) {
	l := newLab(t)
	memory := must(t)(l.Memory(t.Context(), Service{Name: result.Memory}))
	between, taken := counting(t, memory.files.URL)
	through := must(t)(memory.With(func(f *load.HTTPSFiles) { f.URL = between }))
	sidecar := must(t)(l.Sidecar(t.Context(), result.Sidecar, through))
	c := dial(t, dialer(t, must(t)(sidecar.With(func(f *load.HTTPSFiles) { f.Fresh = true }))))
	for range 50 {
		if err := c.Do(t.Context(), &load.Op{Method: load.Get, Key: "k", Absent: true}); err != nil {
			t.Fatal(err)
		}
	}
	if n := taken.Load(); n < 1 || n > 5 {
		t.Errorf("50 fresh connections to the sidecar have made %d to the service", n)
	}
}

// counting passes connections on to the URL's host, and counts them.
func counting(t *testing.T, to string) (between string, taken *atomic.Int64) {
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
	u.Host, taken = listener.Addr().String(), new(atomic.Int64)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			server, err := net.Dial("tcp", host)
			if err != nil {
				_ = client.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				_ = to.Close()
			}
			go pass(server, client)
			go pass(client, server)
		}
	}()
	return u.String(), taken
}

func TestTargetsOnACluster(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := l.UserInfo(ctx, Service{Name: result.UserInfo}); err == nil {
		t.Error("an instance was started without a cluster")
	}
	options := testcluster.OneNode()
	options.HeapMB = 1024
	if err := l.StartCluster(ctx, options); err != nil {
		t.Fatal(err)
	}
	if got, want := l.Describe(ctx), ", 1 node in 1 datacentre, heap 1024 MB"; !strings.HasPrefix(got, "5.0.") || !strings.HasSuffix(got, want) {
		t.Errorf("the cluster is described as %q", got)
	}
	userinfo := must(t)(l.UserInfo(ctx, Service{Name: result.UserInfo}))
	tryOut(t, userinfo, result.KindService, result.KindCassandra)
	tryOut(t, must(t)(userinfo.ByToken()), result.KindService, result.KindCassandra)
	tryOut(t, must(t)(l.Sidecar(ctx, result.Sidecar, userinfo)), result.KindService, result.KindCassandra, result.KindSidecar)
	tryOut(t, must(t)(l.Driver(ctx, result.Driver)), result.KindCassandra)

	t.Run("Cassandra's process is a JVM", func(t *testing.T) {
		name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(userinfo.Processes[1].PID), "comm"))
		if err != nil || strings.TrimSpace(string(name)) != "java" {
			t.Errorf("it is %q, %v", name, err)
		}
	})
	t.Run("instances share their data", func(t *testing.T) {
		other := must(t)(l.UserInfo(ctx, Service{Name: "userinfo-procs-1", Env: []string{"GOMAXPROCS=1"}}))
		if err := dial(t, dialer(t, other)).Do(ctx, get); err != nil {
			t.Error(err)
		}
	})
	t.Run("the driver's table has the options of the service's", func(t *testing.T) {
		options := func(keyspace string) string {
			rows, err := l.Cluster().CQL(ctx, l.Cluster().Nodes("")[0],
				"SELECT compression, compaction, caching, gc_grace_seconds, speculative_retry, bloom_filter_fp_chance FROM system_schema.tables"+
					" WHERE keyspace_name = '"+keyspace+"' AND table_name = 'sessions'")
			if err != nil || rows == "" {
				t.Fatal(rows, err)
			}
			return rows
		}
		if got, want := options(driverKeyspace), options("userinfo"); got != want {
			t.Errorf("it has %s, and the service's %s", got, want)
		}
	})
}
