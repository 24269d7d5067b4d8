package cassandra

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
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
			closeWithTimeout(c.closeSession, nil)
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

func TestSession_QueryReturnsRowsByColumn(t *testing.T) {
	t.Parallel()
	s := newStub(t)
	session, _ := s.open(s.config(), slog.New(slog.DiscardHandler))
	rows, err := session.Query(t.Context(), replicationCQL, "ks")
	if err != nil || len(rows) != 1 || !reflect.DeepEqual(rows[0], map[string]any{"replication": s.state().replication}) {
		t.Errorf("got %v, %v", rows, err)
	}
	s.set(func(s *stubState) { s.replication = nil })
	if rows, err := session.Query(t.Context(), replicationCQL, "ks"); err != nil || len(rows) != 0 {
		t.Errorf("without the keyspace: %v, %v", rows, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if rows, err := session.Query(ctx, replicationCQL, "ks"); !errors.Is(err, context.Canceled) || rows != nil {
		t.Errorf("after the end of the context: %v, %v", rows, err)
	}
}
