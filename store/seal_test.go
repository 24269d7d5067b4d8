package store

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"userinfo/access"
)

// hexBytes are written in hexadecimal.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// vector is a sealed value and all that it was made of.
type vector struct {
	Name       string
	IndexKey   hexBytes `json:"index_key"`
	SealKey    hexBytes `json:"seal_key"`
	KeyID      hexBytes `json:"key_id"`
	Collection string
	SessionKey hexBytes `json:"session_key"`
	Value      hexBytes
	Nonce      hexBytes
	RowKey     hexBytes `json:"row_key"`
	Sealed     hexBytes
}

// keys are the vector's, and the place is where its row is.
func (v vector) keys(t testing.TB) (*Keys, place) {
	t.Helper()
	keys, err := NewKeys(IndexKey{secret(v.IndexKey)}, []SealKey{{secret(v.SealKey)}})
	if err != nil {
		t.Fatal(err)
	}
	return keys, keys.place(v.Collection, access.Key(v.SessionKey))
}

// vectors were computed by another implementation, pyca/cryptography, after the drawing in seal.go.
func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/sealed.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTheFormatIsThatOfTheVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			keys, p := v.keys(t)
			if string(p.row) != string(v.RowKey) {
				t.Errorf("row key %x", string(p.row))
			}
			if ids := keys.IDs(); !slices.Equal(ids, []string{hex.EncodeToString(v.KeyID)}) {
				t.Errorf("key ids %v", ids)
			}
			sealed, err := keys.seal(bytes.NewReader(v.Nonce), p, v.Value)
			if err != nil || !bytes.Equal(sealed, v.Sealed) {
				t.Errorf("sealed %x, error %v", sealed, err)
			}
			data, older, err := keys.open(p, bytes.Clone(v.Sealed))
			if err != nil || older || !bytes.Equal(data, v.Value) {
				t.Errorf("opened %x, older %v, error %v", data, older, err)
			}
		})
	}
}

// newTestKeys makes n seal keys and an index key.
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

