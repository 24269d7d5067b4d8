package store

import (
	"crypto/rand"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/accesstest"
)

// What the benchmarks read and write: a session as MediaWiki has it.
const (
	benchKey   = access.Key("enwiki:MWSession:0123456789abcdef0123456789abcdef")
	benchBytes = 2048
)

func BenchmarkPlace(b *testing.B) {
	index, seals := newTestKeys(b, 1)
	keys := mustKeys(b, index, seals...)
	b.ReportAllocs()
	for b.Loop() {
		keys.place("sessions", benchKey)
	}
}

func BenchmarkSeal(b *testing.B) {
	index, seals := newTestKeys(b, 1)
	keys := mustKeys(b, index, seals...)
	p := keys.place("sessions", benchKey)
	value := make([]byte, benchBytes)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.seal(rand.Reader, p, value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	index, seals := newTestKeys(b, 1)
	keys := mustKeys(b, index, seals...)
	p := keys.place("sessions", benchKey)
	sealed := mustSeal(b, keys, p, make([]byte, benchBytes))
	again := make([]byte, len(sealed))
	b.ReportAllocs()
	for b.Loop() {
		copy(again, sealed)
		if _, _, err := keys.open(p, again); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGet reads a sealed value from memory.
func BenchmarkGet(b *testing.B) {
	c, caller := benchCollection(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Get(b.Context(), caller, benchKey); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMiss asks memory for a value that is not there.
func BenchmarkMiss(b *testing.B) {
	c, _ := benchCollection(b)
	caller := benchCaller(b, access.Get, "nobody")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Get(b.Context(), caller, "nobody"); err == nil {
			b.Fatal("there is a value")
		}
	}
}

// benchCollection has a value under benchKey, which the caller may get.
func benchCollection(b *testing.B) (*Collection, access.Caller) {
	b.Helper()
	index, seals := newTestKeys(b, 1)
	c := NewMemory(1<<20, time.Now).Collection(
		CollectionConfig{Name: "sessions", Table: "sessions", MaxTTL: time.Hour, Fence: time.Minute},
		Options{
			Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
			Keys: mustKeys(b, index, seals...), Random: rand.Reader,
		})
	if err := c.Set(b.Context(), benchCaller(b, access.Set, benchKey), benchKey, make([]byte, benchBytes), time.Hour); err != nil {
		b.Fatal(err)
	}
	return c, benchCaller(b, access.Get, benchKey)
}

func benchCaller(b *testing.B, action access.Action, key access.Key) access.Caller {
	b.Helper()
	const token access.Token = "a-token-of-the-benchmark"
	grant := access.GrantOn("sessions", action)
	policy, err := accesstest.Policy([]access.Client{{
		Name: "bench", Tokens: []access.TokenRule{{SHA256: token.HashText()}}, Grants: []access.Grant{grant}, Keys: []string{"*"},
	}}, []string{"sessions"}, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	id, err := policy.Authenticate(access.Credentials{Authorization: []string{"Bearer " + string(token)}})
	if err != nil {
		b.Fatal(err)
	}
	caller, err := access.Authorize(id, grant, key)
	if err != nil {
		b.Fatal(err)
	}
	return caller
}
