package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/accesstest"
)

// slowDelete is a table whose next Delete is slow: it calls beforeDelete first.
type slowDelete struct {
	Rows
	beforeDelete func()
}

func (s *slowDelete) Delete(ctx context.Context, key access.Key, d Deletion, c Consistency) error {
	if before := s.beforeDelete; before != nil {
		s.beforeDelete = nil
		before()
	}
	return s.Rows.Delete(ctx, key, d, c)
}

const testKey access.Key = "k"

// newTestCollection returns a collection of an instance whose clock is ahead.
func newTestCollection(t *testing.T, rows Rows, fence, ahead time.Duration) *Collection {
	t.Helper()
	config := CollectionConfig{Name: "sessions", Layout: LayoutKask, MaxTTL: 24 * time.Hour, Fence: fence}
	return NewCollection(rows, config, Options{
		Now:     func() time.Time { return time.Now().Add(ahead) },
		Log:     slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry()),
	})
}

// newCaller returns a Caller who may do something with a key of the collection sessions.
func newCaller(t testing.TB, action access.Action, key access.Key) access.Caller {
	t.Helper()
	caller, err := accesstest.Caller("test", "sessions", action, key)
	if err != nil {
		t.Fatal(err)
	}
	return caller
}

func TestCollection_Delete_HidesSetThatIsWrittenDuringTheDelete(t *testing.T) {
	for _, c := range []struct {
		name          string
		fence, behind time.Duration
		duration      time.Duration
	}{
		{"the deleter's clock is almost the fence behind", time.Minute, 59 * time.Second, 1500 * time.Millisecond},
		{"the delete takes longer than the fence", 2 * time.Second, 0, 2100 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				memory := NewMemory(1<<20, time.Now)
				slow := &slowDelete{Rows: memory}
				setter, deleter := newTestCollection(t, memory, c.fence, 0), newTestCollection(t, slow, c.fence, -c.behind)
				slow.beforeDelete = func() {
					time.Sleep(c.duration)
					if err := setter.Set(ctx, newCaller(t, access.Set, testKey), testKey, []byte("alice"), time.Hour); err != nil {
						t.Error(err)
					}
				}
				if err := deleter.Delete(ctx, newCaller(t, access.Delete, testKey), testKey); err != nil {
					t.Fatal(err)
				}
				for range 600 {
					if v, err := setter.Get(ctx, newCaller(t, access.Get, testKey), testKey); !errors.Is(err, ErrNotFound) {
						t.Fatalf("got %d bytes and error %v, want %v", len(v.Data), err, ErrNotFound)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

func TestCollection_Delete_ValueWithTimestampInTheFarFuture(t *testing.T) {
	for name, timestamp := range map[string]int64{
		"the largest timestamp": math.MaxInt64, "in 15 years": time.Now().AddDate(15, 0, 0).UnixMicro(),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			c := newTestCollection(t, NewMemory(1<<20, time.Now), time.Minute, 0)
			if err := c.rows.Write(ctx, testKey, []byte("v"), timestamp, time.Hour); err != nil {
				t.Fatal(err)
			}
			if err := c.Delete(ctx, newCaller(t, access.Delete, testKey), testKey); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Get(ctx, newCaller(t, access.Get, testKey), testKey); !errors.Is(err, ErrNotFound) {
				t.Errorf("got error %v, want %v", err, ErrNotFound)
			}
			if d := c.newDeletion(c.timestamps.next(), timestamp, time.Minute); time.Now().Add(d.MarkerTTL).After(lastExpiry) {
				t.Errorf("the marker would live for %v, longer than Cassandra can store", d.MarkerTTL)
			}
		})
	}
}

func TestCollection_Delete_RecordsPendingDeleteBeforeErrNotEverywhere(t *testing.T) {
	for applied, name := range []string{"no datacentre applied it", "the local datacentre applied it", "every datacentre applied it"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newDatacentres()
				local, remote := c.instance(t, 0, testFence), c.instance(t, 1, testFence)
				local.set("k")
				c.change(func() { c.cut, c.applied = true, applied })
				local.delete("k", ErrNotEverywhere)
				local.wantPending("after the delete", 1)
				local.wantFound("after the delete, local", "k", false)
				remote.wantFound("after the delete, remote", "k", applied < 2)
				local.wantMetrics("after the delete", nil)
				c.reconnect()
				local.start()
				synctest.Wait()
				remote.wantFound("after the return", "k", false)
				local.wantPending("after the return", 0)
			})
		})
	}
}

func TestCollection_Delete_RecordsNothingIfEveryDatacentreConfirms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := newDatacentres().instance(t, 0, testFence)
		local.set("k")
		local.delete("k", nil)
		local.wantPending("after the delete", 0)
	})
}

func TestCollection_Delete_PromisesNothingIfRecordingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		local.set("k")
		c.change(func() { c.cut, c.noWrites = true, true })
		local.delete("k", ErrUnavailable)
		local.wantFound("after the delete", "k", false)
		local.wantMetrics("after the delete", map[string]float64{"_unrecorded_total": 1})
		local.wantLogged("level=ERROR", 1)
		local.wantLogged("could not be recorded", 1)
	})
}

// TestCollection_Delete_LaterHidesSetInAnotherDatacentre shows the first limit in the package comment.
func TestCollection_Delete_LaterHidesSetInAnotherDatacentre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, remote := deleteDuringCut(t, "k")
		time.Sleep(time.Second)
		remote.set("k") // succeeds: the marker has not arrived here
		remote.wantFound("during the cut", "k", true)
		c.reconnect()
		local.start()
		synctest.Wait()
		remote.wantFound("after the return", "k", false)
		time.Sleep(2 * TombstoneLead(testFence))
		remote.wantFound("after the fence", "k", false)
	})
}

// TestCollection_Delete_ExemptKeyCanBeSetBeforeTheDeleteIsFinished shows that finishing a delete does not undo a later set.
func TestCollection_Delete_ExemptKeyCanBeSetBeforeTheDeleteIsFinished(t *testing.T) {
	exempt, err := access.ParseKeyPatterns("", []string{"*:lock"})
	if err != nil {
		t.Fatal(err)
	}
	for _, hurried := range []bool{false, true} {
		t.Run(fmt.Sprintf("hurried: %v", hurried), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newDatacentres()
				local := c.instance(t, 0, testFence)
				local.collection.config.FenceExempt = exempt
				local.set("k:lock")
				c.cutUndetected(1)
				if hurried {
					local.hurry()
				}
				local.delete("k:lock", ErrNotEverywhere)
				local.set("k:lock")
				local.wantFound("after the set", "k:lock", true)
				c.heal(0)
				local.start()
				time.Sleep(recoveryTime)
				synctest.Wait()
				local.wantFound("after the delete is finished", "k:lock", true)
				local.wantPending("after the delete is finished", 0)
			})
		})
	}
}
