//go:build integration

package upgrade

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

// Versions.
const (
	oldVersion = "old"
	newVersion = "new"
)

// installation is two datacentres with one node and two instances each.
type installation struct {
	t        *testing.T
	cluster  *testcluster.Cluster
	fleet    *fleet.Fleet
	programs map[string]string // by version
	members  []*member         // dc1, dc1, dc2, dc2
	kept     map[string]string // sessions that stay for the whole test
	dc1, dc2 *balancer
}

// install starts the cluster, and the old version on all instances.
func install(t *testing.T) *installation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	in := &installation{t: t, programs: map[string]string{newVersion: filepath.Join(dir, "userinfo-new")}, kept: make(map[string]string)}
	old, err := buildCommit(ctx, dir, oldCommit)
	in.must(err)
	in.programs[oldVersion] = old
	in.must(fleet.Build(ctx, in.programs[newVersion], ""))
	in.cluster, err = testcluster.Start(ctx, testcluster.Options{NodesPerDC: 1, Authorizer: true})
	in.must(err)
	t.Cleanup(func() {
		if err := in.cluster.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	in.fleet, err = fleet.New(ctx, dir, old, in.cluster, fleet.WithDrain(time.Second))
	in.must(err)
	t.Cleanup(func() {
		if err := in.fleet.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, dc := range []string{"dc1", "dc1", "dc2", "dc2"} {
		i, err := in.fleet.StartInstance(ctx, fleet.InstanceConfig{Name: dc + "-" + rand.Text(), Datacentre: dc})
		in.must(err)
		in.members = append(in.members, &member{Instance: i, version: oldVersion})
	}
	in.dc1, in.dc2 = newBalancer(in.fleet, in.members[:2]), newBalancer(in.fleet, in.members[2:])
	watching, stop := context.WithCancel(context.Background())
	var watches sync.WaitGroup
	watches.Go(func() { in.dc1.watch(watching) })
	watches.Go(func() { in.dc2.watch(watching) })
	t.Cleanup(func() { stop(); watches.Wait() })
	in.awaitReady(in.members...)
	return in
}

func (in *installation) must(err error) {
	in.t.Helper()
	if err != nil {
		in.t.Fatal(err)
	}
}

// awaitReady waits until the balancers send requests to all of these instances.
func (in *installation) awaitReady(members ...*member) {
	in.t.Helper()
	for _, m := range members {
		in.await(m.Name+" is ready", func() bool { _, ready := m.state(); return ready })
	}
}

func (in *installation) await(what string, done func() bool) {
	in.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			in.t.Fatalf("not after %v: %s", patience, what)
		}
	}
}

// replace drains and stops an instance, and starts another version in its place.
func (in *installation) replace(m *member, version string) {
	in.t.Helper()
	in.must(m.Stop())
	m.SetProgram(in.programs[version])
	in.start(m)
	m.set(func(m *member) { m.version = version })
	in.awaitReady(m)
}

// start starts an instance that was stopped. It becomes ready later.
func (in *installation) start(m *member) {
	in.t.Helper()
	m.set(func(m *member) { m.ready = false })
	in.must(m.Start(in.t.Context()))
}

// balancer returns the balancer of an instance.
func (in *installation) balancer(m *member) *balancer {
	if m.Datacentre == "dc1" {
		return in.dc1
	}
	return in.dc2
}

// want sends a request to one instance and checks its status.
func (in *installation) want(status int, m *member, method, key, body string) string {
	in.t.Helper()
	got, err := in.balancer(m).do(m, method, key, body, "")
	if err != nil || got.status != status {
		in.t.Errorf("%s on %s, %s: %d %s %v; want %d", method, m.Name, got.version, got.status, got.body, err, status)
	}
	return got.body
}

// awaitStatus gets a key from one instance until the status is right: another datacentre gets a set some time later.
func (in *installation) awaitStatus(status int, m *member, key string) {
	in.t.Helper()
	in.await(fmt.Sprintf("a get on %s is %d", m.Name, status), func() bool {
		got, err := in.balancer(m).do(m, http.MethodGet, key, "", "")
		return err == nil && got.status == status
	})
}

// keep sets sessions on an instance that must be readable until the end of the test.
func (in *installation) keep(m *member) {
	in.t.Helper()
	for range 5 {
		key, value := "kept:"+rand.Text(), rand.Text()
		in.want(http.StatusNoContent, m, http.MethodPut, key, value)
		in.kept[key] = value
	}
}

// checkKept reads all kept sessions on all instances.
func (in *installation) checkKept() {
	in.t.Helper()
	for key, value := range in.kept {
		for _, m := range in.members {
			in.awaitStatus(http.StatusOK, m, key)
			if got := in.want(http.StatusOK, m, http.MethodGet, key, ""); got != value {
				in.t.Errorf("%s returns another value", m.Name)
			}
		}
	}
}

// pending returns how many pending deletes an instance reports.
func (in *installation) pending(m *member) string {
	in.t.Helper()
	r, err := http.NewRequest(http.MethodGet, m.BaseURL()+"/metrics", nil)
	in.must(err)
	r.Header.Set("Authorization", in.dc1.auth)
	response, err := in.dc1.http.Do(r)
	in.must(err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	in.must(err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "userinfo_pending_deletes "); ok {
			return strings.TrimSpace(value)
		}
	}
	in.t.Fatalf("no metric of pending deletes; status %d", response.StatusCode)
	return ""
}

// recordAndReplay deletes sessions on the instances record while the other datacentre is away. Then these instances stop, the
// datacentre comes back, and the instances replay finish the deletes. Both have one instance in dc1 and one in dc2.
func (in *installation) recordAndReplay(record, replay []*member) {
	in.t.Helper()
	var keys []string
	for range 4 {
		key := "pending:" + rand.Text()
		in.want(http.StatusNoContent, replay[0], http.MethodPut, key, "logged in")
		in.awaitStatus(http.StatusOK, replay[1], key)
		keys = append(keys, key)
	}
	far := in.cluster.Nodes("dc2")[0]
	in.must(far.Kill(in.t.Context()))
	for _, key := range keys {
		if body := in.want(http.StatusServiceUnavailable, record[0], http.MethodDelete, key, ""); !strings.Contains(body, "not-everywhere") {
			in.t.Errorf("a delete is answered %s", body)
		}
		in.want(http.StatusNotFound, replay[0], http.MethodGet, key, "")
		in.want(http.StatusConflict, replay[0], http.MethodPut, key, "straggler")
	}
	in.await("the other version reports the pending deletes", func() bool { return in.pending(replay[0]) == fmt.Sprint(len(keys)) })
	for _, m := range record {
		in.must(m.Stop())
	}
	in.must(far.Start(in.t.Context()))
	in.must(in.cluster.WaitAllUp(in.t.Context()))
	in.await("the other version has replayed the deletes", func() bool { return in.pending(replay[0]) == "0" })
	for _, key := range keys {
		in.awaitStatus(http.StatusNotFound, replay[1], key)
	}
	for _, m := range record {
		in.start(m)
	}
	in.awaitReady(in.members...)
}

// TestUpgrade_OldAndNewSideBySide upgrades four instances one by one, and downgrades them again, while clients use them. No request
// may fail.
func TestUpgrade_OldAndNewSideBySide(t *testing.T) {
	in := install(t)
	first, second := []*member{in.members[1], in.members[3]}, []*member{in.members[0], in.members[2]} // one in each datacentre

	clients := startLoad(in.dc1, in.dc2)
	clients.await(t, 100, "old-old")
	in.keep(in.members[0])
	in.must(in.fleet.ApplySchema(t.Context(), in.programs[newVersion]))
	clients.await(t, 100, "old-old")
	for _, m := range first {
		in.replace(m, newVersion)
	}
	clients.await(t, 200, "old-new", "new-old", "old-old", "new-new")
	in.keep(in.members[1])
	in.checkKept()
	clients.end(t)

	in.recordAndReplay(second, first) // the old version records, the new one replays
	in.recordAndReplay(first, second)

	clients = startLoad(in.dc1, in.dc2)
	for _, m := range second {
		in.replace(m, newVersion)
	}
	clients.await(t, 100, "new-new")
	in.checkKept()
	for _, m := range in.members {
		in.replace(m, oldVersion)
		clients.await(t, 20, "old-old")
	}
	clients.await(t, 100, "old-old")
	in.checkKept()
	clients.end(t)
	for _, m := range in.members {
		if log := m.Log(); strings.Contains(log, `"level":"ERROR"`) {
			t.Errorf("%s has logged an error:\n%s", m.Name, log)
		}
	}
}
