package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/store"
)

// recordingTable is a table in memory that records the keys and values that it gets.
type recordingTable struct {
	*store.Memory
	mu   sync.Mutex
	keys []access.Key
	data [][]byte
}

func newTable() *recordingTable {
	return &recordingTable{Memory: store.NewMemory(1<<30, time.Now)}
}

func (r *recordingTable) record(key access.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, key)
}

func (r *recordingTable) Read(ctx context.Context, key access.Key) (store.Row, error) {
	r.record(key)
	return r.Memory.Read(ctx, key)
}

func (r *recordingTable) Deleted(ctx context.Context, key access.Key) (bool, error) {
	r.record(key)
	return r.Memory.Deleted(ctx, key)
}

func (r *recordingTable) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	r.record(key)
	r.data = append(r.data, data)
	return r.Memory.Write(ctx, key, data, timestamp, ttl)
}

func (r *recordingTable) Delete(ctx context.Context, key access.Key, d store.Deletion, c store.Consistency) error {
	r.record(key)
	return r.Memory.Delete(ctx, key, d, c)
}

func (r *recordingTable) RecordPending(ctx context.Context, key access.Key, d store.Deletion) error {
	r.record(key)
	return r.Memory.RecordPending(ctx, key, d)
}

// contains reports whether any n consecutive bytes of secret are in the recorded keys and values.
func (r *recordingTable) contains(secret []byte, n int) bool {
	for i := 0; i+n <= len(secret); i++ {
		for _, key := range r.keys {
			if strings.Contains(string(key), string(secret[i:i+n])) {
				return true
			}
		}
		for _, data := range r.data {
			if bytes.Contains(data, secret[i:i+n]) {
				return true
			}
		}
	}
	return false
}

// modify replaces the value of a row with change of it. The new value has a later timestamp.
func (r *recordingTable) modify(t *testing.T, rowKey access.Key, change func([]byte) []byte) {
	t.Helper()
	row, err := r.Memory.Read(t.Context(), rowKey)
	if err != nil || row.Data == nil {
		t.Fatalf("there is no row to modify (%v)", err)
	}
	if err := r.Memory.Write(t.Context(), rowKey, change(row.Data), row.Timestamp+1, row.TTL); err != nil {
		t.Fatal(err)
	}
}

// instance is a Collection on sealed rows, with its log and metrics. Its keys and clock can be changed.
type instance struct {
	*store.Collection
	name    string
	keys    *Keys
	ahead   time.Duration // of its clock
	metrics *prometheus.Registry
	log     bytes.Buffer
	policy  *access.Policy
}

const testToken access.Token = "a-token-of-this-test"

func newInstance(t testing.TB, name string, table store.Rows, keys *Keys) *instance {
	t.Helper()
	return newInstanceWithRandom(t, name, table, keys, rand.Reader)
}

func newInstanceWithRandom(t testing.TB, name string, table store.Rows, keys *Keys, random io.Reader) *instance {
	t.Helper()
	i := &instance{name: name, keys: keys, metrics: prometheus.NewRegistry()}
	rows := NewRows(table, Config{
		Collection: name, Keys: func() *Keys { return i.keys }, Random: random, Metrics: NewMetrics(i.metrics),
	})
	i.Collection = store.NewCollection(rows, store.CollectionConfig{Name: name, MaxTTL: time.Hour, Fence: time.Minute}, store.Options{
		Now: func() time.Time { return time.Now().Add(i.ahead) }, Log: slog.New(slog.NewTextHandler(&i.log, nil)),
		Metrics: store.NewMetrics(i.metrics),
	})
	client := access.Client{Name: "test", Tokens: []access.TokenRule{{SHA256: testToken.HashText()}}, Keys: []string{"*"}}
	for _, action := range []access.Action{access.Get, access.Set, access.Touch, access.Delete} {
		client.Grants = append(client.Grants, access.GrantOn(name, action))
	}
	var err error
	if i.policy, err = accesstest.Policy([]access.Client{client}, []string{name}, time.Now); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *instance) caller(action access.Action, key access.Key) access.Caller {
	id, err := i.policy.Authenticate(access.Credentials{Authorization: []string{"Bearer " + string(testToken)}})
	if err != nil {
		panic(err) // the policy is this test's own
	}
	caller, err := access.Authorize(id, access.GrantOn(i.name, action), key)
	if err != nil {
		panic(err)
	}
	return caller
}

func (i *instance) get(key access.Key) (store.Value, error) {
	return i.Get(context.Background(), i.caller(access.Get, key), key)
}

func (i *instance) set(key access.Key, data string) error {
	return i.Set(context.Background(), i.caller(access.Set, key), key, []byte(data), time.Minute)
}

func (i *instance) touch(key access.Key) error {
	return i.Touch(context.Background(), i.caller(access.Touch, key), key, time.Hour)
}

func (i *instance) delete(key access.Key) error {
	return i.Delete(context.Background(), i.caller(access.Delete, key), key)
}

// rowKey returns the key of a row in the table.
func (i *instance) rowKey(key access.Key) access.Key { return i.keys.locate(i.name, key).rowKey }

