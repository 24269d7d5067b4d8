package seal

import (
	"bytes"
	"crypto/rand"
	"testing"
)

// newTestKeys returns an index key and n seal keys.
func newTestKeys(t testing.TB, n int) (IndexKey, []SealKey) {
	t.Helper()
	index, err := NewIndexKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seals := make([]SealKey, n)
	for i := range seals {
		if seals[i], err = NewSealKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	return index, seals
}

func mustKeys(t testing.TB, index IndexKey, seals ...SealKey) *Keys {
	t.Helper()
	keys, err := NewKeys(index, seals)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestKeys_Replace(t *testing.T) {
	index, seals := newTestKeys(t, 3)
	first, second, third := seals[0], seals[1], seals[2]
	keys := mustKeys(t, index, first)
	l := keys.locate("sessions", "key")
	sealedByFirst := mustSeal(t, keys, l, []byte("value"))
	for _, step := range []struct {
		name                   string
		seals                  []SealKey
		changed, opens, oldKey bool
		sealsWith              SealKey
	}{
		{"the same keys", []SealKey{first}, false, true, false, first},
		{"a second key is added", []SealKey{first, second}, true, true, false, first},
		{"the second key becomes the first", []SealKey{second, first}, true, true, true, second},
		{"a third key is added at the end", []SealKey{second, first, third}, true, true, true, second},
		{"the first key is removed", []SealKey{second, third}, true, false, false, second},
		{"the first key is added again", []SealKey{third, second, first}, true, true, true, third},
	} {
		next, err := keys.Replace(index, step.seals)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if changed := next != keys; changed != step.changed {
			t.Errorf("%s: changed %v, want %v", step.name, changed, step.changed)
		}
		data, oldKey, err := next.open(l, bytes.Clone(sealedByFirst))
		if (err == nil) != step.opens || oldKey != step.oldKey || (err == nil && string(data) != "value") {
			t.Errorf("%s: opened %q, old key %v, error %v", step.name, data, oldKey, err)
		}
		if id := KeyID(mustSeal(t, next, l, nil)[1:]); id != step.sealsWith.ID() {
			t.Errorf("%s: sealed with %v", step.name, id)
		}
		keys = next
	}
}

func TestKeys_Replace_LeavesTheFormerSetUnchanged(t *testing.T) {
	index, seals := newTestKeys(t, 2)
	keys := mustKeys(t, index, seals[0])
	if _, err := keys.Replace(index, seals[1:]); err != nil {
		t.Fatal(err)
	}
	if ids := keys.IDs(); len(ids) != 1 || ids[0] != seals[0].ID().String() {
		t.Errorf("ids %v", ids)
	}
}

func TestNewKeys_RejectsInvalidKeys(t *testing.T) {
	index, seals := newTestKeys(t, 2)
	keys := mustKeys(t, index, seals...)
	for name, c := range map[string]struct {
		index IndexKey
		seals []SealKey
	}{
		"no index key":       {IndexKey{}, seals},
		"no seal key":        {index, nil},
		"a zero seal key":    {index, []SealKey{seals[0], {}}},
		"the same key twice": {index, []SealKey{seals[0], seals[1], seals[0]}},
	} {
		if k, err := NewKeys(c.index, c.seals); err == nil || k != nil {
			t.Errorf("NewKeys accepts %s", name)
		}
		if k, err := keys.Replace(c.index, c.seals); err == nil || k != nil {
			t.Errorf("Replace accepts %s", name)
		}
	}
}

func TestKeys_Replace_RejectsAnotherIndexKey(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	other, _ := newTestKeys(t, 0)
	if k, err := mustKeys(t, index, seals...).Replace(other, seals); err == nil || k != nil {
		t.Error("accepted")
	}
}
