package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"userinfo/access"
	"userinfo/access/accesstest"
)

// watched are rows in memory, and all that they were ever told.
type watched struct {
	*Memory
	keys []access.Key
	data [][]byte
}

func newWatched() *watched { return &watched{Memory: NewMemory(1<<30, time.Now)} }

func (w *watched) Read(ctx context.Context, key access.Key) (Row, error) {
	w.keys = append(w.keys, key)
	return w.Memory.Read(ctx, key)
}

func (w *watched) Deleted(ctx context.Context, key access.Key) (bool, error) {
	w.keys = append(w.keys, key)
	return w.Memory.Deleted(ctx, key)
}

func (w *watched) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	w.keys, w.data = append(w.keys, key), append(w.data, data)
	return w.Memory.Write(ctx, key, data, timestamp, ttl)
}

func (w *watched) Delete(ctx context.Context, key access.Key, r Deletion, c Consistency) error {
	w.keys = append(w.keys, key)
	return w.Memory.Delete(ctx, key, r, c)
}

// shows tells whether any n bytes in a row of secret came to the rows.
func (w *watched) shows(secret []byte, n int) bool {
	for i := 0; i+n <= len(secret); i++ {
		for _, key := range w.keys {
			if strings.Contains(string(key), string(secret[i:i+n])) {
				return true
			}
		}
		for _, data := range w.data {
			if bytes.Contains(data, secret[i:i+n]) {
				return true
			}
		}
	}
	return false
}

// vault is an instance whose rows a test can reach, and what it logs and counts.
type vault struct {
	*Collection
	metrics *prometheus.Registry
	log     bytes.Buffer
	policy  *access.Policy
}

const vaultToken access.Token = "a-token-of-the-vault"

func newVault(t testing.TB, name string, r Rows, keys *Keys) *vault {
	t.Helper()
	v := &vault{metrics: prometheus.NewRegistry()}
	v.Collection = NewCollection(r, CollectionConfig{Name: name, MaxTTL: time.Hour, Fence: time.Minute}, Options{
		Now: time.Now, Log: slog.New(slog.NewTextHandler(&v.log, nil)), Metrics: NewMetrics(v.metrics), Keys: keys, Random: rand.Reader,
	})
	client := access.Client{Name: "test", Tokens: []access.TokenRule{{SHA256: vaultToken.HashText()}}, Keys: []string{"*"}}
	for _, action := range []access.Action{access.Get, access.Set, access.Touch, access.Delete} {
		client.Grants = append(client.Grants, access.GrantOn(name, action))
	}
	var err error
	if v.policy, err = accesstest.Policy([]access.Client{client}, []string{name}, time.Now); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *vault) caller(action access.Action, key access.Key) access.Caller {
	id, err := v.policy.Authenticate(access.Credentials{Authorization: []string{"Bearer " + string(vaultToken)}})
	if err != nil {
		panic(err) // the policy is the vault's own
	}
	caller, err := access.Authorize(id, access.GrantOn(v.config.Name, action), key)
	if err != nil {
		panic(err)
	}
	return caller
}

func (v *vault) doGet(key access.Key) (Value, error) {
	return v.Get(context.Background(), v.caller(access.Get, key), key)
}

func (v *vault) doSet(key access.Key, data []byte) error {
	return v.Set(context.Background(), v.caller(access.Set, key), key, data, time.Minute)
}

func (v *vault) doTouch(key access.Key) error {
	return v.Touch(context.Background(), v.caller(access.Touch, key), key, time.Hour)
}

func (v *vault) doDelete(key access.Key) error {
	return v.Delete(context.Background(), v.caller(access.Delete, key), key)
}

