package cassandra

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestSession_CloseGivesUpAfterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		defer close(stuck)
		for _, c := range []struct {
			closeSession func()
			want         time.Duration
		}{
			{func() {}, 0},
			{func() { time.Sleep(time.Second) }, time.Second},
			{func() { <-stuck }, closeTimeout},
		} {
			start := time.Now()
			closeWithTimeout(c.closeSession)
			if took := time.Since(start); took != c.want {
				t.Errorf("took %v, want %v", took, c.want)
			}
		}
	})
}

func TestOpen_ConnectsOnlyIfContextHasNotEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	log := slog.New(slog.DiscardHandler)
	if _, err := Open(ctx, Config{}, NewMetrics(prometheus.NewRegistry()), log, time.Now); !errors.Is(err, context.Canceled) {
		t.Errorf("Open returned %v, want context.Canceled", err)
	}
	if _, err := OpenAdmin(ctx, Config{}, log); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenAdmin returned %v, want context.Canceled", err)
	}
}
