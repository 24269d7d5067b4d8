package passwords

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"userinfo/store"
)

var someRecords = []record{
	{state: hasHash, since: 1, hash: ":A:5f4dcc3b5aa765d61d8327deb882cf99"},
	{state: hasHash, imported: true, since: 1_800_000_000_000_000, hash: strings.Repeat("h", 1024)},
	{state: noPassword, imported: true, since: 7},
	{state: deleted, since: 1<<62 + 5},
}

func TestRecord_SurvivesEncoding(t *testing.T) {
	for _, r := range someRecords {
		b := r.encode()
		got, err := decodeRecord(b)
		if err != nil || got.state != r.state || got.imported != r.imported || got.since != r.since || got.hash != r.hash {
			t.Errorf("state %d became %d (%v)", r.state, got.state, err)
		}
		if len(b)%recordUnit != 0 {
			t.Errorf("a record of %d bytes", len(b))
		}
	}
	if a, b := someRecords[0].encode(), someRecords[3].encode(); len(a) != len(b) {
		t.Errorf("a password has %d bytes, a deleted user %d: the length shows which it is", len(a), len(b))
	}
}

func TestRecord_PrintsRedacted(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, someRecords[0]); got != "[redacted]" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestDecodeRecord_RefusesOtherBytes(t *testing.T) {
	good := someRecords[0].encode()
	change := func(at int, b byte) []byte {
		changed := bytes.Clone(good)
		changed[at] = b
		return changed
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "another version": change(0, 2), "no state": change(1, 0), "an unknown state": change(1, 4), "a hash of a deleted user": change(1, 3),
		"a flag": change(2, 2), "a long hash": change(11, 255), "no hash": change(12, 0), "padding": change(255, 1), "cut off": good[:255],
	} {
		if r, err := decodeRecord(b); !errors.Is(err, store.ErrSealed) || r.state != unknown {
			t.Errorf("%s: state %d, error %v", name, r.state, err)
		}
	}
	for name, b := range map[string][]byte{"nothing": nil, "another version": make([]byte, tokenBytes), "cut off": resetToken{}.encode()[1:]} {
		if got, err := decodeToken(b); !errors.Is(err, store.ErrSealed) || got != (resetToken{}) {
			t.Errorf("token, %s: error %v", name, err)
		}
	}
}

func TestResetToken_SurvivesEncoding(t *testing.T) {
	want := resetToken{issued: 5, expires: 1 << 60, hash: tokenHash("token")}
	if got, err := decodeToken(want.encode()); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
}

// FuzzDecodeRecord checks that decodeRecord accepts only what encode makes.
func FuzzDecodeRecord(f *testing.F) {
	for _, r := range someRecords {
		f.Add(r.encode())
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err == nil && !bytes.Equal(r.encode(), b[:len(r.encode())]) {
			t.Errorf("%x is accepted, and becomes %x", b, r.encode())
		}
		if err != nil && r != (record{}) {
			t.Error("an error with a record")
		}
	})
}
