package storetest

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// Dump reads and changes the table TableName directly, like somebody with access to the database.
type Dump interface {
	// Values returns all values by row key. It leaves out rows without a value and with an empty value.
	Values() map[string]string
	// Put overwrites the value of a row key, with a later timestamp than all writes before.
	Put(rowKey, value string)
}

// RunSealed tests that a dump of the table reveals nothing, and that the suite's collections never accept a value that
// somebody else has put into the table. Tests that use the same table must not run at the same time.
func RunSealed(t *testing.T, open Open, dump Dump) {
	s := newSuite(t, open)
	t.Run("a dump shows no key, no value, and not which values are equal", func(t *testing.T) { testDump(t, s, dump) })
	t.Run("a modified row is an error and can be deleted", func(t *testing.T) { testModifiedRows(t, s, dump) })
}

// addedValues returns the values that do adds to the table.
func addedValues(dump Dump, do func()) map[string]string {
	before := dump.Values()
	do()
	after := dump.Values()
	for key := range before {
		delete(after, key)
	}
	return after
}

func testDump(t *testing.T, s *suite, dump Dump) {
	i := s.instance(t, settings{})
	secret := rand.Text()
	values := addedValues(dump, func() {
		for range 3 {
			i.mustSet("planted-"+newKey(), "planted-value:"+secret, time.Hour)
		}
	})
	different := make(map[string]bool)
	for rowKey, sealed := range values {
		if text := rowKey + "\x00" + sealed; strings.Contains(text, "planted") || strings.Contains(text, secret) {
			t.Error("a row shows a key or a value")
		}
		different[sealed[5:]] = true // without version and key id
	}
	if len(values) != 3 || len(different) != 3 {
		t.Errorf("%d rows, %d different values; want 3 and 3", len(values), len(different))
	}
}

func testModifiedRows(t *testing.T, s *suite, dump Dump) {
	for name, modify := range map[string]func(sealed, other string) string{
		"the last byte changed": func(sealed, _ string) string { return sealed[:len(sealed)-1] + string(sealed[len(sealed)-1]^1) },
		"cut short":             func(sealed, _ string) string { return sealed[:10] },
		"emptied":               func(string, string) string { return "" },
		"another row's value":   func(_, other string) string { return other },
		"not sealed":            func(string, string) string { return "planted-value" },
	} {
		t.Run(name, func(t *testing.T) {
			i := s.instance(t, settings{})
			set := func(key access.Key) (rowKey, sealed string) {
				t.Helper()
				values := addedValues(dump, func() { i.mustSet(key, "value", time.Hour) })
				if len(values) != 1 {
					t.Fatalf("%d rows for one value", len(values))
				}
				for rowKey, sealed = range values {
				}
				return rowKey, sealed
			}
			key := newKey()
			rowKey, sealed := set(key)
			_, other := set(newKey())
			dump.Put(rowKey, modify(sealed, other))
			v, err := i.get(key)
			if i.want(err, store.ErrSealed); v.Data != nil {
				t.Errorf("%d bytes are returned with the error", len(v.Data))
			}
			i.want(i.touch(key, time.Hour), store.ErrSealed)
			i.want(i.delete(key), nil)
			i.wantNotFound(key)
			if _, ok := dump.Values()[rowKey]; ok {
				t.Error("the value is still in the table")
			}
		})
	}
}
