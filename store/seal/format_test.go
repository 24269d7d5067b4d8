package seal

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
	"userinfo/store"
)

// hexBytes is written in hexadecimal in JSON.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// vector is a sealed value with all its inputs.
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

// keys returns the keys and the location of the vector.
func (v vector) keys(t testing.TB) (*Keys, rowLocation) {
	t.Helper()
	keys, err := NewKeys(IndexKey{secretOf(v.IndexKey)}, []SealKey{{secretOf(v.SealKey)}})
	if err != nil {
		t.Fatal(err)
	}
	return keys, keys.locate(v.Collection, access.Key(v.SessionKey))
}

// vectors returns the test vectors. Another implementation of the drawing in format.go, in Python with pyca/cryptography,
// has computed them.
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

func TestFormat_Vectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			keys, l := v.keys(t)
			if string(l.rowKey) != string(v.RowKey) {
				t.Errorf("row key %x", string(l.rowKey))
			}
			if ids := keys.IDs(); !slices.Equal(ids, []string{hex.EncodeToString(v.KeyID)}) {
				t.Errorf("key ids %v", ids)
			}
			sealed, err := keys.seal(bytes.NewReader(v.Nonce), l, v.Value)
			if err != nil || !bytes.Equal(sealed, v.Sealed) {
				t.Errorf("sealed %x, error %v", sealed, err)
			}
			data, oldKey, err := keys.open(l, bytes.Clone(v.Sealed))
			if err != nil || oldKey || !bytes.Equal(data, v.Value) {
				t.Errorf("opened %x, old key %v, error %v", data, oldKey, err)
			}
		})
	}
}

func mustSeal(t testing.TB, keys *Keys, l rowLocation, data []byte) []byte {
	t.Helper()
	sealed, err := keys.seal(rand.Reader, l, data)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// wantSealed checks that a value is not opened.
func wantSealed(t *testing.T, what string, keys *Keys, l rowLocation, sealed []byte, want error) {
	t.Helper()
	data, _, err := keys.open(l, bytes.Clone(sealed))
	if data != nil || !errors.Is(err, store.ErrSealed) || !errors.Is(err, want) {
		t.Errorf("%s: %d bytes and error %v; want %v", what, len(data), err, want)
	}
}

func TestOpen_RejectsModifiedValue(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	keys := mustKeys(t, index, seals...)
	l := keys.locate("sessions", "key")
	sealed := mustSeal(t, keys, l, []byte("a value of some length"))
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
			wantSealed(t, "a changed byte", keys, l, other, want)
		}
	}
	for n := range sealed {
		want := errDamaged
		if n < nonceEnd+tagBytes {
			want = errFormat
		}
		wantSealed(t, "cut short", keys, l, sealed[:n], want)
	}
	wantSealed(t, "a byte appended", keys, l, append(bytes.Clone(sealed), 0), errDamaged)
	wantSealed(t, "repeated", keys, l, slices.Concat(sealed, sealed), errDamaged)
	wantSealed(t, "never sealed", keys, l, []byte(`a value as it would be if nobody had sealed it`), errFormat)
}

func TestOpen_RejectsValueOfAnotherLocation(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	keys := mustKeys(t, index, seals...)
	l := keys.locate("sessions", "key")
	sealed := mustSeal(t, keys, l, []byte("value"))
	for name, other := range map[string]rowLocation{
		"another key":                     keys.locate("sessions", "other"),
		"another collection":              keys.locate("tokens", "key"),
		"the same letters, cut elsewhere": keys.locate("session", "skey"),
		"a longer key":                    keys.locate("sessions", "key\x00"),
	} {
		wantSealed(t, name, keys, other, sealed, errDamaged)
	}
	l.rowKey = keys.locate("sessions", "other").rowKey
	wantSealed(t, "another row, by someone who knows the session key", keys, l, sealed, errDamaged)
}

func TestOpen_RejectsOtherKeys(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	otherIndex, otherSeals := newTestKeys(t, 1)
	keys := mustKeys(t, index, seals...)
	l := keys.locate("sessions", "key")
	sealed := mustSeal(t, keys, l, []byte("value"))

	withOtherIndex := mustKeys(t, otherIndex, seals...)
	wantSealed(t, "another index key", withOtherIndex, withOtherIndex.locate("sessions", "key"), sealed, errDamaged)
	withOtherSeal := mustKeys(t, index, otherSeals...)
	wantSealed(t, "another seal key", withOtherSeal, l, sealed, errKey)
	forged := bytes.Clone(sealed)
	id := otherSeals[0].ID()
	copy(forged[1:], id[:])
	wantSealed(t, "another seal key, with its id", withOtherSeal, l, forged, errDamaged)
}

func TestSeal_OpensAgain(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	keys := mustKeys(t, index, seals...)
	rapid.Check(t, func(t *rapid.T) {
		collection := rapid.StringMatching(`[a-z][a-z0-9_]{0,47}`).Draw(t, "collection")
		l := keys.locate(collection, access.Key(rapid.SliceOf(rapid.Byte()).Draw(t, "key")))
		data := rapid.SliceOf(rapid.Byte()).Draw(t, "value")
		before := bytes.Clone(data)
		sealed, err := keys.seal(rand.Reader, l, data)
		if err != nil || len(sealed) != len(data)+nonceEnd+tagBytes || !bytes.Equal(data, before) {
			t.Fatalf("%d bytes for %d, error %v", len(sealed), len(data), err)
		}
		kept := bytes.Clone(sealed)
		opened, _, err := keys.open(l, bytes.Clone(sealed))
		if err != nil || opened == nil || !bytes.Equal(opened, data) || !bytes.Equal(sealed, kept) {
			t.Fatalf("opened %x, error %v", opened, err)
		}
	})
}

func TestSeal_FailsWithoutRandomness(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	keys := mustKeys(t, index, seals...)
	sealed, err := keys.seal(bytes.NewReader(make([]byte, 11)), keys.locate("sessions", "key"), []byte("value"))
	if err == nil || sealed != nil {
		t.Errorf("sealed %x, error %v", sealed, err)
	}
}

// FuzzOpen checks that open returns a value only for the bytes that were sealed.
func FuzzOpen(f *testing.F) {
	v := vectors(f)[0]
	keys, l := v.keys(f)
	for _, other := range vectors(f) {
		f.Add([]byte(other.Sealed))
	}
	for _, seed := range [][]byte{nil, {sealVersion}, v.Sealed[:nonceEnd], v.Sealed[:nonceEnd+tagBytes], append(bytes.Clone(v.Sealed), 0), []byte("who=alice")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sealed []byte) {
		data, _, err := keys.open(l, bytes.Clone(sealed))
		if bytes.Equal(sealed, v.Sealed) {
			if err != nil || !bytes.Equal(data, v.Value) {
				t.Fatalf("opened %q, error %v", data, err)
			}
			return
		}
		if data != nil || !errors.Is(err, store.ErrSealed) {
			t.Fatalf("opened %q, error %v", data, err)
		}
	})
}
