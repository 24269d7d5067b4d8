package storetest

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// Dump is the table of the suite as whoever has the storage itself sees and changes it.
type Dump interface {
	// Rows are all values there are, by row key. A row that has none, or an empty one, is not among them.
	Rows() map[string]string
	// Put writes over the value under a row key, later than all that was written before.
	Put(key, value string)
}

// RunSealed tests that a dump shows nothing, and that what is put into the table is never taken for a value.
func RunSealed(t *testing.T, open Open, dump Dump) {
	s := newSuite(t, open)
	t.Run("a dump shows neither keys nor values, nor which are equal", func(t *testing.T) { dumpShowsNothing(t, s, dump) })
	t.Run("a row that was spoilt is an error, and can be deleted", func(t *testing.T) { spoiltRows(t, s, dump) })
}

// added are the rows that do makes.
func added(dump Dump, do func()) map[string]string {
	before := dump.Rows()
	do()
	after := dump.Rows()
	for key := range before {
		delete(after, key)
	}
	return after
}

func dumpShowsNothing(t *testing.T, s *suite, dump Dump) {
	i := s.instance(t, with{})
	value := "planted-value:" + rand.Text()
	rows := added(dump, func() {
		for range 3 {
			i.mustSet("planted-"+newKey(), value, time.Hour)
		}
	})
	seen := make(map[string]bool)
	for key, sealed := range rows {
		if text := key + "\x00" + sealed; strings.Contains(text, "planted") || strings.Contains(text, value[14:]) {
			t.Error("a row shows a key or a value")
		}
		seen[sealed[5:]] = true
	}
	if len(rows) != 3 || len(seen) != 3 {
		t.Errorf("%d rows, %d different values", len(rows), len(seen))
	}
}

func spoiltRows(t *testing.T, s *suite, dump Dump) {
	for name, spoil := range map[string]func(sealed, other string) string{
		"its last byte changed":      func(sealed, _ string) string { return sealed[:len(sealed)-1] + string(sealed[len(sealed)-1]^1) },
		"cut short":                  func(sealed, _ string) string { return sealed[:10] },
		"emptied":                    func(string, string) string { return "" },
		"another row's value":        func(_, other string) string { return other },
		"a value that nobody sealed": func(string, string) string { return "planted-value" },
	} {
		t.Run(name, func(t *testing.T) {
			i := s.instance(t, with{})
			set := func(key access.Key) (row, sealed string) {
				t.Helper()
				rows := added(dump, func() { i.mustSet(key, "value", time.Hour) })
				for row, sealed = range rows {
				}
				if len(rows) != 1 {
					t.Fatalf("%d rows for one value", len(rows))
				}
				return row, sealed
			}
			key := newKey()
			row, sealed := set(key)
			_, other := set(newKey())
			dump.Put(row, spoil(sealed, other))
			v, err := i.get(key)
			if i.want(err, store.ErrSealed); v.Data != nil {
				t.Errorf("%d bytes come with the error", len(v.Data))
			}
			i.want(i.touch(key, time.Hour), store.ErrSealed)
			i.want(i.delete(key), nil)
			i.wantAbsent(key)
			if _, there := dump.Rows()[row]; there {
				t.Error("it is still in the table")
			}
		})
	}
}
