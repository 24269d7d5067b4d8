//go:build integration

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"userinfo/internal/fleet"
)

// TestPendingDeletes_AreReplayedWithinOneMinute deletes sessions while the datacentres are cut apart. Then it kills the
// instance and lets Cassandra's hints expire, so that only another instance can replay the deletes.
func TestPendingDeletes_AreReplayedWithinOneMinute(t *testing.T) {
	ctx := context.Background()
	env := shared
	killed, far := env.serve(t, "dc1"), env.serve(t, "dc2")
	here, there := env.client(killed), env.client(far)
	restore := env.expireHints(t, "sessions")
	keys := here.createSessions(t, 12)
	for _, key := range keys {
		there.waitStatus(t, key, http.StatusOK)
	}

	cut := env.cluster.LinkBetween("dc1", "dc2")
	if err := env.cluster.Cut(ctx, cut); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		here.expect(t, http.StatusServiceUnavailable, http.MethodDelete, key, "")
		here.expect(t, http.StatusNotFound, http.MethodGet, key, "")
		there.expect(t, http.StatusOK, http.MethodGet, key, "")
	}
	if env.metric(t, killed, "userinfo_deletes_hurried_total") == 0 {
		t.Error("no delete was hurried before Cassandra noticed the cut")
	}
	here.expect(t, http.StatusServiceUnavailable, http.MethodDelete, keys[0], "") // repeated, it is still not confirmed
	env.waitPending(t, killed, len(keys))
	env.waitCutNoticed(t) // if the nodes notice the cut only after it is healed, they need longer to return
	if err := killed.Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(hintLifetime) // no event reports that hints have expired

	if err := env.cluster.Heal(ctx, cut); err != nil {
		t.Fatal(err)
	}
	healed := time.Now()
	env.waitAllUp(t)
	t.Logf("the nodes see each other %v after the link was healed", time.Since(healed).Round(time.Second))
	restore()
	successor := env.serve(t, "dc1")
	for _, key := range keys {
		there.waitStatus(t, key, http.StatusNotFound)
	}
	took := time.Since(healed).Round(time.Second)
	if took > time.Minute {
		t.Errorf("the last delete was replayed %v after the link was healed", took)
	}
	t.Logf("the last delete was replayed %v after the link was healed", took)
	again := env.client(successor)
	for _, key := range keys {
		again.expect(t, http.StatusNoContent, http.MethodDelete, key, "")
	}
	env.waitPending(t, successor, 0)
	env.waitPending(t, far, 0)
}

// waitCutNoticed waits until the nodes of each datacentre see the other datacentre's nodes as down.
func (env *environment) waitCutNoticed(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, near := range env.cluster.Nodes("dc1") {
		for _, far := range env.cluster.Nodes("dc2") {
			if err := errors.Join(env.cluster.WaitDown(ctx, near, far), env.cluster.WaitDown(ctx, far, near)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// hintLifetime is longer than the lifetime of hints between expireHints and restore.
const hintLifetime = 3 * time.Second

// expireHints makes hints for tables expire after one second, as they do after max_hint_window in production: a hint
// expires after the gc_grace_seconds that its table had when the hint was written. Instances do not start until restore is
// called.
func (env *environment) expireHints(t *testing.T, tables ...string) (restore func()) {
	t.Helper()
	alter := func(seconds int) {
		for _, table := range tables {
			env.alter(t, fmt.Sprintf("ALTER TABLE userinfo.%s WITH gc_grace_seconds = %d", table, seconds))
		}
	}
	alter(1)
	done := false
	restore = func() {
		if !done {
			done = true
			alter(90000)
		}
	}
	t.Cleanup(func() {
		if err := env.cluster.HealAll(context.Background()); err != nil {
			t.Error(err)
		}
		env.waitAllUp(t)
		restore()
	})
	return restore
}

// waitPending waits until an instance reports this number of pending deletes.
func (env *environment) waitPending(t *testing.T, i *fleet.Instance, want int) {
	t.Helper()
	const patience = 2 * time.Minute
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		got := env.metric(t, i, "userinfo_pending_deletes")
		if got == float64(want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%v deletes are pending after %v, want %d:\n%s", got, patience, want, i.Log())
		}
	}
}

// metric returns the value of a metric without labels.
func (env *environment) metric(t *testing.T, i *fleet.Instance, name string) float64 {
	t.Helper()
	text := env.metrics(t, i)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no metric %s in %d bytes", name, len(text))
	return 0
}

// metrics returns the response of /metrics.
func (env *environment) metrics(t *testing.T, i *fleet.Instance) string {
	t.Helper()
	c := env.client(i)
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, i.BaseURL()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", c.auth)
	response, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("status %d of /metrics", response.StatusCode)
	}
	return string(text)
}