// rotate puts other seal keys in force.
func (i *instance) rotate(t *testing.T, index IndexKey, seals ...SealKey) {
	t.Helper()
	next, err := i.keys.Replace(index, seals)
	if err != nil {
		t.Fatal(err)
	}
	i.keys = next
}

// opened returns how many values were opened with a result.
func (i *instance) opened(t *testing.T, result string) (n float64) {
	t.Helper()
	families, err := i.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if labels := m.GetLabel(); f.GetName() == "userinfo_store_openings_total" && labels[1].GetValue() == result {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

func TestRows_HideKeysAndValues(t *testing.T) {
	const window = 6 // bytes; shorter sequences occur by chance
	index, seals := newTestKeys(t, 1)
	secrets := rapid.SliceOfN(rapid.Byte(), window, 300)
	rapid.Check(t, func(rt *rapid.T) {
		table := newTable()
		sessions := newInstance(t, "sessions", table, mustKeys(t, index, seals...))
		tokens := newInstance(t, "tokens", table, mustKeys(t, index, seals...))
		key := access.Key(append([]byte("marked"), secrets.Draw(rt, "key")...))
		value := "planted" + string(secrets.Draw(rt, "value"))
		other := key + "another"
		for _, err := range []error{
			sessions.set(key, value), sessions.set(key, value), sessions.touch(key), sessions.set(other, value), tokens.set(key, value),
		} {
			if err != nil {
				rt.Fatal(err)
			}
		}
		// Each set and the touch have written the same value.
		if len(table.data) != 5 {
			rt.Fatalf("%d writes", len(table.data))
		}
		for i, a := range table.data {
			for j, b := range table.data[:i] {
				if bytes.Equal(a[idEnd:], b[idEnd:]) || bytes.Equal(a[nonceEnd:], b[nonceEnd:]) || bytes.Equal(a[idEnd:nonceEnd], b[idEnd:nonceEnd]) {
					rt.Errorf("writes %d and %d look equal", i, j)
				}
			}
		}
		if _, err := sessions.get(key); err != nil {
			rt.Error(err)
		}
		if err := errors.Join(sessions.delete(key), sessions.delete(other), tokens.delete(key)); err != nil {
			rt.Error(err)
		}
		if table.contains([]byte(key), window) || table.contains([]byte(value), window) {
			rt.Error("a part of the key or of the value is in the table")
		}
		different := make(map[access.Key]bool)
		for _, k := range table.keys {
			if different[k] = true; len(k) != 32 {
				rt.Errorf("a row key of %d bytes", len(k))
			}
		}
		if len(different) != 3 { // two keys in one collection, and one of them in another collection
			rt.Errorf("%d row keys for 3 rows", len(different))
		}
	})
}

// TestRows_HideKeysOfPendingDeletes checks the one write that no successful operation makes.
func TestRows_HideKeysOfPendingDeletes(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	table := newTable()
	rows := NewRows(table, Config{
		Collection: "sessions", Keys: func() *Keys { return mustKeys(t, index, seals...) }, Random: rand.Reader,
		Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	if err := rows.RecordPending(t.Context(), "marked-key", store.Deletion{Tombstone: 1}); err != nil {
		t.Fatal(err)
	}
	if len(table.keys) != 1 || table.contains([]byte("marked-key"), 6) {
		t.Errorf("recorded under %q", table.keys)
	}
}

func TestRows_ModifiedValueIsAnErrorUntilItIsOverwrittenOrDeleted(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	for name, c := range map[string]struct {
		change func([]byte) []byte
		result string
	}{
		"a byte changed":   {func(b []byte) []byte { b[len(b)-1]++; return b }, "damaged"},
		"cut short":        {func(b []byte) []byte { return b[:3] }, "unknown_format"},
		"emptied":          {func(b []byte) []byte { return b[:0] }, "unknown_format"},
		"not sealed":       {func([]byte) []byte { return []byte("planted-by-somebody") }, "unknown_format"},
		"another seal key": {func(b []byte) []byte { b[1]++; return b }, "unknown_key"},
	} {
		t.Run(name, func(t *testing.T) {
			table := newTable()
			i := newInstance(t, "sessions", table, mustKeys(t, index, seals...))
			set := func() {
				t.Helper()
				if err := i.set("marked-key", "marked-value"); err != nil {
					t.Fatal(err)
				}
			}
			set()
			table.modify(t, i.rowKey("marked-key"), c.change)
			got, getErr := i.get("marked-key")
			if got.Data != nil || !errors.Is(getErr, store.ErrSealed) || errors.Is(getErr, store.ErrNotFound) {
				t.Errorf("get: %d bytes, error %v", len(got.Data), getErr)
			}
			if err := i.touch("marked-key"); !errors.Is(err, store.ErrSealed) {
				t.Errorf("touch: error %v", err)
			}
			if n := i.opened(t, c.result); n != 2 {
				t.Errorf("%v are counted as %s, want 2", n, c.result)
			}

			set() // overwriting does not need to open the old value
			if got, err := i.get("marked-key"); err != nil || string(got.Data) != "marked-value" {
				t.Errorf("get after a set: %d bytes, error %v", len(got.Data), err)
			}
			table.modify(t, i.rowKey("marked-key"), c.change)
			if err := i.delete("marked-key"); err != nil {
				t.Errorf("delete: %v", err)
			}
			if _, err := i.get("marked-key"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("get after a delete: %v", err)
			}
			if said := i.log.String() + fmt.Sprint(getErr); strings.Contains(said, "marked") || strings.Contains(said, "planted") {
				t.Errorf("a key or value is logged: %s", said)
			}
			if !strings.Contains(i.log.String(), "cannot be opened") {
				t.Errorf("the delete is not logged: %s", &i.log)
			}
		})
	}
}

// TestRows_ModifiedValueFromTheFutureCanBeDeleted checks that a delete learns the timestamp of a value that it cannot
// open. The tombstone must be later.
func TestRows_ModifiedValueFromTheFutureCanBeDeleted(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	table := newTable()
	ahead := newInstance(t, "sessions", table, mustKeys(t, index, seals...))
	ahead.ahead = time.Hour // much more than the fence
	if err := ahead.set("key", "value"); err != nil {
		t.Fatal(err)
	}
	table.modify(t, ahead.rowKey("key"), func(b []byte) []byte { b[20]++; return b })
	if err := newInstance(t, "sessions", table, mustKeys(t, index, seals...)).delete("key"); err != nil {
		t.Fatal(err)
	}
	// Read the table, because the marker would hide the value from a get for a while.
	if row, err := table.Memory.Read(t.Context(), ahead.rowKey("key")); err != nil || row.Data != nil {
		t.Errorf("%d bytes are still in the table (%v)", len(row.Data), err)
	}
}

func TestRows_ValueCopiedToAnotherRowIsAnError(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	table := newTable()
	keys := mustKeys(t, index, seals...)
	sessions, tokens := newInstance(t, "sessions", table, keys), newInstance(t, "tokens", table, keys)
	if err := sessions.set("alice", "who=alice"); err != nil {
		t.Fatal(err)
	}
	row, err := table.Memory.Read(t.Context(), sessions.rowKey("alice"))
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []struct {
		instance *instance
		key      access.Key
	}{{sessions, "mallory"}, {tokens, "alice"}} {
		if err := table.Memory.Write(t.Context(), to.instance.rowKey(to.key), row.Data, row.Timestamp, row.TTL); err != nil {
			t.Fatal(err)
		}
		if got, err := to.instance.get(to.key); got.Data != nil || !errors.Is(err, store.ErrSealed) {
			t.Errorf("copied to %s: %d bytes, error %v", to.instance.name, len(got.Data), err)
		}
	}
}

func TestRows_TouchSealsWithTheFirstKey(t *testing.T) {
	index, seals := newTestKeys(t, 2)
	i := newInstance(t, "sessions", newTable(), mustKeys(t, index, seals[0]))
	for _, key := range []access.Key{"touched", "set", "left"} {
		if err := i.set(key, "value"); err != nil {
			t.Fatal(err)
		}
	}
	i.rotate(t, index, seals[1], seals[0])
	if err := errors.Join(i.touch("touched"), i.set("set", "value")); err != nil {
		t.Fatal(err)
	}
	if n := i.opened(t, "older_key"); n != 1 {
		t.Errorf("%v are counted as opened with an older key, want 1", n)
	}
	i.rotate(t, index, seals[1])
	for _, key := range []access.Key{"touched", "set"} {
		if got, err := i.get(key); err != nil || string(got.Data) != "value" {
			t.Errorf("%d bytes, error %v", len(got.Data), err)
		}
	}
	if _, err := i.get("left"); !errors.Is(err, store.ErrSealed) || !strings.Contains(err.Error(), seals[0].ID().String()) {
		t.Errorf("a value of the removed key: error %v", err)
	}
	if n := i.opened(t, "unknown_key"); n != 1 {
		t.Errorf("%v are counted as sealed with an unknown key, want 1", n)
	}
}

func TestRows_WriteFailsWithoutRandomness(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	table := newTable()
	i := newInstanceWithRandom(t, "sessions", table, mustKeys(t, index, seals...), strings.NewReader(""))
	if err := i.set("key", "value"); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, io.EOF) || len(table.data) != 0 {
		t.Errorf("%d writes, error %v", len(table.data), err)
	}
}

func TestNewRows_PanicsIfAnythingIsMissing(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	keys := mustKeys(t, index, seals...)
	for name, remove := range map[string]func(*Config){
		"no collection": func(c *Config) { c.Collection = "" },
		"no keys":       func(c *Config) { c.Keys = nil },
		"nil keys":      func(c *Config) { c.Keys = func() *Keys { return nil } },
		"no randomness": func(c *Config) { c.Random = nil },
		"no metrics":    func(c *Config) { c.Metrics = nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Collection: "sessions", Keys: func() *Keys { return keys }, Random: rand.Reader, Metrics: NewMetrics(prometheus.NewRegistry())}
			remove(&c)
			defer func() {
				if recover() == nil {
					t.Error("did not panic")
				}
			}()
			NewRows(newTable(), c)
		})
	}
}