// opened is the metric of values opened with a result.
func (v *vault) opened(t *testing.T, result string) (n float64) {
	t.Helper()
	families, err := v.metrics.Gather()
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

func TestTheRowsSeeNothingOfKeysAndValues(t *testing.T) {
	const window = 6 // bytes: shorter ones come up by chance
	index, seals := newTestKeys(t, 1)
	secrets := func(name string) *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), window, 300) }
	rapid.Check(t, func(rt *rapid.T) {
		inner := newWatched()
		sessions := newVault(t, "sessions", inner, mustKeys(t, index, seals...))
		tokens := newVault(t, "tokens", inner, mustKeys(t, index, seals...))
		key := access.Key(append([]byte("marked"), secrets("key").Draw(rt, "key")...))
		value := append([]byte("planted"), secrets("value").Draw(rt, "value")...)
		other := key + "another"
		for _, err := range []error{
			sessions.doSet(key, value), sessions.doSet(key, value), sessions.doTouch(key), sessions.doSet(other, value), tokens.doSet(key, value),
		} {
			if err != nil {
				rt.Fatal(err)
			}
		}
		// A write of each set, and of the touch: five that say the same.
		if len(inner.data) != 5 {
			rt.Fatalf("%d writes", len(inner.data))
		}
		for i, a := range inner.data {
			for j, b := range inner.data[:i] {
				if bytes.Equal(a[idEnd:], b[idEnd:]) || bytes.Equal(a[nonceEnd:], b[nonceEnd:]) || bytes.Equal(a[idEnd:nonceEnd], b[idEnd:nonceEnd]) {
					rt.Errorf("writes %d and %d can be seen to be equal", i, j)
				}
			}
		}
		if _, err := sessions.doGet(key); err != nil {
			rt.Error(err)
		}
		if err := errors.Join(sessions.doDelete(key), sessions.doDelete(other), tokens.doDelete(key)); err != nil {
			rt.Error(err)
		}
		if inner.shows([]byte(key), window) || inner.shows(value, window) {
			rt.Error("a part of the key or of the value came to the rows")
		}
		different := make(map[access.Key]bool)
		for _, k := range inner.keys {
			if different[k] = true; len(k) != 32 {
				rt.Errorf("a row key of %d bytes", len(k))
			}
		}
		if len(different) != 3 { // two keys in one collection, and one of them in another
			rt.Errorf("%d row keys for 3 rows", len(different))
		}
	})
}

// spoil changes what is stored in the only row of m.
func spoil(t *testing.T, m *Memory, change func([]byte) []byte) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.rows) != 1 {
		t.Fatalf("%d rows", len(m.rows))
	}
	for _, r := range m.rows {
		r.value.data = change(bytes.Clone(r.value.data))
	}
}

func TestASpoiledRowIsAnErrorUntilItIsWrittenOrDeleted(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	for name, c := range map[string]struct {
		change func([]byte) []byte
		result string
	}{
		"tampered":    {func(b []byte) []byte { b[len(b)-1]++; return b }, "damaged"},
		"cut short":   {func(b []byte) []byte { return b[:3] }, "unknown_format"},
		"emptied":     {func(b []byte) []byte { return b[:0] }, "unknown_format"},
		"unsealed":    {func([]byte) []byte { return []byte("planted-by-somebody") }, "unknown_format"},
		"another key": {func(b []byte) []byte { b[1]++; return b }, "unknown_key"},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMemory(1<<20, time.Now)
			v := newVault(t, "sessions", m, mustKeys(t, index, seals...))
			set := func() {
				t.Helper()
				if err := v.doSet("marked-key", []byte("marked-value")); err != nil {
					t.Fatal(err)
				}
			}
			set()
			spoil(t, m, c.change)
			got, err := v.doGet("marked-key")
			if got.Data != nil || !errors.Is(err, ErrSealed) || errors.Is(err, ErrNotFound) || outcomes[outcome(err)].name != "unopened" {
				t.Errorf("get: %d bytes, error %v", len(got.Data), err)
			}
			if touched := v.doTouch("marked-key"); !errors.Is(touched, ErrSealed) {
				t.Errorf("touch: error %v", touched)
			}
			if n := v.opened(t, c.result); n != 2 {
				t.Errorf("%v are counted as %s", n, c.result)
			}

			set() // one that overwrites need not read
			if got, err := v.doGet("marked-key"); err != nil || string(got.Data) != "marked-value" {
				t.Errorf("get after a set: %d bytes, error %v", len(got.Data), err)
			}
			spoil(t, m, c.change)
			if err := v.doDelete("marked-key"); err != nil {
				t.Errorf("delete: %v", err)
			}
			if _, err := v.doGet("marked-key"); !errors.Is(err, ErrNotFound) {
				t.Errorf("get after a delete: %v", err)
			}
			if said := v.log.String() + fmt.Sprint(err); strings.Contains(said, "marked") || strings.Contains(said, "planted") {
				t.Errorf("it says %s", said)
			}
			if !strings.Contains(v.log.String(), "deleting a value that cannot be opened") {
				t.Errorf("the log has no delete of it: %s", &v.log)
			}
		})
	}
}

