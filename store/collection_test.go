package store

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
)

func TestNewCollection_PanicsIfRowsAreNotSealed(t *testing.T) {
	for _, layout := range []Layout{"", LayoutUserInfo} {
		t.Run("layout "+string(layout), func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("did not panic")
				}
			}()
			NewCollection(NewMemory(1, time.Now), CollectionConfig{Name: "sessions", Layout: layout, MaxTTL: time.Hour}, Options{
				Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
			})
		})
	}
}

func TestCollection_Touch_AsksBeforeRewrite(t *testing.T) {
	c := newTestCollection(t, NewMemory(1<<20, time.Now), time.Minute, 0)
	if err := c.Set(t.Context(), newCaller(t, access.Set, testKey), testKey, []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	for _, want := range []error{refused, nil} {
		size := 0
		ctx := WithRewrite(t.Context(), func(n int) error {
			size = n
			return want
		})
		if err := c.Touch(ctx, newCaller(t, access.Touch, testKey), testKey, 24*time.Hour); !errors.Is(err, want) || size != len("value") {
			t.Errorf("got %v for %d bytes; want %v", err, size, want)
		}
		v, err := c.Get(t.Context(), newCaller(t, access.Get, testKey), testKey)
		if err != nil || (v.TTL > time.Hour) != (want == nil) {
			t.Errorf("after %v, the TTL is %v, %v", want, v.TTL, err)
		}
	}
}

func TestCollection_Touch_LosesAgainstSetWithTheNextTimestamp(t *testing.T) {
	ctx := context.Background()
	now := time.Now() // the clock stands still, so timestamps are as close as they can be
	c := newTestCollection(t, NewMemory(1<<20, time.Now), time.Minute, 0)
	c.timestamps.now = func() time.Time { return now }
	set := func(value string) {
		if err := c.Set(ctx, newCaller(t, access.Set, testKey), testKey, []byte(value), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	set("older")
	c.beforeWrite = func() {
		c.beforeWrite = func() {}
		set("newer")
	}
	if err := c.Touch(ctx, newCaller(t, access.Touch, testKey), testKey, 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Get(ctx, newCaller(t, access.Get, testKey), testKey); err != nil || string(v.Data) != "newer" {
		t.Errorf("got %q and error %v, want the newer value", v.Data, err)
	}
}
