package store

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/accesstest"
)

// interposed are rows whose next remove is preceded by something else: a delete that is slow on its way.
type interposed struct {
	Rows
	before func()
}

func (i *interposed) Delete(ctx context.Context, key access.Key, d Deletion, c Consistency) error {
	if before := i.before; before != nil {
		i.before = nil
		before()
	}
	return i.Rows.Delete(ctx, key, d, c)
}

const fenceKey access.Key = "k"

// fenced is a collection with this fence, by a clock that is ahead.
func fenced(t *testing.T, r Rows, fence, ahead time.Duration) *Collection {
	t.Helper()
	return NewCollection(r, CollectionConfig{Name: "sessions", Layout: LayoutKask, MaxTTL: 24 * time.Hour, Fence: fence}, Options{
		Now:     func() time.Time { return time.Now().Add(ahead) },
		Log:     slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry()),
	})
}

func allowed(t *testing.T, action access.Action) access.Caller {
	t.Helper()
	const token access.Token = "a-token"
	p, err := accesstest.Policy([]access.Client{{
		Name: "test", Tokens: []access.TokenRule{{SHA256: token.HashText()}}, Keys: []string{"*"},
		Grants: []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete"},
	}}, []string{"sessions"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	id, err := p.Authenticate(access.Credentials{Authorization: []string{"Bearer " + string(token)}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := access.Authorize(id, access.GrantOn("sessions", action), fenceKey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestASetThatLandsWhileADeleteIsUnderWayNeverComesBack(t *testing.T) {
	for _, c := range []struct {
		name          string
		fence, behind time.Duration
		takes         time.Duration
	}{
		{"the deleter's clock is nearly the fence behind", time.Minute, 59 * time.Second, 1500 * time.Millisecond},
		{"the delete takes longer than the fence", 2 * time.Second, 0, 2100 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				m := NewMemory(1<<20, time.Now)
				slow := &interposed{Rows: m}
				setter, deleter := fenced(t, m, c.fence, 0), fenced(t, slow, c.fence, -c.behind)
				slow.before = func() {
					time.Sleep(c.takes)
					if err := setter.Set(ctx, allowed(t, access.Set), fenceKey, []byte("alice"), time.Hour); err != nil {
						t.Fatal(err)
					}
				}
				if err := deleter.Delete(ctx, allowed(t, access.Delete), fenceKey); err != nil {
					t.Fatal(err)
				}
				for range 600 {
					if v, err := setter.Get(ctx, allowed(t, access.Get), fenceKey); !errors.Is(err, ErrNotFound) {
						t.Fatalf("read %d bytes, error %v", len(v.Data), err)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

func TestATouchDoesNotWinOverASetWhoseTimestampIsTheNext(t *testing.T) {
	ctx := context.Background()
	stopped := time.Now() // so that timestamps are as close as they can be
	c := fenced(t, NewMemory(1<<20, time.Now), time.Minute, 0)
	c.stamps.now = func() time.Time { return stopped }
	set := func(value string) {
		if err := c.Set(ctx, allowed(t, access.Set), fenceKey, []byte(value), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	set("older")
	c.beforeWrite = func() {
		c.beforeWrite = func() {}
		set("newer")
	}
	if err := c.Touch(ctx, allowed(t, access.Touch), fenceKey, 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Get(ctx, allowed(t, access.Get), fenceKey); err != nil || string(v.Data) != "newer" {
		t.Errorf("read %q, error %v", v.Data, err)
	}
}

func TestAValueOfAWildClockCanBeDeleted(t *testing.T) {
	for name, timestamp := range map[string]int64{
		"the latest there is": math.MaxInt64, "in 15 years": time.Now().AddDate(15, 0, 0).UnixMicro(),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			m := NewMemory(1<<20, time.Now)
			c := fenced(t, m, time.Minute, 0)
			if err := c.rows.Write(ctx, fenceKey, []byte("v"), timestamp, time.Hour); err != nil {
				t.Fatal(err)
			}
			if err := c.Delete(ctx, allowed(t, access.Delete), fenceKey); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Get(ctx, allowed(t, access.Get), fenceKey); !errors.Is(err, ErrNotFound) {
				t.Errorf("error %v", err)
			}
			if r := c.removal(c.stamps.next(), timestamp); time.Now().Add(r.MarkerTTL).After(lastExpiry) {
				t.Errorf("the marker would live for %v, to beyond what a cell can hold", r.MarkerTTL)
			}
		})
	}
}
