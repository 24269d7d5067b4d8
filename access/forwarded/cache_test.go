package forwarded

import (
	"crypto/x509"
	"encoding/binary"
	"testing"
	"time"
)

func TestChainCache_IsBounded(t *testing.T) {
	now := time.Now()
	chains := [][]*x509.Certificate{{{NotBefore: now, NotAfter: now.Add(time.Hour)}}}
	var c chainCache
	for i := range 3 * maxCached {
		var key cacheKey
		binary.BigEndian.PutUint64(key[:], uint64(i))
		c.put(key, chains)
		if len(c.entries) > maxCached {
			t.Fatalf("%d entries", len(c.entries))
		}
		if c.get(key, now) == nil {
			t.Fatal("the last entry is missing")
		}
	}
}

func TestChainCache_FailsClosed(t *testing.T) {
	now := time.Now()
	var c chainCache
	if c.get(cacheKey{}, now) != nil {
		t.Error("the empty cache has an entry")
	}
	c.put(cacheKey{}, [][]*x509.Certificate{{{NotBefore: now, NotAfter: now.Add(time.Hour)}, {NotBefore: now, NotAfter: now.Add(time.Minute)}}})
	for at, want := range map[time.Duration]bool{-time.Second: false, 0: true, time.Minute: true, time.Minute + 1: false} {
		if got := c.get(cacheKey{}, now.Add(at)) != nil; got != want {
			t.Errorf("after %v: found %v; want %v", at, got, want)
		}
	}
}
