//go:build integration

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"userinfo/internal/fleet"
)

// The instance that took the deletes is killed, Cassandra's hints are of no use, and no client asks again.
func TestADeleteThatTheOtherDatacentreMissedIsThereWithinAMinuteOfTheLinksReturn(t *testing.T) {
	ctx := context.Background()
	w := shared
	taker, far := w.serve(t, "dc1"), w.serve(t, "dc2")
	here, there := w.client(taker), w.client(far)
	restore := w.uselessHints(t)
	keys := here.loadKeys(t, 12)
	for _, key := range keys {
		there.awaitStatus(t, key, http.StatusOK)
	}

	cut := w.cluster.LinkBetween("dc1", "dc2")
	if err := w.cluster.Cut(ctx, cut); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		here.want(t, http.StatusServiceUnavailable, http.MethodDelete, key, "")
		here.want(t, http.StatusNotFound, http.MethodGet, key, "")
		there.want(t, http.StatusOK, http.MethodGet, key, "")
	}
	here.want(t, http.StatusServiceUnavailable, http.MethodDelete, keys[0], "") // asked again, it is not true yet
	w.awaitPending(t, taker, len(keys))
	if err := taker.Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(hintLife) // the hints' own, which no event tells of

	if err := w.cluster.Heal(ctx, cut); err != nil {
		t.Fatal(err)
	}
	healed := time.Now()
	w.settle(t)
	t.Logf("the nodes see each other %v after the link's return", time.Since(healed).Round(time.Second))
	restore()
	heir := w.serve(t, "dc1")
	for _, key := range keys {
		there.awaitStatus(t, key, http.StatusNotFound)
	}
	took := time.Since(healed).Round(time.Second)
	if took > time.Minute {
		t.Errorf("the last delete was there %v after the link's return", took)
	}
	t.Logf("the last delete was there %v after the link's return", took)
	again := w.client(heir)
	for _, key := range keys {
		again.want(t, http.StatusNoContent, http.MethodDelete, key, "")
	}
	w.awaitPending(t, heir, 0)
	w.awaitPending(t, far, 0)
}

// hintLife is longer than hints are good for between uselessHints and its restore.
const hintLife = 3 * time.Second

// uselessHints has Cassandra drop hints for sessions after a second, as it does in earnest after max_hint_window: a hint
// is never older than the gc_grace_seconds that its table had when it was made. Instances refuse to start until restore.
func (w *world) uselessHints(t *testing.T) (restore func()) {
	t.Helper()
	alter := func(seconds int) {
		if _, err := w.cluster.CQL(context.Background(), w.cluster.Nodes("dc1")[0],
			fmt.Sprintf("ALTER TABLE userinfo.sessions WITH gc_grace_seconds = %d", seconds)); err != nil {
			t.Fatal(err)
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
		if err := w.cluster.HealAll(context.Background()); err != nil {
			t.Error(err)
		}
		w.settle(t)
		restore()
	})
	return restore
}

// awaitPending waits until an instance says that so many deletes are pending.
func (w *world) awaitPending(t *testing.T, i *fleet.Instance, want int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		got := w.metric(t, i, "userinfo_pending_deletes")
		if got == float64(want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%v deletes are pending, not %d, after 30 s:\n%s", got, want, i.Log())
		}
	}
}

// metric is a metric without labels of an instance.
func (w *world) metric(t *testing.T, i *fleet.Instance, name string) float64 {
	t.Helper()
	text := w.metrics(t, i)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("there is no metric %s in %d bytes", name, len(text))
	return 0
}

// metrics are all of an instance's, as it exposes them.
func (w *world) metrics(t *testing.T, i *fleet.Instance) string {
	t.Helper()
	c := w.client(i)
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, i.BaseURL()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", c.auth)
	answer, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("metrics are answered %d", answer.StatusCode)
	}
	return string(text)
}
