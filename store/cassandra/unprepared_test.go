package cassandra

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"userinfo/store"
	"userinfo/store/cassandra/coordinator"
)

// TestTable_EndsIfServerForgetsStatements uses a server that answers UNPREPARED for ever. gocql v1.7.0 then calls itself until
// the context ends.
func TestTable_EndsIfServerForgetsStatements(t *testing.T) {
	s := newStub(t)
	table := s.openTable()
	if err := table.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.set(func(s *stubState) { s.unprepared = true })
	before := memory()
	const limit = 400 * time.Millisecond
	for name, statement := range map[string]func(context.Context) error{
		"query": table.Ready,
		"batch": func(ctx context.Context) error {
			return table.Delete(ctx, "key", store.Deletion{Tombstone: 1}, store.LocalQuorum)
		},
	} {
		var calls sync.WaitGroup
		for range 10 {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				if err := statement(ctx); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, coordinator.ErrUnprepared) {
					t.Errorf("%s: got error %v, want coordinator.ErrUnprepared", name, err)
				}
			})
		}
		calls.Wait()
	}
	eventually(t, "all goroutines have ended", func() bool { return memory().goroutines <= before.goroutines })
	if after := memory(); after.stack > before.stack+8<<20 || after.heap > before.heap+8<<20 {
		t.Errorf("before: %+v, after: %+v", before, after)
	}
	s.set(func(s *stubState) { s.unprepared = false })
	if err := table.Ready(t.Context()); err != nil {
		t.Errorf("the server works again, but Ready returned %v", err)
	}
}

func TestAdmin_EndsIfServerForgetsStatements(t *testing.T) {
	s := newStub(t)
	admin, err := OpenAdmin(t.Context(), s.config(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	s.set(func(s *stubState) { s.unprepared = true })
	if _, err := admin.Query(t.Context(), "SELECT key FROM ks.sessions WHERE key = ?", []byte("key")); !errors.Is(err, coordinator.ErrUnprepared) {
		t.Errorf("got error %v, want coordinator.ErrUnprepared", err)
	}
}

// memoryUse is what the process uses, in bytes.
type memoryUse struct{ stack, heap, goroutines uint64 }

func memory() memoryUse {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memoryUse{m.StackInuse, m.HeapInuse, uint64(runtime.NumGoroutine())}
}
