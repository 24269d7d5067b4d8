package seal_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/store"
	"userinfo/store/seal"
	"userinfo/store/storetest"
)

func TestCells_OpenOnlyWhatTheySealed(t *testing.T) {
	keys, metrics := storetest.Keys(t), seal.NewMetrics(prometheus.NewRegistry())
	cells := func(kind string) *seal.Cells {
		return seal.NewCells(seal.Config{Collection: kind, Keys: func() *seal.Keys { return keys }, Random: rand.Reader, Metrics: metrics})
	}
	a, b := cells("a"), cells("b")
	sealed, err := a.Seal("key", []byte("a value"))
	if err != nil || bytes.Contains(sealed, []byte("value")) {
		t.Fatalf("%q, %v", sealed, err)
	}
	for range 2 { // Open does not change what it opens
		if data, oldKey, err := a.Open("key", sealed); string(data) != "a value" || oldKey || err != nil {
			t.Errorf("%q, %v, %v", data, oldKey, err)
		}
	}
	for name, open := range map[string]func() ([]byte, bool, error){
		"another kind": func() ([]byte, bool, error) { return b.Open("key", sealed) },
		"another key":  func() ([]byte, bool, error) { return a.Open("another", sealed) },
		"nothing":      func() ([]byte, bool, error) { return a.Open("key", nil) },
		"changed":      func() ([]byte, bool, error) { return a.Open("key", append(bytes.Clone(sealed), 0)) },
	} {
		if data, _, err := open(); data != nil || !errors.Is(err, store.ErrSealed) {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	rowKeys := map[access.Key]bool{a.RowKey("key"): true, a.RowKey("another"): true, b.RowKey("key"): true}
	if len(rowKeys) != 3 || rowKeys["key"] {
		t.Error("row keys of different kinds or keys are equal, or are the keys themselves")
	}
}

func TestNewCells_PanicsWithoutKeys(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("NewCells accepts a Config without keys")
		}
	}()
	seal.NewCells(seal.Config{Collection: "a", Random: rand.Reader, Metrics: seal.NewMetrics(prometheus.NewRegistry())})
}
