package store_test

import (
	"errors"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
	"userinfo/store/storetest"
)

func TestMemory_Contract(t *testing.T) {
	tables := map[string]*store.Memory{
		storetest.TableName:     store.NewMemory(1<<30, time.Now),
		storetest.KaskTableName: store.NewMemory(1<<30, time.Now),
	}
	open := func(c store.CollectionConfig) storetest.Table { return tables[c.Table] }
	storetest.RunSealed(t, open, memoryDump{t, tables[storetest.TableName]})
	storetest.Run(t, open)
}

func TestMemory_PendingDeletes(t *testing.T) {
	storetest.RunPendingDeletes(t, func(store.CollectionConfig) storetest.Table { return store.NewMemory(1<<20, time.Now) })
}

// memoryDump implements storetest.Dump.
type memoryDump struct {
	*testing.T
	memory *store.Memory
}

func (d memoryDump) Values() map[string]string { return d.memory.Values() }

func (d memoryDump) Put(rowKey, value string) {
	d.Helper()
	timestamp := time.Now().Add(time.Second).UnixMicro()
	if err := d.memory.Write(d.Context(), access.Key(rowKey), []byte(value), timestamp, time.Hour); err != nil {
		d.Fatal(err)
	}
}

func TestMemory_RecordPending_ErrFull(t *testing.T) {
	deletion := store.Deletion{Tombstone: 1}
	m := store.NewMemory(2*store.RowOverhead+2, time.Now)
	for _, key := range []access.Key{"a", "b"} {
		if err := m.RecordPending(t.Context(), key, deletion); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.RecordPending(t.Context(), "c", deletion); !errors.Is(err, store.ErrFull) {
		t.Errorf("in a full store: error %v, want %v", err, store.ErrFull)
	}
	if err := m.RemovePending(t.Context(), store.PendingDelete{Key: "a", Deletion: deletion}); err != nil {
		t.Fatal(err)
	}
	if err := m.RecordPending(t.Context(), "c", deletion); err != nil {
		t.Errorf("after an entry was removed: %v", err)
	}
}

func TestMemory_Write_ErrFull(t *testing.T) {
	const ttl = time.Minute
	now := time.Now()
	m := store.NewMemory(2*(store.RowOverhead+2), func() time.Time { return now })
	write := func(key access.Key, data string) error {
		return m.Write(t.Context(), key, []byte(data), now.UnixMicro(), ttl)
	}
	if err := errors.Join(write("a", "1"), write("b", "1")); err != nil {
		t.Fatal(err)
	}
	if err := write("c", "1"); !errors.Is(err, store.ErrFull) {
		t.Errorf("a third row: error %v, want %v", err, store.ErrFull)
	}
	if err := write("a", "22"); !errors.Is(err, store.ErrFull) {
		t.Errorf("a larger value: error %v, want %v", err, store.ErrFull)
	}
	now = now.Add(time.Microsecond)
	if err := write("a", "2"); err != nil {
		t.Errorf("a value of the same size: %v", err)
	}
	now = now.Add(2 * ttl)
	if err := write("c", "1"); err != nil {
		t.Errorf("after the other rows have expired: %v", err)
	}
}

func TestMemory_Write_TombstoneHidesALateSet(t *testing.T) {
	now := time.Now()
	m := store.NewMemory(1<<20, func() time.Time { return now })
	timestamp := now.UnixMicro()
	if err := m.Delete(t.Context(), "k", store.Deletion{Tombstone: timestamp + 1}, store.EachQuorum); err != nil {
		t.Fatal(err)
	}
	now = now.Add(3 * time.Second)
	for _, key := range []access.Key{"other", "k"} { // each write looks for rows to remove
		if err := m.Write(t.Context(), key, []byte("late"), timestamp, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if row, err := m.Read(t.Context(), "k"); err != nil || row.Data != nil {
		t.Errorf("the late set has a value of %d bytes (%v), want none", len(row.Data), err)
	}
}