// mustKeys seals with the first of seals.
func mustKeys(t testing.TB, index IndexKey, seals ...SealKey) *Keys {
	t.Helper()
	keys, err := NewKeys(index, seals)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func mustSeal(t testing.TB, keys *Keys, p place, data []byte) []byte {
	t.Helper()
	sealed, err := keys.seal(rand.Reader, p, data)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// wantSealed is a value that must not be opened.
func wantSealed(t *testing.T, what string, keys *Keys, p place, sealed []byte, want error) {
	t.Helper()
	if data, _, err := keys.open(p, bytes.Clone(sealed)); data != nil || !errors.Is(err, ErrSealed) || !errors.Is(err, want) {
		t.Errorf("%s: %d bytes and error %v; want %v", what, len(data), err, want)
	}
}

func TestAValueThatWasTamperedWithIsNotOpened(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	keys := mustKeys(t, index, seals...)
	p := keys.place("sessions", "key")
	sealed := mustSeal(t, keys, p, []byte("a value of some length"))
	for i := range sealed {
		want := errDamaged
		switch {
		case i == 0:
			want = errFormat
		case i < idEnd:
			want = errKey
		}
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			other := bytes.Clone(sealed)
			other[i] ^= flip
			wantSealed(t, "another byte", keys, p, other, want)
		}
	}
	for n := range sealed {
		want := errDamaged
		if n < nonceEnd+tagBytes {
			want = errFormat
		}
		wantSealed(t, "cut short", keys, p, sealed[:n], want)
	}
	wantSealed(t, "a byte more", keys, p, append(bytes.Clone(sealed), 0), errDamaged)
	wantSealed(t, "two in a row", keys, p, slices.Concat(sealed, sealed), errDamaged)
	wantSealed(t, "never sealed", keys, p, []byte(`a value as it would be if nobody had sealed it`), errFormat)
}

func TestAValueIsOpenedInItsPlaceAlone(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	otherIndex, otherSeals := newTestKeys(t, 1)
	keys := mustKeys(t, index, seals...)
	sealed := mustSeal(t, keys, keys.place("sessions", "key"), []byte("value"))
	for name, p := range map[string]place{
		"another key":                     keys.place("sessions", "other"),
		"another collection":              keys.place("tokens", "key"),
		"the same letters, cut elsewhere": keys.place("session", "skey"),
		"a longer key":                    keys.place("sessions", "key\x00"),
	} {
		wantSealed(t, name, keys, p, sealed, errDamaged)
	}
	p := keys.place("sessions", "key")
	p.row = keys.place("sessions", "other").row
	wantSealed(t, "the row of another key, by one who knows this key", keys, p, sealed, errDamaged)

	wantSealed(t, "with another index key", mustKeys(t, otherIndex, seals...), mustKeys(t, otherIndex, seals...).place("sessions", "key"), sealed, errDamaged)
	wantSealed(t, "with another seal key", mustKeys(t, index, otherSeals...), keys.place("sessions", "key"), sealed, errKey)
	forged := bytes.Clone(sealed)
	id := otherSeals[0].ID()
	copy(forged[1:], id[:])
	wantSealed(t, "with another seal key and its id", mustKeys(t, index, otherSeals...), keys.place("sessions", "key"), forged, errDamaged)
}

func TestWhatIsSealedIsOpened(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	keys := mustKeys(t, index, seals...)
	rapid.Check(t, func(t *rapid.T) {
		p := keys.place(rapid.StringMatching(`[a-z][a-z0-9_]{0,47}`).Draw(t, "collection"), access.Key(rapid.SliceOf(rapid.Byte()).Draw(t, "key")))
		data := rapid.SliceOf(rapid.Byte()).Draw(t, "value")
		before := bytes.Clone(data)
		sealed, err := keys.seal(rand.Reader, p, data)
		if err != nil || len(sealed) != len(data)+nonceEnd+tagBytes || !bytes.Equal(data, before) {
			t.Fatalf("%d bytes for %d, error %v", len(sealed), len(data), err)
		}
		kept := bytes.Clone(sealed)
		opened, _, err := keys.open(p, bytes.Clone(sealed))
		if err != nil || opened == nil || !bytes.Equal(opened, data) || !bytes.Equal(sealed, kept) {
			t.Fatalf("opened %x, error %v", opened, err)
		}
	})
}

func TestSealKeysRotate(t *testing.T) {
	index, seals := newTestKeys(t, 3)
	first, second, third := seals[0], seals[1], seals[2]
	keys := mustKeys(t, index, first)
	p := keys.place("sessions", "key")
	byFirst := mustSeal(t, keys, p, []byte("value"))
	for _, step := range []struct {
		name           string
		seals          []SealKey
		changed, opens bool
		older          bool
		sealsWith      SealKey
	}{
		{"the same", []SealKey{first}, false, true, false, first},
		{"a second comes", []SealKey{first, second}, true, true, false, first},
		{"it moves to the front", []SealKey{second, first}, true, true, true, second},
		{"a third comes to the end", []SealKey{second, first, third}, true, true, true, second},
		{"the first goes", []SealKey{second, third}, true, false, false, second},
		{"the first comes back", []SealKey{third, second, first}, true, true, true, third},
	} {
		changed, err := keys.Rotate(index, step.seals)
		if err != nil || changed != step.changed {
			t.Errorf("%s: changed %v, error %v", step.name, changed, err)
		}
		data, older, err := keys.open(p, bytes.Clone(byFirst))
		if (err == nil) != step.opens || older != step.older || (err == nil && string(data) != "value") {
			t.Errorf("%s: opened %q, older %v, error %v", step.name, data, older, err)
		}
		if id := KeyID(mustSeal(t, keys, p, nil)[1:]); id != step.sealsWith.ID() {
			t.Errorf("%s: sealed with %v", step.name, id)
		}
	}
}

func TestKeysThatCannotBeAreRefusedAndThoseInForceStay(t *testing.T) {
	index, seals := newTestKeys(t, 2)
	other, _ := newTestKeys(t, 0)
	keys := mustKeys(t, index, seals...)
	before := keys.IDs()
	for name, c := range map[string]struct {
		index IndexKey
		seals []SealKey
	}{
		"no index key":       {IndexKey{}, seals},
		"no seal key":        {index, nil},
		"a zero seal key":    {index, []SealKey{seals[0], {}}},
		"the same key twice": {index, []SealKey{seals[0], seals[1], seals[0]}},
	} {
		if _, err := NewKeys(c.index, c.seals); err == nil {
			t.Errorf("new: %s is no error", name)
		}
		if changed, err := keys.Rotate(c.index, c.seals); err == nil || changed {
			t.Errorf("rotation: %s is no error", name)
		}
	}
	if changed, err := keys.Rotate(other, seals[:1]); err == nil || changed {
		t.Error("another index key is no error")
	}
	if !slices.Equal(keys.IDs(), before) {
		t.Error("the keys in force are others")
	}
}

func TestNothingIsSealedWithoutRandomness(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	keys := mustKeys(t, index, seals...)
	if sealed, err := keys.seal(bytes.NewReader(make([]byte, 11)), keys.place("sessions", "key"), []byte("value")); err == nil || sealed != nil {
		t.Errorf("sealed %x, error %v", sealed, err)
	}
}

// FuzzOpen: whatever stands where a sealed value should, only what was sealed there is opened.
func FuzzOpen(f *testing.F) {
	v := vectors(f)[0]
	keys, p := v.keys(f)
	for _, other := range vectors(f) {
		f.Add([]byte(other.Sealed))
	}
	for _, seed := range [][]byte{nil, {sealVersion}, v.Sealed[:nonceEnd], v.Sealed[:nonceEnd+tagBytes], append(bytes.Clone(v.Sealed), 0), []byte("who=alice")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sealed []byte) {
		data, _, err := keys.open(p, bytes.Clone(sealed))
		if bytes.Equal(sealed, v.Sealed) {
			if err != nil || !bytes.Equal(data, v.Value) {
				t.Fatalf("opened %q, error %v", data, err)
			}
			return
		}
		if data != nil || !errors.Is(err, ErrSealed) {
			t.Fatalf("opened %q, error %v", data, err)
		}
	})
}