// TestADeleteRemovesASpoiledRowFromTheFuture: the timestamp of what is deleted must be known though it cannot be opened.
func TestADeleteRemovesASpoiledRowFromTheFuture(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	m := NewMemory(1<<20, time.Now)
	v := newVault(t, "sessions", m, mustKeys(t, index, seals...))
	v.stamps.now = func() time.Time { return time.Now().Add(time.Hour) } // far beyond the fence
	if err := v.doSet("key", []byte("value")); err != nil {
		t.Fatal(err)
	}
	spoil(t, m, func(b []byte) []byte { b[20]++; return b })
	if err := newVault(t, "sessions", m, mustKeys(t, index, seals...)).doDelete("key"); err != nil {
		t.Fatal(err)
	}
	for _, r := range m.rows { // the marker would hide the value for a while
		if r.value.data != nil {
			t.Error("the value is still there")
		}
	}
}

func TestARowMovedToAnotherKeyOrCollectionIsAnError(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	m := NewMemory(1<<20, time.Now)
	keys := mustKeys(t, index, seals...)
	sessions, tokens := newVault(t, "sessions", m, keys), newVault(t, "tokens", m, keys)
	if err := sessions.doSet("alice", []byte("who=alice")); err != nil {
		t.Fatal(err)
	}
	from := keys.place("sessions", "alice").row
	for _, to := range []struct {
		vault *vault
		key   access.Key
	}{{sessions, "mallory"}, {tokens, "alice"}} {
		m.rows[keys.place(to.vault.config.Name, to.key).row] = m.rows[from]
		if got, err := to.vault.doGet(to.key); got.Data != nil || !errors.Is(err, ErrSealed) {
			t.Errorf("in %s: %d bytes, error %v", to.vault.config.Name, len(got.Data), err)
		}
	}
}

func TestATouchSealsWithTheFirstKey(t *testing.T) {
	index, seals := newTestKeys(t, 2)
	m := NewMemory(1<<20, time.Now)
	keys := mustKeys(t, index, seals[0])
	v := newVault(t, "sessions", m, keys)
	rotate := func(seals ...SealKey) {
		t.Helper()
		if _, err := keys.Rotate(index, seals); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []access.Key{"touched", "set", "left"} {
		if err := v.doSet(key, []byte("value")); err != nil {
			t.Fatal(err)
		}
	}
	rotate(seals[1], seals[0])
	if err := errors.Join(v.doTouch("touched"), v.doSet("set", []byte("value"))); err != nil {
		t.Fatal(err)
	}
	if n := v.opened(t, "older_key"); n != 1 {
		t.Errorf("%v are counted as opened with an older key", n)
	}
	rotate(seals[1])
	for _, key := range []access.Key{"touched", "set"} {
		if got, err := v.doGet(key); err != nil || string(got.Data) != "value" {
			t.Errorf("%d bytes, error %v", len(got.Data), err)
		}
	}
	if _, err := v.doGet("left"); !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), seals[0].ID().String()) {
		t.Errorf("what needs the key that has gone: %v", err)
	}
	if n := v.opened(t, "unknown_key"); n != 1 {
		t.Errorf("%v are counted as of an unknown key", n)
	}
}

func TestWithoutRandomnessNothingIsWritten(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	inner := newWatched()
	v := newVault(t, "sessions", inner, mustKeys(t, index, seals...))
	v.rows.(*sealedRows).random = strings.NewReader("")
	if err := v.doSet("key", []byte("value")); !errors.Is(err, ErrUnavailable) || !errors.Is(err, io.EOF) || len(inner.data) != 0 {
		t.Errorf("%d writes, error %v", len(inner.data), err)
	}
}

func TestACollectionIsNeverLeftUnsealed(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	for name, tools := range map[string]Options{
		"no keys":       {Random: rand.Reader},
		"no randomness": {Keys: mustKeys(t, index, seals...)},
	} {
		for _, layout := range []Layout{"", LayoutUserInfo} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s, layout %q: there is a collection", name, layout)
					}
				}()
				tools.Log, tools.Metrics = slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry())
				NewMemory(1, time.Now).Collection(CollectionConfig{Name: "sessions", Layout: layout}, tools)
			}()
		}
	}
}
