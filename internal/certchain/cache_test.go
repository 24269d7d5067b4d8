package certchain

import (
	"crypto/x509"
	"encoding/binary"
	"testing"
	"time"
)

func TestCache_IsBounded(t *testing.T) {
	now := time.Now()
	chains := [][]*x509.Certificate{{{NotBefore: now, NotAfter: now.Add(time.Hour)}}}
	var c Cache
	for i := range 3 * maxCached {
		var key Key
		binary.BigEndian.PutUint64(key[:], uint64(i))
		c.Put(key, chains)
		if len(c.entries) > maxCached {
			t.Fatalf("%d entries", len(c.entries))
		}
		if c.Get(key, now) == nil {
			t.Fatal("the last entry is missing")
		}
	}
}

func TestCache_FailsClosed(t *testing.T) {
	now := time.Now()
	var c Cache
	if c.Get(Key{}, now) != nil {
		t.Error("the empty cache has an entry")
	}
	c.Put(Key{}, [][]*x509.Certificate{{{NotBefore: now, NotAfter: now.Add(time.Hour)}, {NotBefore: now, NotAfter: now.Add(time.Minute)}}})
	for at, want := range map[time.Duration]bool{-time.Second: false, 0: true, time.Minute: true, time.Minute + 1: false} {
		if got := c.Get(Key{}, now.Add(at)) != nil; got != want {
			t.Errorf("after %v: found %v; want %v", at, got, want)
		}
	}
}
